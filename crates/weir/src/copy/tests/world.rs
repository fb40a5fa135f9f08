//! Logs to copy, targets that fail, and what must hold of a copy.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;
use weir_event::Stream;
use weir_event_log::conformance::read_all;
use weir_event_log::{
    AppendError, Cause, EventLog, LogAppender, LogReader, LogRecord, MemoryLog, Record, partition_of,
};

use crate::copy::{Meter, Pace, Report, Target, copy};

pub(super) const PACE: Pace = Pace { bytes: 500, patience: Duration::from_secs(20), settle: Some(Duration::ZERO) };

pub(super) fn lineage(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// The first record of a log that began by itself, with a field of a later release.
pub(super) fn opened(lineage: Uuid, partitions: u32) -> Value {
    json!({
        "type": "log.opened", "lineage": lineage, "events_partitions": partitions, "dedup_window_micros": 77,
        "test_clock": true, "at": "2026-11-20T10:00:00.000000Z", "of_a_later_release": [1, 2],
    })
}

pub(super) fn control(text: impl ToString) -> Record {
    Record::new("", text.to_string())
}

pub(super) fn memory(partitions: u32) -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(partitions).unwrap())
}

/// Events of few and of many profiles, some of them twice.
pub(super) fn events(rng: &mut StdRng, count: usize) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for n in 0..count {
        if rng.random_ratio(1, 20) && !records.is_empty() {
            let again = records[rng.random_range(0..records.len())].clone();
            records.push(again);
            continue;
        }
        let profile = if rng.random() { rng.random_range(0..5) } else { rng.random_range(0..500) };
        let value = format!("{n} {}", "x".repeat(rng.random_range(0..60)));
        records.push(Record::new(format!("default/{profile}"), value));
    }
    records
}

/// Fills a new log with random records.
pub(super) async fn fill(log: &dyn EventLog, seed: u64, count: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let first = opened(lineage(u128::from(seed) + 1), log.partitions(Stream::Events));
    let others = (0..rng.random_range(0..30)).map(|n| control(format!("control {n}")));
    log.append(Stream::Control, [control(first)].into_iter().chain(others).collect()).await.unwrap();
    log.append(Stream::Events, events(&mut rng, count)).await.unwrap();
}

pub(super) async fn filled(seed: u64, partitions: u32, count: usize) -> Arc<MemoryLog> {
    let log = memory(partitions);
    fill(log.as_ref(), seed, count).await;
    log
}

pub(super) fn target(log: &Arc<MemoryLog>) -> Target {
    Target { appender: log.clone(), reader: log.clone() }
}

pub(super) async fn copy_to(from: &Arc<MemoryLog>, to: Target) -> anyhow::Result<Report> {
    copy(from.clone(), to, PACE, &Meter::silent()).await
}

/// Why a copy was refused.
pub(super) async fn refused(from: &Arc<MemoryLog>, to: &Arc<MemoryLog>) -> String {
    let error = copy_to(from, target(to)).await.expect_err("the copy was not refused");
    weir_lifecycle::causes(error.as_ref())
}

/// Every record of a stream, by partition.
pub(super) async fn all(log: &dyn EventLog, stream: Stream) -> Vec<Vec<LogRecord>> {
    let mut found = Vec::new();
    for partition in 0..log.partitions(stream) {
        found.push(read_all(log, stream, partition, 1 << 20).await);
    }
    found
}

fn by_key(partitions: &[Vec<LogRecord>]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut found: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for record in partitions.iter().flatten() {
        found.entry(record.key.to_vec()).or_default().push(record.value.to_vec());
    }
    found
}

/// Panics unless `to` is a copy of `from`.
pub(super) async fn assert_copied(from: &dyn EventLog, to: &dyn EventLog, report: &Report) {
    let (source, copied) = (all(from, Stream::Control).await, all(to, Stream::Control).await);
    assert_eq!(source[0][1..], copied[0][1..], "control.v1");
    let first = |record: &LogRecord| serde_json::from_slice::<Value>(&record.value).unwrap();
    let (mut expected, found) = (first(&source[0][0]), first(&copied[0][0]));
    let from_lineage = expected["lineage"].clone();
    assert_ne!(found["lineage"], from_lineage);
    assert_eq!((&from_lineage, &found["lineage"]), (&json!(report.from_lineage), &json!(report.to_lineage)));
    assert_eq!(found["copied_from"]["lineage"], from_lineage);
    expected["lineage"] = found["lineage"].clone();
    expected["copied_from"] = found["copied_from"].clone();
    expected["events_partitions"] = to.partitions(Stream::Events).into();
    assert_eq!(found, expected);
    let (source, copied) = (all(from, Stream::Events).await, all(to, Stream::Events).await);
    assert_eq!(by_key(&source), by_key(&copied), "events.v1, by key");
    if source.len() == copied.len() {
        assert_eq!(source, copied, "events.v1, by offset");
    }
    assert_eq!(report.events, copied.iter().map(Vec::len).sum::<usize>() as u64);
}

/// What becomes of an append.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// Part of it is stored, and then nothing happens any more: the process was killed.
    Killed,
    /// Part of it is stored, and nobody knows.
    Unknown,
    /// Every other record is stored, and nobody knows.
    Holes,
}

/// The writing side of a log of which appends may be stored in part, as over Kafka: the beginning of what was to come to
/// each partition.
pub(super) struct Partial {
    log: Arc<MemoryLog>,
    rng: Mutex<StdRng>,
    /// Appends that go well before one that doesn't.
    good: AtomicI64,
    end: End,
    pub(super) killed: Notify,
}

impl Partial {
    pub(super) fn new(log: &Arc<MemoryLog>, seed: u64, good: i64, end: End) -> Arc<Self> {
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        Arc::new(Self { log: log.clone(), rng, good: AtomicI64::new(good), end, killed: Notify::new() })
    }

    async fn store_part(&self, stream: Stream, records: Vec<Record>) {
        let partitions = self.log.partitions(stream);
        let mut by_partition: HashMap<u32, Vec<Record>> = HashMap::new();
        for record in records {
            by_partition.entry(partition_of(&record.key, partitions)).or_default().push(record);
        }
        for (_, mut records) in by_partition {
            if self.end == End::Holes {
                records = records.into_iter().skip(1).step_by(2).collect();
            } else {
                records.truncate(self.rng.lock().await.random_range(0..=records.len()));
            }
            self.log.append(stream, records).await.unwrap();
        }
    }
}

#[async_trait]
impl LogAppender for Partial {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        let good = self.good.fetch_sub(1, Ordering::Relaxed);
        if good > 0 {
            return self.log.append(stream, records).await;
        }
        self.store_part(stream, records).await;
        if self.end == End::Killed {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
        self.good.store(self.rng.lock().await.random_range(0..4), Ordering::Relaxed);
        Err(AppendError::Unknown { source: Cause::Injected })
    }
}

/// Copies until the process is killed in an append, `good` of them having gone well; the report if it came to its end.
pub(super) async fn copy_killed(from: &Arc<MemoryLog>, to: &Arc<MemoryLog>, seed: u64, good: i64) -> Option<Report> {
    let partial = Partial::new(to, seed, good, End::Killed);
    let killed = Target { appender: partial.clone(), reader: to.clone() };
    tokio::select! {
        report = copy_to(from, killed) => Some(report.unwrap()),
        () = partial.killed.notified() => None,
    }
}
