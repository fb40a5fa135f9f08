//! The instant of receipt, and the test clock that must not undercut it.
//!
//! Invariant: under a test clock no instant is held that lies before a receipt on `events.v1`, also when a request and
//! `PUT /test/clock` race: a request keeps the gate open from its stamp until its records are appended, and the clock
//! is moved only while the gate is closed. A system clock has no gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use weir_event::{Clock, ClockRefused, Envelope, Stream, Timestamp};
use weir_event_log::{LogReader, ReadError};

const NONE: i64 = i64::MIN;
const SCAN_BYTES: usize = 4_000_000;

/// Stamps requests.
#[derive(Debug)]
pub(crate) struct Receipts {
    clock: Clock,
    newest: AtomicI64,
    gate: Option<Arc<RwLock<()>>>,
}

/// The instant at which a request was received, once for all that is in it.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) now: Timestamp,
    _gate: Option<OwnedRwLockReadGuard<()>>,
}

/// The clock can't be held there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldRefused {
    #[error(transparent)]
    Held(#[from] ClockRefused),
    #[error("the newest receipt on the log is {0}; the clock can't be held before it")]
    Receipt(Timestamp),
}

impl Receipts {
    /// Reads the newest receipt from the log if the clock is a test clock: a log made under one is small.
    pub(crate) async fn open(clock: Clock, log: &dyn LogReader) -> Result<Self, ReadError> {
        if !clock.is_test() {
            return Ok(Self { clock, newest: AtomicI64::new(NONE), gate: None });
        }
        let newest = newest_on(log).await?;
        if let Some(newest) = newest.filter(|newest| clock.now() < *newest) {
            // The log was held in the future before a restart: the clock goes on from there.
            let _ = clock.hold(Some(newest)).and_then(|()| clock.hold(None));
        }
        let newest = AtomicI64::new(newest.map_or(NONE, Timestamp::micros));
        Ok(Self { clock, newest, gate: Some(Arc::default()) })
    }

    /// The receipt of a request whose body has been read. Keep it until the append is answered.
    pub(crate) async fn stamp(&self) -> Receipt {
        let gate = match &self.gate {
            Some(gate) => Some(Arc::clone(gate).read_owned().await),
            None => None,
        };
        Receipt { now: self.clock.now(), _gate: gate }
    }

    /// Takes note that records received up to `newest` are about to be appended.
    pub(crate) fn note(&self, newest: Timestamp) {
        if self.gate.is_some() {
            self.newest.fetch_max(newest.micros(), Ordering::SeqCst);
        }
    }

    /// Holds the test clock, or frees it.
    pub(crate) async fn hold(&self, now: Option<Timestamp>) -> Result<(), HoldRefused> {
        let _closed = match &self.gate {
            Some(gate) => Some(gate.write().await),
            None => None,
        };
        let newest = self.newest.load(Ordering::SeqCst);
        if newest != NONE && now.is_some_and(|now| now.micros() < newest) {
            return Err(HoldRefused::Receipt(Timestamp::from_micros(newest)));
        }
        Ok(self.clock.hold(now)?)
    }
}

async fn newest_on(log: &dyn LogReader) -> Result<Option<Timestamp>, ReadError> {
    let mut newest = None;
    for partition in 0..log.partitions(Stream::Events) {
        let bounds = log.bounds(Stream::Events, partition).await?;
        let mut next = bounds.first;
        while next < bounds.end {
            let chunk = log.read(Stream::Events, partition, next, SCAN_BYTES).await?;
            // A poison record has no receipt that counts.
            let receipts =
                chunk.records.iter().filter_map(|record| Envelope::parse(&record.value).ok()).map(|e| e.received);
            newest = newest.max(receipts.max());
            next = chunk.next;
        }
    }
    Ok(newest)
}
