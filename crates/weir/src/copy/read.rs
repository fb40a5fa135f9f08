//! Reading a log from one place to another, again where a read fails.

use std::error::Error;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_event::Stream;
use weir_event_log::{LogReader, LogRecord, ReadError};

use super::Pace;

const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Counts how long something has been failing.
pub(super) struct Patience {
    pace: Pace,
    since: Option<Instant>,
    delay: Duration,
}

impl Patience {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, since: None, delay: FIRST_DELAY }
    }

    /// Waits before the next attempt, or gives the failure back when there have been enough.
    pub(super) async fn wait<E: Error>(&mut self, failure: E) -> Result<(), E> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.pace.patience {
            return Err(failure);
        }
        tokio::time::sleep(self.delay).await;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        Ok(())
    }
}

/// Asks again while the layer below fails; everything else stays as it is.
async fn again<T, F>(pace: Pace, ask: impl Fn() -> F) -> Result<T, ReadError>
where
    F: Future<Output = Result<T, ReadError>>,
{
    let mut patience = Patience::new(pace);
    loop {
        match ask().await {
            Err(failure @ ReadError::Io { .. }) => patience.wait(failure).await?,
            answer => return answer,
        }
    }
}

/// The end of each partition, all of whose records must still be there.
pub(super) async fn ends(log: &dyn LogReader, stream: Stream, pace: Pace) -> anyhow::Result<Vec<u64>> {
    let mut ends = Vec::new();
    for partition in 0..log.partitions(stream) {
        let bounds = again(pace, || log.bounds(stream, partition)).await?;
        ensure!(
            bounds.first == 0,
            "{stream} partition {partition} begins at offset {}: the records before are gone, so there is no whole log to copy",
            bounds.first
        );
        ends.push(bounds.end);
    }
    Ok(ends)
}

/// Reads a run of one partition.
pub(super) struct Scan<'a> {
    log: &'a dyn LogReader,
    stream: Stream,
    partition: u32,
    rest: Range<u64>,
    pace: Pace,
}

impl<'a> Scan<'a> {
    pub(super) fn new(log: &'a dyn LogReader, stream: Stream, partition: u32, run: Range<u64>, pace: Pace) -> Self {
        Self { log, stream, partition, rest: run, pace }
    }

    /// The next records; none when the run is over.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<LogRecord>> {
        if self.rest.is_empty() {
            return Ok(Vec::new());
        }
        let (stream, partition, from) = (self.stream, self.partition, self.rest.start);
        let read = again(self.pace, || self.log.read(stream, partition, from, self.pace.bytes)).await;
        let mut records = read.context("the log can't be read")?.records;
        records.truncate(usize::try_from(self.rest.end - from).unwrap_or(usize::MAX));
        ensure!(
            !records.is_empty() && (from..).zip(&records).all(|(offset, record)| record.offset == offset),
            "{stream} partition {partition} has a gap behind offset {from}"
        );
        self.rest.start += records.len() as u64;
        Ok(records)
    }
}

/// The bytes of a record that count.
pub(super) fn size(record: &LogRecord) -> u64 {
    (record.key.len() + record.value.len()) as u64
}
