//! Who projects which partition, among all processes of a deployment.
//!
//! Invariant: sharing decides who works, never what is right. Two owners at a time are possible (one of them was stopped
//! and doesn't know yet that it was given up), so whatever is written is fenced where it is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::ReadError;

/// Shares out the partitions of `events.v1` among the processes that project them.
#[async_trait]
pub trait Sharing: Send + Sync + 'static {
    /// Joins those among whom the partitions are shared out. Answers at once: partitions come when the others have given
    /// them up.
    ///
    /// # Errors
    /// [`ReadError::Io`] when no part in it can be taken.
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError>;
}

/// The part of one process. Dropping it leaves, too.
#[async_trait]
pub trait Share: Send + Sync {
    /// The partitions that this process owns; changes as others come and go. What it owns already counts as a change, so
    /// nothing that came between joining and looking is missed.
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>>;

    /// Whether this process still owns what [`owned`](Share::owned) shows: asks the one who shares out, since a process
    /// that was stopped for a while may not know yet that it was given up. False also when nobody answers,
    /// and when nothing is owned.
    async fn confirm(&self) -> bool;

    /// Notes how far a partition was projected, as a hint for tools that show lag. Nothing depends on it.
    fn note(&self, partition: u32, next: u64);

    /// Leaves, so that others take over at once. From then on nothing is owned.
    async fn leave(&self);
}

/// The share of a process that is the only one: everything, for as long as it wants.
#[derive(Debug)]
pub(crate) struct Alone {
    owned: watch::Sender<BTreeSet<u32>>,
}

impl Alone {
    /// Owns all `partitions`.
    pub(crate) fn of(partitions: u32) -> Arc<dyn Share> {
        Arc::new(Self { owned: watch::Sender::new((0..partitions).collect()) })
    }
}

#[async_trait]
impl Share for Alone {
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        let mut owned = self.owned.subscribe();
        owned.mark_changed();
        owned
    }

    async fn confirm(&self) -> bool {
        !self.owned.borrow().is_empty()
    }

    fn note(&self, _partition: u32, _next: u64) {}

    async fn leave(&self) {
        self.owned.send_replace(BTreeSet::new());
    }
}
