//! Who projects which partition of `events.v1`, among all processes of a deployment.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::ReadError;

/// A log whose partitions can be shared out among those who project them.
#[async_trait]
pub trait Sharing: Send + Sync + 'static {
    /// Joins those among whom the partitions of `events.v1` are shared out.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError>;
}

/// The part of the partitions that one process projects.
#[async_trait]
pub trait Share: Send + Sync {
    /// The partitions that this process owns; changes as others come and go.
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>>;
    /// Asks whether this process is still among those who share: one that was stopped for a while may have been given up
    /// without knowing.
    async fn confirm(&self) -> bool;
    /// Notes how far a partition was projected, for tools that show lag. Nothing depends on it.
    fn note(&self, partition: u32, next: u64);
    /// Leaves, so that others take over at once.
    async fn leave(&self);
}

/// The share of a process that has the log to itself: everything, always.
pub(crate) struct Alone(watch::Sender<BTreeSet<u32>>);

impl Alone {
    pub(crate) fn of(partitions: u32) -> Arc<dyn Share> {
        Arc::new(Self(watch::Sender::new((0..partitions).collect())))
    }
}

#[async_trait]
impl Share for Alone {
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.0.subscribe()
    }

    async fn confirm(&self) -> bool {
        true
    }

    fn note(&self, _partition: u32, _next: u64) {}

    async fn leave(&self) {}
}
