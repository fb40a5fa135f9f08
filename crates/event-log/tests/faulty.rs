//! A client that retries, over a log that fails on purpose.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use weir_event::Stream::{Control, Events};
use weir_event_log::{
    AppendError, Chunk, EventLog, Faults, FaultyLog, LogAppender as _, LogReader as _, LogUrl, MemoryLog, OpenOptions,
    ReadError, Record, open,
};

/// What a client that retries until it is told `Ok` has learnt about one record.
#[derive(Default)]
struct Sent {
    unknown: usize,
    acknowledged: usize,
}

async fn send_until_acknowledged(log: &dyn EventLog, id: usize) -> Sent {
    let mut sent = Sent::default();
    while sent.acknowledged == 0 {
        let record = Record::new(format!("key-{}", id % 9), id.to_string());
        match log.append(Events, vec![record]).await {
            Ok(_) => sent.acknowledged += 1,
            Err(AppendError::Unknown { .. }) => sent.unknown += 1,
            Err(AppendError::NotStored { .. }) => {}
        }
    }
    sent
}

/// Reads on after every fault, as a projector does.
async fn copies(log: &dyn EventLog) -> HashMap<Bytes, usize> {
    let mut copies = HashMap::new();
    for partition in 0..log.partitions(Events) {
        let mut at = 0;
        loop {
            match log.read(Events, partition, at, 700).await {
                Ok(Chunk { records, .. }) if records.is_empty() => break,
                Ok(chunk) => {
                    assert_eq!(chunk.next, at + chunk.records.len() as u64);
                    at = chunk.next;
                    chunk.records.into_iter().for_each(|record| *copies.entry(record.value).or_default() += 1);
                }
                Err(ReadError::Io { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    copies
}

async fn check_client(inner: Arc<dyn EventLog>, seed: u64) {
    let log = FaultyLog::new(Arc::clone(&inner), seed, Faults::SOME);
    let mut sent = Vec::new();
    for id in 0..200 {
        sent.push(send_until_acknowledged(&log, id).await);
    }
    let seen = copies(&log).await;
    assert_eq!(seen, copies(&*inner).await, "seed {seed}");
    assert_eq!(seen.len(), sent.len(), "seed {seed}");
    let mut more = 0;
    for (id, sent) in sent.iter().enumerate() {
        let count = seen[id.to_string().as_bytes()];
        // Each acknowledged append is there, each unknown one is there or not, and none that failed for certain is.
        let possible = sent.acknowledged..=sent.acknowledged + sent.unknown;
        assert!(possible.contains(&count), "seed {seed}: record {id} has {count} copies, {possible:?} are possible");
        more += count - sent.acknowledged;
    }
    let unknown: usize = sent.iter().map(|sent| sent.unknown).sum();
    assert!(0 < more && more < unknown, "seed {seed}: of {unknown} unknown appends {more} happened");
}

#[tokio::test]
async fn a_retrying_client_loses_nothing_in_memory() {
    for seed in 0..200 {
        check_client(Arc::new(MemoryLog::new(3).unwrap()), seed).await;
    }
}

#[tokio::test]
async fn a_retrying_client_loses_nothing_in_a_file() {
    for seed in 0..4 {
        let directory = TempDir::new().unwrap();
        let url = LogUrl::Sqlite(directory.path().join("log.db"));
        check_client(open(&url, OpenOptions { partitions: Some(2), ..OpenOptions::default() }).await.unwrap(), seed)
            .await;
    }
}

#[tokio::test]
async fn a_seed_makes_the_same_faults() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let log = FaultyLog::new(Arc::new(MemoryLog::new(1).unwrap()), seed, Faults::SOME);
        let mut outcomes = Vec::new();
        for _ in 0..100 {
            outcomes.push(format!("{:?}", log.append(Control, vec![Record::new("k", "v")]).await.map_err(drop)));
            outcomes.push(format!("{:?}", log.read(Control, 0, 0, 100).await.map_err(drop)));
        }
        runs.push(outcomes);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
