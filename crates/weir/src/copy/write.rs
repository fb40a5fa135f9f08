//! Writing the target.
//!
//! One append at a time, and after one whose outcome is unknown the target is asked what of it is there: the beginning
//! of what was to come to each partition, else somebody else writes there too.

use anyhow::{Context as _, bail, ensure};
use tokio::sync::mpsc;
use weir_event::Stream;
use weir_event_log::{Cause, LogReader, LogRecord, Record, partition_of};

use super::read::{Patience, Scan, ends, size};
use super::there::Missing;
use super::{Meter, Pace, Target};

/// Batches read ahead of the one that is being written.
const AHEAD: usize = 2;

/// Appends to one stream of the target, and knows where it ends.
pub(super) struct Writer<'a> {
    to: &'a Target,
    stream: Stream,
    ends: Vec<u64>,
    pace: Pace,
}

impl<'a> Writer<'a> {
    /// `ends`: how far each partition reaches.
    pub(super) fn new(to: &'a Target, stream: Stream, ends: Vec<u64>, pace: Pace) -> Self {
        Self { to, stream, ends, pace }
    }

    /// Returns when all of it is there, once.
    pub(super) async fn write(&mut self, mut records: Vec<Record>) -> anyhow::Result<()> {
        let mut patience = Patience::new(self.pace);
        while !records.is_empty() {
            let failure = match self.to.appender.append(self.stream, records.clone()).await {
                Ok(ends) => return self.advance(&records, &ends),
                Err(failure) => failure,
            };
            let known = failure.is_determinate();
            if known && matches!(failure.cause(), Cause::TooLarge { .. } | Cause::Closed | Cause::Damaged(_)) {
                return Err(failure).context("the target can't be written");
            }
            let retry = known || self.pace.settle.is_some();
            if !retry {
                return Err(failure).context("run the same command again, it finds out what is there");
            }
            patience.wait(failure).await.context("the target can't be written")?;
            if !known {
                let before = records.len();
                records = self.settle(records).await?;
                if records.len() < before {
                    patience = Patience::new(self.pace);
                }
            }
        }
        Ok(())
    }

    fn partition(&self, record: &Record) -> usize {
        partition_of(&record.key, self.ends.len() as u32) as usize
    }

    /// An append was acknowledged: it must lie right behind what was there.
    fn advance(&mut self, records: &[Record], acknowledged: &[(u32, u64)]) -> anyhow::Result<()> {
        for record in records {
            let partition = self.partition(record);
            self.ends[partition] += 1;
        }
        for &(partition, end) in acknowledged {
            let expected = self.ends.get(partition as usize).copied().unwrap_or_default();
            if end != expected {
                bail!(
                    "somebody else writes to the target: {} partition {partition} ends at offset {end}, {expected} was \
                     expected; stop it, and copy into an empty log",
                    self.stream
                );
            }
        }
        Ok(())
    }

    /// Finds out what of an append is there; answers the rest.
    async fn settle(&mut self, records: Vec<Record>) -> anyhow::Result<Vec<Record>> {
        let [now] = settled(self.to.reader.as_ref(), [self.stream], self.pace).await?;
        let mut found = Vec::new();
        for (partition, (&before, &end)) in (0..).zip(self.ends.iter().zip(&now)) {
            ensure!(before <= end, "{} partition {partition} of the target has lost records", self.stream);
            let mut scan = Scan::new(self.to.reader.as_ref(), self.stream, partition, before..end, self.pace);
            let mut there = Vec::new();
            loop {
                let chunk = scan.next().await?;
                if chunk.is_empty() {
                    break;
                }
                there.extend(chunk);
            }
            found.push(there.into_iter());
        }
        let mut rest = Vec::new();
        for record in records {
            match found[self.partition(&record)].next() {
                Some(there) if there.key == record.key && there.value == record.value => {}
                Some(there) => return Err(self.foreign(self.partition(&record), &there)),
                None => rest.push(record),
            }
        }
        if let Some((partition, there)) = (0..).zip(&mut found).find_map(|(at, left)| Some((at, left.next()?))) {
            return Err(self.foreign(partition, &there));
        }
        self.ends = now;
        Ok(rest)
    }

    fn foreign(&self, partition: usize, there: &LogRecord) -> anyhow::Error {
        anyhow::anyhow!(
            "the target holds something else: {} partition {partition} has at offset {} a record that this copy didn't \
             put there; copy into an empty log",
            self.stream,
            there.offset
        )
    }
}

/// The ends of streams of the target, as soon as they stand still.
async fn settled<const N: usize>(
    log: &dyn LogReader,
    streams: [Stream; N],
    pace: Pace,
) -> anyhow::Result<[Vec<u64>; N]> {
    let mut before = None;
    loop {
        let mut now = [const { Vec::new() }; N];
        for (now, stream) in now.iter_mut().zip(streams) {
            *now = ends(log, stream, pace).await?;
        }
        let still = pace.settle.unwrap_or_default();
        if still.is_zero() || before.as_ref() == Some(&now) {
            return Ok(now);
        }
        before = Some(now);
        tokio::time::sleep(still).await;
    }
}

/// Waits until an append of a killed run can't come any more, where one could be under way.
pub(super) async fn stand_still(to: &Target, pace: Pace) -> anyhow::Result<()> {
    let [control] = settled(to.reader.as_ref(), [Stream::Control], Pace { settle: None, ..pace }).await?;
    if control[0] > 0 {
        settled(to.reader.as_ref(), [Stream::Control, Stream::Events], pace).await?;
    }
    Ok(())
}

/// Copies `control.v1` behind its first record, offset by offset; answers how many records were there before.
pub(super) async fn control(from: &dyn LogReader, to: &Target, end: u64, pace: Pace) -> anyhow::Result<u64> {
    let there = ends(to.reader.as_ref(), Stream::Control, pace).await?[0];
    super::compare::control(from, to.reader.as_ref(), there, end, pace).await?;
    let mut writer = Writer::new(to, Stream::Control, vec![there], pace);
    let mut scan = Scan::new(from, Stream::Control, 0, there..end, pace);
    loop {
        let records: Vec<_> = scan.next().await?.into_iter().map(to_append).collect();
        if records.is_empty() {
            return Ok(there - 1);
        }
        writer.write(records).await?;
    }
}

/// Copies the events that are missing: one partition of the source after the other.
pub(super) async fn events(
    from: &dyn LogReader,
    to: &Target,
    missing: &Missing,
    pace: Pace,
    meter: &Meter,
) -> anyhow::Result<()> {
    meter.phase("copying", missing.count());
    let ends = ends(to.reader.as_ref(), Stream::Events, pace).await?;
    ensure!(
        ends.iter().sum::<u64>() == missing.there,
        "somebody else writes to the target: it grew while it was looked at; stop it, and copy into an empty log"
    );
    let mut writer = Writer::new(to, Stream::Events, ends, pace);
    let (sender, mut batches) = mpsc::channel(AHEAD);
    let write = async {
        while let Some((records, bytes)) = batches.recv().await {
            let count = Vec::len(&records) as u64;
            writer.write(records).await?;
            meter.add(count, bytes);
        }
        anyhow::Ok(())
    };
    tokio::try_join!(read_missing(from, missing, sender, pace), write)?;
    meter.done();
    Ok(())
}

type Batch = (Vec<Record>, u64);

async fn read_missing(
    from: &dyn LogReader,
    missing: &Missing,
    batches: mpsc::Sender<Batch>,
    pace: Pace,
) -> anyhow::Result<()> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for (partition, run) in missing.runs() {
        let mut scan = Scan::new(from, Stream::Events, partition, run, pace);
        loop {
            let records = scan.next().await?;
            if records.is_empty() {
                break;
            }
            bytes += records.iter().map(size).sum::<u64>();
            batch.extend(records.into_iter().map(to_append));
            if bytes >= pace.bytes as u64
                && batches.send((std::mem::take(&mut batch), std::mem::take(&mut bytes))).await.is_err()
            {
                return Ok(()); // The writer has failed, and says why.
            }
        }
    }
    if !batch.is_empty() {
        // As above.
        let _ = batches.send((batch, bytes)).await;
    }
    Ok(())
}

/// The same record, to be appended.
fn to_append(record: LogRecord) -> Record {
    Record { key: record.key, value: record.value }
}
