#![doc = include_str!("../README.md")]

mod admission;
mod baskets;
mod batch;
mod contents;
mod control;
mod definitions;
mod error;
mod generations;
mod held_up;
mod membership;
mod memory;
mod program;
mod rebuilds;
mod redo;
mod runner;
pub mod sabotage;
mod start;
mod timeline;
mod tree_check;
mod verify;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_event::Clock;
use weir_event_log::{EventLog, LogReader};
use weir_lifecycle::Component;
use weir_store::{Generation, Projection, Store, StoreError};

pub use admission::{IdsDamaged, SeenIds, Verdict, fingerprint, id_hash};
pub use error::FoldError;
pub use program::main;
pub use start::{Parts, StartError, bind, first_record, work};

/// Fills the store from the log until stopped, and keeps its generations.
///
/// Returns early only with an error that somebody must look at: a damaged log, a damaged table, a store that is ahead of
/// its log. Whatever may pass (a busy or full disk, a store away) is waited for. The component is ready as long as there
/// is a generation to read and none of its projections is held up for seconds.
///
/// # Errors
/// See [`FoldError`].
pub async fn run(
    log: Arc<dyn EventLog>,
    store: Arc<dyn Store>,
    clock: Clock,
    health: Component,
    stop: CancellationToken,
) -> Result<(), FoldError> {
    generations::Generations::join(log, store, clock, health).await?.run(stop).await
}

/// Where a projection stands on a partition.
async fn position(generation: &dyn Generation, projection: Projection, partition: u32) -> Result<u64, StoreError> {
    let progress = generation.progress().await?;
    let here = progress.iter().find(|p| (p.projection, p.partition) == (projection, partition));
    Ok(here.map_or(0, |progress| progress.next))
}

/// Whether these are the tables that are read.
async fn is_read(store: &dyn Store, generation: &dyn Generation) -> Result<bool, StoreError> {
    Ok(store.live().await?.is_some_and(|live| live.id() == generation.id()))
}

/// Refuses tables that know more than the log has.
async fn check_end(
    log: &(impl LogReader + ?Sized),
    projection: Projection,
    partition: u32,
    next: u64,
) -> Result<(), FoldError> {
    let end = log.bounds(projection.stream(), partition).await?.end;
    if next > end {
        return Err(FoldError::PastTheEnd { projection: projection.name(), partition, next, end });
    }
    Ok(())
}
