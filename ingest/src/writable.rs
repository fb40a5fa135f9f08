//! Whether the log takes appends now.
//!
//! That is known for certain only from appends, and a record made to find out would be on the log for ever. So it goes by
//! two signs: whoever keeps the log answers for every partition, and the latest append wasn't refused. Who refuses
//! everybody gets no appends any more that could show it has recovered, so a refusal counts for two seconds only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_event::Stream;
use weir_event_log::{AppendError, Cause, LogReader, ReadError};
use weir_lifecycle::{Component, Probe, causes, keep_probing};

/// For how long a refused append speaks against the log.
const HELD_AGAINST: Duration = Duration::from_secs(2);

/// What the latest append says.
#[derive(Debug, Default)]
pub(crate) struct Writable {
    /// Spares those that are taken the lock.
    refused: AtomicBool,
    since: Mutex<Option<Instant>>,
    news: Notify,
}

impl Writable {
    /// Takes note of how an append ended. Too much at once is no sign: the next request may be taken.
    pub(crate) fn note<T>(&self, appended: &Result<T, AppendError>) {
        match appended {
            Ok(_) if !self.refused.load(Ordering::Relaxed) => {}
            Ok(_) => self.set(None),
            Err(error) if matches!(error.cause(), Cause::Busy { .. } | Cause::TooLarge { .. }) => {}
            Err(_) => self.set(Some(Instant::now())),
        }
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.refused.store(since.is_some(), Ordering::Relaxed);
        self.news.notify_one();
    }

    fn is_refused(&self) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < HELD_AGAINST)
    }

    /// Keeps `component` until `shutdown`.
    pub(crate) async fn watch(&self, log: &dyn LogReader, component: &Component, shutdown: &CancellationToken) {
        keep_probing(component, Asking { writable: self, log }, shutdown).await;
    }
}

struct Asking<'a> {
    writable: &'a Writable,
    log: &'a dyn LogReader,
}

impl Probe for Asking<'_> {
    async fn ask(&mut self) -> Result<(), String> {
        if self.writable.is_refused() {
            return Err("the log took no appends a moment ago".to_owned());
        }
        answers(self.log).await.map_err(|error| {
            tracing::debug!(cause = causes(&error), "the log doesn't answer");
            "the log doesn't answer".to_owned()
        })
    }

    async fn woken(&mut self) {
        self.writable.news.notified().await;
    }
}

async fn answers(log: &dyn LogReader) -> Result<(), ReadError> {
    for stream in Stream::ALL {
        for partition in 0..log.partitions(stream) {
            log.bounds(stream, partition).await?;
        }
    }
    Ok(())
}
