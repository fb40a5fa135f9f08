//! What every log must do, told by examples. A backend's tests call [`run`]; a backend that fails here is not one.
//!
//! Each case gets a log of its own, new and empty, with any number of partitions.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "these are tests; they live here so that every backend can run them"
)]

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::join_all;
use weir_event::Stream::{self, Control, Events};

use crate::{AppendError, Bounds, Cause, Chunk, EventLog, LogRecord, ReadError, Record, partition_of};

type Log = Arc<dyn EventLog>;

/// Runs the suite. `make` makes an empty log.
///
/// # Panics
/// The log breaks its contract.
pub async fn run<F: Future<Output = Log>>(make: impl Fn() -> F) {
    let all = async {
        a_new_log_is_empty(make().await).await;
        what_is_appended_is_read_back(make().await).await;
        answers_tell_where_the_records_end(make().await).await;
        keys_choose_the_partition_and_keep_their_order(make().await).await;
        streams_are_apart(make().await).await;
        a_read_may_begin_anywhere_and_loses_nothing(make().await).await;
        a_read_keeps_to_its_size(make().await).await;
        a_large_append_is_whole(make().await).await;
        a_record_too_large_refuses_the_whole_append(make().await).await;
        what_is_acknowledged_is_visible(make().await).await;
        waiting_ends_when_the_record_is_there(make().await).await;
        many_writers_keep_their_order(make().await).await;
        a_dropped_append_is_whole_or_absent(make().await).await;
        everything_is_owned_until_it_is_left(make().await).await;
        a_closed_log_takes_no_appends(make().await).await;
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("the suite hangs");
}

fn record(key: &str, value: impl Into<Bytes>) -> Record {
    Record::new(key.to_owned(), value)
}

/// `count` records over 50 keys, each value starting with its number.
pub fn numbered(from: usize, count: usize) -> Vec<Record> {
    let value = |i: usize| format!("{i:08}{}", "x".repeat(i % 97));
    (from..from + count).map(|i| record(&format!("default/{}", i % 50), value(i))).collect()
}

/// Every record of a partition, read in chunks of about this size, with what each chunk must be.
///
/// # Panics
/// A read fails or a chunk isn't what it must be.
pub async fn read_all(log: &dyn EventLog, stream: Stream, partition: u32, max_bytes: usize) -> Vec<LogRecord> {
    let mut records = Vec::new();
    let mut at = log.bounds(stream, partition).await.unwrap().first;
    loop {
        let chunk = log.read(stream, partition, at, max_bytes).await.unwrap();
        check_chunk(&chunk, at);
        if chunk.records.is_empty() {
            return records;
        }
        at = chunk.next;
        records.extend(chunk.records);
    }
}

fn check_chunk(chunk: &Chunk, from: u64) {
    assert_eq!(chunk.first, from);
    assert_eq!(chunk.next, from + chunk.records.len() as u64);
    assert!((from..).zip(&chunk.records).all(|(offset, record)| record.offset == offset), "offsets are not in a row");
}

async fn read_stream(log: &dyn EventLog, stream: Stream) -> Vec<LogRecord> {
    let mut records = Vec::new();
    for partition in 0..log.partitions(stream) {
        records.extend(read_all(log, stream, partition, 1 << 20).await);
    }
    records
}

async fn a_new_log_is_empty(log: Log) {
    assert_eq!(log.partitions(Control), 1);
    for stream in Stream::ALL {
        let partitions = log.partitions(stream);
        assert!(partitions >= 1);
        for partition in 0..partitions {
            assert_eq!(log.bounds(stream, partition).await.unwrap(), Bounds { first: 0, end: 0 });
            assert_eq!(log.read(stream, partition, 0, 1_000).await.unwrap(), Chunk::empty(0));
            let beyond = log.read(stream, partition, 1, 1_000).await.unwrap_err();
            assert!(matches!(beyond, ReadError::OutOfRange { from: 1, first: 0, end: 0, .. }), "{beyond}");
        }
        let none = [
            log.bounds(stream, partitions).await.unwrap_err(),
            log.read(stream, partitions, 0, 1).await.unwrap_err(),
            log.wait_beyond(stream, partitions, 0).await.unwrap_err(),
        ];
        assert!(none.iter().all(|error| matches!(error, ReadError::NoSuchPartition { .. })), "{none:?}");
    }
    assert_eq!(log.append(Events, Vec::new()).await.unwrap(), []);
}

async fn what_is_appended_is_read_back(log: Log) {
    let values: [&[u8]; 5] = [b"{}", b"", b"\0\xff\x80", &[b'v'; 127], &[b'v'; 20_000]];
    for value in values {
        log.append(Control, vec![record("k", Bytes::copy_from_slice(value)), record("", "empty key")]).await.unwrap();
    }
    let read = read_all(&*log, Control, 0, 1).await;
    assert_eq!(read.len(), 10);
    for (pair, value) in read.chunks(2).zip(values) {
        assert_eq!((&pair[0].key[..], &pair[0].value[..]), (&b"k"[..], value));
        assert_eq!((&pair[1].key[..], &pair[1].value[..]), (&b""[..], &b"empty key"[..]));
    }
    assert_eq!(read, read_all(&*log, Control, 0, usize::MAX).await);
}

async fn answers_tell_where_the_records_end(log: Log) {
    let mut ends: HashMap<u32, u64> = HashMap::new();
    for i in 0..40 {
        let records = numbered(i * 10, 1 + i % 7);
        let mut touched: HashMap<u32, u64> = HashMap::new();
        for record in &records {
            *touched.entry(partition_of(&record.key, log.partitions(Events))).or_default() += 1;
        }
        let answer = log.append(Events, records).await.unwrap();
        assert!(answer.is_sorted_by(|a, b| a.0 < b.0), "{answer:?}");
        assert_eq!(answer.len(), touched.len());
        for (partition, next) in answer {
            let end = ends.entry(partition).or_default();
            *end += touched[&partition];
            assert_eq!(next, *end);
            assert_eq!(log.bounds(Events, partition).await.unwrap(), Bounds { first: 0, end: next });
        }
    }
}

async fn keys_choose_the_partition_and_keep_their_order(log: Log) {
    for i in 0..20 {
        log.append(Events, numbered(i * 100, 100)).await.unwrap();
    }
    let mut latest: HashMap<Bytes, Bytes> = HashMap::new();
    let mut count = 0;
    for partition in 0..log.partitions(Events) {
        for record in read_all(&*log, Events, partition, 4_096).await {
            assert_eq!(partition_of(&record.key, log.partitions(Events)), partition);
            // Values of one key were appended in the order of their text.
            let before = latest.insert(record.key, record.value.clone());
            assert!(before.is_none_or(|before| before < record.value));
            count += 1;
        }
    }
    assert_eq!(count, 2_000);
}

async fn streams_are_apart(log: Log) {
    log.append(Events, vec![record("k", "event")]).await.unwrap();
    assert_eq!(log.bounds(Control, 0).await.unwrap().end, 0);
    assert_eq!(log.append(Control, vec![record("k", "a"), record("l", "b")]).await.unwrap(), [(0, 2)]);
    assert_eq!(read_stream(&*log, Events).await.len(), 1);
    assert_eq!(read_stream(&*log, Control).await.len(), 2);
}

async fn a_read_may_begin_anywhere_and_loses_nothing(log: Log) {
    for i in 0..12 {
        let records = numbered(i * 30, 30).into_iter().map(|record| Record { key: "k".into(), ..record });
        log.append(Control, records.collect()).await.unwrap();
    }
    let all = read_all(&*log, Control, 0, usize::MAX).await;
    assert_eq!(all.len(), 360);
    for from in 0..=360 {
        for max_bytes in [0, 1, 500, 10_000] {
            let chunk = log.read(Control, 0, from, max_bytes).await.unwrap();
            check_chunk(&chunk, from);
            assert_eq!(chunk.records.is_empty(), from == 360);
            assert_eq!(chunk.records, all[from as usize..chunk.next as usize]);
        }
    }
    assert!(matches!(log.read(Control, 0, 361, 1).await, Err(ReadError::OutOfRange { from: 361, end: 360, .. })));
}

async fn a_read_keeps_to_its_size(log: Log) {
    for _ in 0..100 {
        log.append(Control, (0..10).map(|_| record("k", vec![b'v'; 5_000])).collect()).await.unwrap();
    }
    let chunk = log.read(Control, 0, 0, 200_000).await.unwrap();
    assert!((10..500).contains(&chunk.records.len()), "{} records", chunk.records.len());
    // A read gives what is at hand, so a large one may be short; read again, it comes to what was asked for.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut large = 0;
    while large < 500 && Instant::now() < deadline {
        large = log.read(Control, 0, 0, 3_000_000).await.unwrap().records.len();
    }
    assert!((500..1_000).contains(&large), "{large} records");
}

async fn a_large_append_is_whole(log: Log) {
    let records: Vec<Record> =
        (0..10_000).map(|i| record(&format!("k{}", i % 300), vec![b'v'; 300 + i % 400])).collect();
    log.append(Events, records.clone()).await.unwrap();
    let read = read_stream(&*log, Events).await;
    assert_eq!(read.len(), records.len());
    let sum = |sizes: &mut dyn Iterator<Item = usize>| sizes.sum::<usize>();
    assert_eq!(sum(&mut read.iter().map(|r| r.value.len())), sum(&mut records.iter().map(|r| r.value.len())));
}

async fn a_record_too_large_refuses_the_whole_append(log: Log) {
    let records = vec![record("k", "small"), record("k", vec![0; Record::MAX_BYTES])];
    let error = log.append(Control, records).await.unwrap_err();
    assert!(matches!(error, AppendError::NotStored { source: Cause::TooLarge { .. } }), "{error:?}");
    assert_eq!(log.bounds(Control, 0).await.unwrap().end, 0);
}

async fn what_is_acknowledged_is_visible(log: Log) {
    for i in 0..50 {
        let next = log.append(Control, vec![record("k", i.to_string())]).await.unwrap()[0].1;
        let chunk = log.read(Control, 0, next - 1, 1_000).await.unwrap();
        assert_eq!(chunk.records[0].value, i.to_string());
        // Without the runtime's budget, which a test that never waited may have used up.
        let there = tokio::task::unconstrained(log.wait_beyond(Control, 0, next - 1));
        there.now_or_never().expect("it is there").unwrap();
    }
}

async fn waiting_ends_when_the_record_is_there(log: Log) {
    let mut first = log.wait_beyond(Control, 0, 0);
    let mut third = log.wait_beyond(Control, 0, 2);
    let mut cancelled = log.wait_beyond(Control, 0, 0);
    assert!((&mut first).now_or_never().is_none() && (&mut third).now_or_never().is_none());
    assert!((&mut cancelled).now_or_never().is_none());
    drop(cancelled);
    log.append(Control, vec![record("k", "1"), record("k", "2")]).await.unwrap();
    first.await.unwrap();
    assert!((&mut third).now_or_never().is_none());
    // Records of another stream don't count.
    log.append(Events, vec![record("k", "1"), record("k", "2"), record("k", "3")]).await.unwrap();
    assert!((&mut third).now_or_never().is_none());
    log.append(Control, vec![record("k", "3")]).await.unwrap();
    third.await.unwrap();
}

async fn many_writers_keep_their_order(log: Log) {
    const WRITERS: usize = 64;
    const APPENDS: usize = 20;
    let writers = (0..WRITERS).map(|writer| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for i in 0..APPENDS {
                let own = record(&format!("writer-{writer}"), format!("{i:03}"));
                // A second key, so that an append touches several partitions.
                let other = record(&format!("writer-{writer}-other-{i}"), "x");
                let count = log.partitions(Events);
                let partition = partition_of(&own.key, count);
                let answer = log.append(Events, vec![own, other]).await.unwrap();
                let (_, next) = answer.iter().find(|(touched, _)| *touched == partition).unwrap();
                assert!(log.bounds(Events, partition).await.unwrap().end >= *next);
            }
        })
    });
    for done in join_all(writers).await {
        done.unwrap();
    }
    let mut seen: HashMap<Bytes, usize> = HashMap::new();
    let records = read_stream(&*log, Events).await;
    assert_eq!(records.len(), WRITERS * APPENDS * 2);
    for record in records.iter().filter(|record| record.value != "x") {
        let next = seen.entry(record.key.clone()).or_default();
        assert_eq!(record.value, format!("{next:03}"));
        *next += 1;
    }
    assert!(seen.len() == WRITERS && seen.values().all(|count| *count == APPENDS));
}

async fn a_dropped_append_is_whole_or_absent(log: Log) {
    for i in 0..50 {
        let records = (0..3).map(|part| record(&format!("k{part}"), format!("{i}"))).collect();
        let mut append = log.append(Events, records);
        // Begun, and then dropped unless it is done already.
        let _ = (&mut append).now_or_never();
    }
    log.append(Events, vec![record("last", "last")]).await.unwrap();
    let mut copies: HashMap<Bytes, usize> = HashMap::new();
    for record in read_stream(&*log, Events).await {
        *copies.entry(record.value).or_default() += 1;
    }
    assert_eq!(copies.remove(&b"last"[..]), Some(1));
    assert!(copies.values().all(|count| *count == 3), "{copies:?}");
}

async fn everything_is_owned_until_it_is_left(log: Log) {
    let share = log.join().await.unwrap();
    let mut owned = share.owned();
    let all: BTreeSet<u32> = (0..log.partitions(Events)).collect();
    owned.wait_for(|owned| *owned == all).await.unwrap();
    // Also who looks when everything has come is told.
    share.owned().changed().await.unwrap();
    assert!(share.confirm().await);
    share.note(0, 7);
    assert!(share.confirm().await);
    share.leave().await;
    assert!(owned.borrow().is_empty() && !share.confirm().await);
    share.leave().await;
}

async fn a_closed_log_takes_no_appends(log: Log) {
    let begun: Vec<_> = (0..10).map(|_| log.append(Control, vec![record("k", "v")])).collect();
    let (appended, ()) = futures::join!(join_all(begun), log.close());
    let stored = appended.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(stored, 10, "{appended:?}");
    let error = log.append(Control, vec![record("k", "v")]).await.unwrap_err();
    assert!(matches!(error, AppendError::NotStored { source: Cause::Closed }), "{error:?}");
    log.close().await;
}
