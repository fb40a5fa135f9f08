//! The projection `timeline`: every admitted record whole, by profile in the order of events; and what is folded from whole
//! events beside it ([`crate::baskets`]).
//!
//! It never passes `membership`, which decides what is admitted, and is never waited for by it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;
use weir_event::{Envelope, Event, Stream};
use weir_event_log::{EventLog, LogRecord};
use weir_store::{Fence, Generation, ProfileKey, Projection, Store, TimelineBatch, TimelineRow, place};

use crate::baskets::{Baskets, Taken};
use crate::definitions::{DefinitionSet, Served};
use crate::error::FoldError;
use crate::runner::{Owned, UNLIMITED, Until};

const READ_BYTES: usize = 1 << 20;
/// Records of one transaction: more of them share the pages of their profiles.
const BATCH_BYTES: usize = 64 << 20;
/// From the beginning of a batch to that of the next, at least.
const PACE: Duration = Duration::from_millis(20);
/// After so long without a batch the tables are tidied up.
const QUIET: Duration = Duration::from_secs(1);

/// The timeline of one partition in one generation.
pub(crate) struct Timeline {
    log: Arc<dyn EventLog>,
    store: Arc<dyn Store>,
    generation: Arc<dyn Generation>,
    partition: u32,
    owner: Uuid,
    definitions: DefinitionSet,
    next: u64,
    until: Until,
    /// Where membership stood when it was last looked at.
    admitted: u64,
    /// Where membership must have come for this to begin. In a new generation that is the log's end of the time: so who
    /// is in which segment is known as early as possible, and the two don't take each other's time.
    first: u64,
    /// When the last batch began.
    began: Instant,
    /// When the tables may be tidied up, if nothing is to be folded until then.
    quiet: Option<Instant>,
}

impl Timeline {
    /// Takes the partition over at the offset that the tables say.
    pub(crate) async fn take_over(
        log: Arc<dyn EventLog>,
        store: Arc<dyn Store>,
        generation: Arc<dyn Generation>,
        partition: u32,
        owner: Uuid,
    ) -> Result<Self, FoldError> {
        let next = generation.claim(Projection::Timeline, partition, owner).await?;
        crate::check_end(log.as_ref(), Projection::Timeline, partition, next).await?;
        let definitions = DefinitionSet::new(log.clone(), generation.bound());
        let (until, began) = (UNLIMITED, Instant::now());
        let quiet = Some(began + QUIET);
        let begun = next > 0 || crate::is_read(store.as_ref(), generation.as_ref()).await?;
        let first = if begun { 0 } else { log.bounds(Stream::Events, partition).await?.end };
        let admitted = next;
        Ok(Self { log, store, generation, partition, owner, definitions, next, until, admitted, first, began, quiet })
    }

    /// Whether membership must go on before there is something to do.
    fn waits(&self) -> bool {
        self.admitted <= self.next || self.admitted < self.first
    }

    async fn fold(&mut self, records: impl Iterator<Item = LogRecord>) -> Result<(TimelineBatch, Taken), FoldError> {
        let (mut rows, mut baskets) = (Vec::new(), Baskets::new());
        let mut served: HashMap<String, Option<Arc<Served>>> = HashMap::new();
        for record in records {
            // Membership admitted it, so it is an event of a workspace that there is.
            let Ok(envelope) = Envelope::parse(&record.value) else { continue };
            if !served.contains_key(envelope.workspace.as_ref()) {
                let found = self.definitions.workspace(&envelope.workspace).await?;
                served.insert(envelope.workspace.to_string(), found);
            }
            let Some(Some(served)) = served.get(envelope.workspace.as_ref()) else { continue };
            let key = ProfileKey { workspace: served.workspace, profile: envelope.subject };
            let event = Event::of(&envelope);
            let place = place::of_event(&event.key);
            baskets.take(key, event);
            let (partition, offset, record) = (self.partition, record.offset, record.value.to_vec());
            rows.push(TimelineRow { key, place, partition, offset, record });
        }
        let (baskets, taken) = baskets.finish(self.generation.as_ref()).await?;
        Ok((TimelineBatch { rows, baskets }, taken))
    }
}

impl Owned for Timeline {
    const NAME: &'static str = Projection::Timeline.name();

    async fn wait(&mut self) -> Result<(), FoldError> {
        self.until.passed(self.next).await;
        let mut changes = self.store.changes();
        while self.waits() {
            changes.mark_unchanged();
            self.admitted = crate::position(self.generation.as_ref(), Projection::Membership, self.partition).await?;
            if self.waits() {
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() {
                        // The store is being closed; whoever closes it stops this task.
                        std::future::pending::<()>().await;
                    },
                    () = at(self.quiet) => return Ok(()),
                }
            }
        }
        tokio::time::sleep_until(self.began + PACE).await;
        Ok(())
    }

    fn stop_at(&mut self, until: Until) {
        self.until = until;
    }

    async fn work(&mut self) -> Result<(), FoldError> {
        if self.waits() {
            self.quiet = None;
            return Ok(self.generation.tidy_up().await?);
        }
        self.began = Instant::now();
        let mut records: Vec<LogRecord> = Vec::new();
        let (mut next, mut bytes) = (self.next, 0);
        let admitted = self.admitted.min(self.until.offset);
        while next < admitted && bytes < BATCH_BYTES {
            let chunk = self.log.read(Stream::Events, self.partition, next, READ_BYTES).await?;
            bytes += chunk.records.iter().map(|record| record.value.len()).sum::<usize>();
            records.extend(chunk.records.into_iter().filter(|record| record.offset < admitted));
            next = chunk.next.min(admitted);
        }
        let left_out: BTreeSet<u64> =
            self.generation.not_admitted(self.partition, self.next, next).await?.into_iter().collect();
        let (batch, taken) = self.fold(records.into_iter().filter(|record| !left_out.contains(&record.offset))).await?;
        let fence =
            Fence { partition: self.partition, owner: self.owner, expected: self.next, next, newest_receipt: None };
        self.generation.commit_timeline(fence, &batch).await?;
        taken.measure();
        self.next = next;
        self.quiet = Some(Instant::now() + QUIET);
        Ok(())
    }
}

/// Waits until then; for ever, if that is never.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
