//! Looking at the tables when nobody asks: whether they can be read, and how far they are.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use weir_lifecycle::{Component, Probe, causes, keep_probing};
use weir_store::StoreError;

use crate::service::Api;

/// Between two measures.
const MEASURES: Duration = Duration::from_secs(1);

/// Keeps the component and the measures until the shutdown.
pub(crate) async fn run(api: &Arc<Api>, component: Component) {
    let stop = &api.settings.shutdown;
    let readable = Readable { api: Arc::clone(api), changes: api.tables.store.changes(), ready: false };
    tokio::join!(keep_probing(&component, readable, stop), stop.run_until_cancelled(measure(api)));
}

/// Whether a read would be answered. The moment at which a generation is complete is known from the store's changes; that
/// tables can't be read any more is found by trying.
struct Readable {
    api: Arc<Api>,
    changes: Receiver<u64>,
    ready: bool,
}

impl Probe for Readable {
    async fn ask(&mut self) -> Result<(), String> {
        self.changes.mark_unchanged();
        let readable = self.api.readable().await;
        self.ready = readable.is_ok();
        readable
    }

    async fn woken(&mut self) {
        // While tables are read they change all the time, and that is no news.
        if self.ready || self.changes.changed().await.is_err() {
            pending().await
        }
    }
}

async fn measure(api: &Api) {
    let mut every = tokio::time::interval(MEASURES);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(error) = api.measure().await {
            tracing::debug!(cause = causes(&error), "can't see how far the tables are");
        }
    }
}

impl Api {
    /// # Errors
    /// Why the tables can't be read now.
    pub(crate) async fn readable(&self) -> Result<(), String> {
        let unreadable = |error: StoreError| {
            tracing::debug!(cause = causes(&error), "the tables can't be read");
            "the tables can't be read".to_owned()
        };
        match self.tables.live().await.map_err(unreadable)? {
            // Which generation is live may be remembered: that it can be read is only known from reading.
            Some(live) => live.generation.progress().await.map(drop).map_err(unreadable),
            None => Err("rebuilding: the tables are being filled from the log".to_owned()),
        }
    }

    /// Notes how fast a generation fills, for the ETA in the status, and how far the tables are behind the log.
    async fn measure(&self) -> Result<(), StoreError> {
        self.look().await?;
        let Some(live) = self.tables.live().await? else { return Ok(()) };
        let progress = live.generation.progress().await?;
        let count = live.folded().newest().log().map_or(1, |log| log.events_partitions);
        for partition in self.partitions(&progress, count).await? {
            let label = partition.partition.to_string();
            #[allow(clippy::cast_precision_loss)] // Nobody reads the last digits of 2^53 records.
            let records = partition.lag.map_or(f64::NAN, |lag| lag as f64);
            metrics::gauge!("weir_lag_records", "partition" => label.clone()).set(records);
            metrics::gauge!("weir_lag_seconds", "partition" => label).set(partition.lag_seconds.unwrap_or(f64::NAN));
        }
        Ok(())
    }
}
