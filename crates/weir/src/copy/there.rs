//! What an earlier run has copied.
//!
//! A record's key tells its partition in the source and in the target, so that both sides can count by pair of
//! partitions. The records of a pair have one order, which every copy keeps: so `n` records of a pair in the target must
//! be the first `n` of that pair in the source.

use std::ops::Range;

use anyhow::anyhow;
use weir_event::Stream;
use weir_event_log::{LogReader, LogRecord, partition_of};

use super::digest::Run;
use super::read::{Scan, ends, size};
use super::{Meter, Pace};

/// What is not in the target yet.
#[derive(Debug)]
pub(super) struct Missing {
    /// By partition of the source: runs of offsets, in order.
    runs: Vec<Vec<Range<u64>>>,
    /// How many events are in the target.
    pub(super) there: u64,
}

impl Missing {
    /// All runs in the order in which they are copied, with their partition.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u32, Range<u64>)> {
        (0..).zip(&self.runs).flat_map(|(partition, runs)| runs.iter().map(move |run| (partition, run.clone())))
    }

    /// How many records.
    pub(super) fn count(&self) -> u64 {
        self.runs.iter().flatten().map(|run| run.end - run.start).sum()
    }

    fn push(&mut self, partition: u32, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        let runs = &mut self.runs[partition as usize];
        match runs.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => runs.push(run),
        }
    }
}

/// A partition of the source and one of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    from: u32,
    to: u32,
}

/// The numbers of partitions of both logs.
#[derive(Clone, Copy)]
struct Sides {
    from: u32,
    to: u32,
}

impl Sides {
    fn pair(self, record: &LogRecord) -> Pair {
        Pair { from: partition_of(&record.key, self.from), to: partition_of(&record.key, self.to) }
    }

    fn all(self) -> usize {
        self.from as usize * self.to as usize
    }

    fn index(self, pair: Pair) -> usize {
        pair.from as usize * self.to as usize + pair.to as usize
    }
}

/// Which events of the source, before `ends`, the target lacks. What it has is compared.
pub(super) async fn missing(
    from: &dyn LogReader,
    to: &dyn LogReader,
    ends: &[u64],
    pace: Pace,
    meter: &Meter,
) -> anyhow::Result<Missing> {
    let sides = Sides { from: ends.len() as u32, to: to.partitions(Stream::Events) };
    let (there, count) = count(to, sides, pace, meter).await?;
    let mut missing = Missing { runs: vec![Vec::new(); ends.len()], there: count };
    let mut seen = vec![Run::default(); sides.all()];
    let mut left = count;
    for (partition, &end) in (0..).zip(ends) {
        let mut at = 0;
        let mut scan = Scan::new(from, Stream::Events, partition, 0..end, pace);
        while left > 0 {
            let chunk = scan.next().await?;
            if chunk.is_empty() {
                break;
            }
            let (before, bytes) = (left, chunk.iter().map(size).sum());
            for record in chunk {
                at = record.offset + 1;
                let pair = sides.pair(&record);
                let (seen, there) = (&mut seen[sides.index(pair)], there[sides.index(pair)]);
                if seen.count == there.count {
                    missing.push(partition, record.offset..at);
                    continue;
                }
                seen.add(&record.key, &record.value);
                left -= 1;
                if seen.count == there.count && *seen != there {
                    return Err(difference(from, to, ends, pair, pace).await);
                }
            }
            meter.add(before - left, bytes);
        }
        missing.push(partition, at..end);
    }
    meter.done();
    let beyond = there.iter().zip(&seen).position(|(there, seen)| there.count > seen.count);
    match beyond {
        None => Ok(missing),
        Some(index) => {
            let pair = Pair { from: index as u32 / sides.to, to: index as u32 % sides.to };
            Err(difference(from, to, ends, pair, pace).await)
        }
    }
}

/// The target's records by pair, and how many there are.
async fn count(log: &dyn LogReader, sides: Sides, pace: Pace, meter: &Meter) -> anyhow::Result<(Vec<Run>, u64)> {
    let ends = ends(log, Stream::Events, pace).await?;
    let count = ends.iter().sum();
    if count > 0 {
        meter.phase("checking", 2 * count);
    }
    let mut there = vec![Run::default(); sides.all()];
    for (partition, &end) in (0..).zip(&ends) {
        let mut scan = Scan::new(log, Stream::Events, partition, 0..end, pace);
        loop {
            let chunk = scan.next().await?;
            if chunk.is_empty() {
                break;
            }
            for record in &chunk {
                let pair = sides.pair(record);
                if pair.to != partition {
                    return Err(foreign(partition, record.offset, "its key belongs to another partition"));
                }
                there[sides.index(pair)].add(&record.key, &record.value);
            }
            meter.add(chunk.len() as u64, chunk.iter().map(size).sum());
        }
    }
    Ok((there, count))
}

fn foreign(partition: u32, offset: u64, why: &str) -> anyhow::Error {
    anyhow!(
        "the target holds something else: events.v1 partition {partition}, offset {offset}: {why}; if a Weir was started \
         over the target, it is a log of its own by now and can't be continued, else copy into an empty log"
    )
}

/// Where the records of a pair begin to differ.
async fn difference(from: &dyn LogReader, to: &dyn LogReader, ends: &[u64], pair: Pair, pace: Pace) -> anyhow::Error {
    match find_difference(from, to, ends, pair, pace).await {
        Ok(found) | Err(found) => found,
    }
}

async fn find_difference(
    from: &dyn LogReader,
    to: &dyn LogReader,
    source_ends: &[u64],
    pair: Pair,
    pace: Pace,
) -> anyhow::Result<anyhow::Error> {
    let sides = Sides { from: source_ends.len() as u32, to: to.partitions(Stream::Events) };
    let target_end = ends(to, Stream::Events, pace).await?[pair.to as usize];
    let mut source = Members::new(from, sides, pair, (0..).zip(source_ends.iter().copied()).collect(), pace);
    let mut target = Members::new(to, sides, pair, vec![(pair.to, target_end)], pace);
    loop {
        let Some((partition, there)) = target.next().await? else {
            return Ok(anyhow!("the target differed from the source when it was first read, and doesn't any more"));
        };
        match source.next().await? {
            Some((_, record)) if record.key == there.key && record.value == there.value => {}
            Some((origin, record)) => {
                let why =
                    format!("the source has another record there, of partition {origin}, offset {}", record.offset);
                return Ok(foreign(partition, there.offset, &why));
            }
            None => return Ok(foreign(partition, there.offset, "the source has no such record")),
        }
    }
}

/// The records of one pair on one side, each with its partition.
struct Members<'a> {
    log: &'a dyn LogReader,
    sides: Sides,
    pair: Pair,
    /// Partitions to come, with their ends; the next one last.
    partitions: Vec<(u32, u64)>,
    scan: Option<(u32, Scan<'a>)>,
    chunk: std::vec::IntoIter<LogRecord>,
    pace: Pace,
}

impl<'a> Members<'a> {
    fn new(log: &'a dyn LogReader, sides: Sides, pair: Pair, mut partitions: Vec<(u32, u64)>, pace: Pace) -> Self {
        partitions.reverse();
        Self { log, sides, pair, partitions, scan: None, chunk: Vec::new().into_iter(), pace }
    }

    async fn next(&mut self) -> anyhow::Result<Option<(u32, LogRecord)>> {
        loop {
            let Some((partition, scan)) = &mut self.scan else {
                let Some((partition, end)) = self.partitions.pop() else { return Ok(None) };
                self.scan = Some((partition, Scan::new(self.log, Stream::Events, partition, 0..end, self.pace)));
                continue;
            };
            if let Some(record) = self.chunk.find(|record| self.sides.pair(record) == self.pair) {
                return Ok(Some((*partition, record)));
            }
            self.chunk = scan.next().await?.into_iter();
            if self.chunk.len() == 0 {
                self.scan = None;
            }
        }
    }
}
