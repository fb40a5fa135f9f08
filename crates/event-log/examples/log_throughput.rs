//! What a log takes and gives: `cargo run --release -p weir-event-log --example log_throughput -- URL [RECORDS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use weir_event::Stream::Events;
use weir_event_log::{EventLog, LogUrl, OpenOptions, Record, open, partition_of};

type Log = Arc<dyn EventLog>;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url: LogUrl = arguments.next().expect("the log's URL").parse().unwrap();
    let records: usize = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let log = open(&url, OpenOptions::default()).await.unwrap();
    append(&log, "warm-up", 8, 100, records / 10).await;
    append(&log, "append, 32 tasks, 100 records each", 32, 100, records).await;
    append(&log, "append, 64 tasks, 1 record each", 64, 1, records / 10).await;
    scan(&log, "scan").await;
    scan(&log, "scan again").await;
    visible(&log, Duration::from_millis(5)).await;
    log.close().await;
}

/// A record as an event is: a key of 44 bytes, a value of 235.
fn record(number: usize) -> Record {
    let key = format!("default/{:08x}-ee8a-3ca4-894e-db77e160355e", number.wrapping_mul(0x9e37_79b9) as u32);
    Record::new(key, format!("{number:0235}"))
}

async fn append(log: &Log, what: &str, tasks: usize, batch: usize, records: usize) {
    let rounds = records / tasks / batch;
    let begun = Mark::now();
    let spawned = (0..tasks).map(|task| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            for round in 0..rounds {
                let first = (task * rounds + round) * batch;
                log.append(Events, (first..first + batch).map(record).collect()).await.unwrap();
            }
        })
    });
    join_all(spawned).await.into_iter().for_each(|done| done.unwrap());
    tell(what, rounds * tasks * batch, begun);
}

async fn scan(log: &Log, what: &str) {
    let begun = Mark::now();
    let scanned = (0..log.partitions(Events)).map(|partition| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            let end = log.bounds(Events, partition).await.unwrap().end;
            let (mut at, mut chunks) = (0, 0_u64);
            while at < end {
                at = log.read(Events, partition, at, 1 << 20).await.unwrap().next;
                chunks += 1;
            }
            (at, chunks)
        })
    });
    let (mut records, mut chunks) = (0, 0);
    for scanned in join_all(scanned).await {
        let (partition_records, partition_chunks) = scanned.unwrap();
        records += partition_records as usize;
        chunks += partition_chunks;
    }
    tell(&format!("{what} ({chunks} chunks)"), records, begun);
}

/// How long after it was handed over a record is read, by a reader that waits at the end.
async fn visible(log: &Log, pause: Duration) {
    let partition = partition_of(&record(0).key, log.partitions(Events));
    let mut at = log.bounds(Events, partition).await.unwrap().end;
    let (mut acknowledged, mut read) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let waiting = tokio::spawn({
            let log = Arc::clone(log);
            async move {
                log.wait_beyond(Events, partition, at).await.unwrap();
                (log.read(Events, partition, at, 1 << 20).await.unwrap().next, Instant::now())
            }
        });
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        log.append(Events, vec![record(0)]).await.unwrap();
        acknowledged.push(begun.elapsed());
        let (next, seen) = waiting.await.unwrap();
        read.push(seen.duration_since(begun));
        at = next;
    }
    for (what, times) in [("acknowledged", &mut acknowledged), ("read", &mut read)] {
        times.sort();
        println!("{what} after: p50 {:?}, p99 {:?}, most {:?}", times[250], times[495], times[499]);
    }
}

/// An instant, by the clock and by what the process has computed.
#[derive(Clone, Copy)]
struct Mark(Instant, Duration);

impl Mark {
    fn now() -> Self {
        // User and system time are the 14th and 15th word, in hundredths; the second word ends with a parenthesis.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = words.skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        Self(Instant::now(), Duration::from_millis(ticks * 10))
    }
}

fn tell(what: &str, records: usize, begun: Mark) {
    let (seconds, computed) = (begun.0.elapsed().as_secs_f64(), Mark::now().1 - begun.1);
    let each = computed.as_secs_f64() * 1e6 / records as f64;
    println!("{what}: {records} records, {:.0} a second, {each:.1} µs of CPU each", records as f64 / seconds);
}
