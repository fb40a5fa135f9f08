//! What every store must do, told by examples. A backend's tests call [`run`]; a backend that fails here is not one.
//!
//! Each case gets a store of its own, new and empty. Random cases print their seed when they fail.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "these are tests; they live here so that every backend can run them"
)]

mod baskets;
mod contents;
mod fences;
mod folds;
mod generations;
mod lists;
mod model;
mod random;
mod readers;
mod rebuilds;
mod standstill;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Generation, GenerationId, Purpose, Store, StoreError};

pub use model::{Change, SpanModel};
pub use random::Random;

/// Where a store is kept, seen from outside of it.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens the store; there is no other one open here.
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError>;
    /// Whether anything of a generation is left.
    async fn holds(&self, id: GenerationId) -> bool;
    /// Loses part of a generation, while the store is closed.
    async fn lose(&self, id: GenerationId);
}

/// Runs the suite. `make` makes a place for a new store.
///
/// # Panics
/// The store breaks its contract.
pub async fn run<P: Place + 'static>(make: impl AsyncFn() -> P) {
    let all = async {
        fences::run(&make).await;
        tables::run(&make).await;
        folds::run(&make).await;
        readers::run(&make).await;
        baskets::run(&make).await;
        lists::run(&make).await;
        generations::run(&make).await;
        standstill::run(&make).await;
        contents::run(&make).await;
        contents::bulk(&make).await;
        rebuilds::run(&make).await;
    };
    tokio::time::timeout(Duration::from_secs(300), all).await.expect("the suite hangs");
}

/// A new store, and an empty generation in it.
async fn fresh<P: Place>(make: &impl AsyncFn() -> P) -> (P, Arc<dyn Store>, Arc<dyn Generation>) {
    let place = make().await;
    let store = place.open().await.unwrap();
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    let generation = store.generation(id).await.unwrap();
    (place, store, generation)
}
