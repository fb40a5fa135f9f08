//! The generation that is read, with what is kept of it between requests.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use weir_event::{Position, Stream};
use weir_store::{Generation, Progress, Projection, Store, StoreError, View};

use crate::folded::Folded;
use crate::wait::Need;

/// The store, and the live generation as it was met last.
pub(crate) struct Tables {
    pub(crate) store: Arc<dyn Store>,
    live: AsyncMutex<Option<Arc<Live>>>,
}

/// A generation that is or was live.
pub(crate) struct Live {
    pub(crate) generation: Arc<dyn Generation>,
    folded: Mutex<Arc<Folded>>,
    folding: AsyncMutex<()>,
    progress: AsyncMutex<Seen>,
}

/// The progress as it was read after so many changes of the store.
#[derive(Default)]
struct Seen {
    changes: Option<u64>,
    progress: Vec<Progress>,
}

impl Tables {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, live: AsyncMutex::new(None) }
    }

    /// The generation that is read now; `None` before the first one is complete.
    pub(crate) async fn live(&self) -> Result<Option<Arc<Live>>, StoreError> {
        let Some(generation) = self.store.live().await? else { return Ok(None) };
        let mut slot = self.live.lock().await;
        if let Some(known) = slot.as_ref().filter(|known| known.generation.id() == generation.id()) {
            return Ok(Some(known.clone()));
        }
        let live = Arc::new(Live {
            generation,
            folded: Mutex::new(Arc::new(Folded::empty())),
            folding: AsyncMutex::default(),
            progress: AsyncMutex::default(),
        });
        live.refresh().await?;
        *slot = Some(live.clone());
        Ok(Some(live))
    }
}

impl Live {
    /// The control state as it was folded last.
    pub(crate) fn folded(&self) -> Arc<Folded> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The control state as the tables have it now.
    pub(crate) async fn refresh(&self) -> Result<Arc<Folded>, StoreError> {
        let mut view = self.generation.view().await?;
        let progress = view.progress().await?;
        self.fold(view.as_mut(), &progress).await
    }

    /// The control state at the view's instant, or a later one that is folded already.
    pub(crate) async fn fold(&self, view: &mut dyn View, progress: &[Progress]) -> Result<Arc<Folded>, StoreError> {
        let target = next(progress, Projection::Control, 0);
        let known = self.folded();
        if known.next() >= target {
            return Ok(known);
        }
        let _turn = self.folding.lock().await;
        let known = self.folded();
        if known.next() >= target {
            return Ok(known);
        }
        let records = view.control(known.next()).await?;
        let folded = Arc::new(known.with(&records, target, self.generation.bound()));
        *self.folded.lock().unwrap_or_else(PoisonError::into_inner) = folded.clone();
        Ok(folded)
    }

    /// Whether the tables contain what the position speaks of. The progress is read at most once for each change of
    /// the store, however many wait.
    pub(crate) async fn contains(&self, position: &Position, need: Need, changes: u64) -> Result<bool, StoreError> {
        let mut seen = self.progress.lock().await;
        if covers(&seen.progress, position, need) {
            return Ok(true);
        }
        if seen.changes == Some(changes) {
            return Ok(false);
        }
        seen.progress = self.generation.progress().await?;
        seen.changes = Some(changes);
        Ok(covers(&seen.progress, position, need))
    }
}

/// Where a projection stands on a partition.
pub(crate) fn next(progress: &[Progress], projection: Projection, partition: u32) -> u64 {
    let found = progress.iter().find(|p| p.projection == projection && p.partition == partition);
    found.map_or(0, |progress| progress.next)
}

/// Whether the projections that are needed have taken in all that the position speaks of.
pub(crate) fn covers(progress: &[Progress], position: &Position, need: Need) -> bool {
    position.next.iter().all(|(&(stream, partition), &wanted)| {
        let stands = |projection| next(progress, projection, partition) >= wanted;
        match stream {
            Stream::Control => stands(Projection::Control),
            Stream::Events => {
                (!need.membership || stands(Projection::Membership)) && (!need.timeline || stands(Projection::Timeline))
            }
        }
    })
}
