//! Both logs, read once more.
//!
//! `control.v1` is compared byte by byte. Of `events.v1` each side gets a digest: the sum over all records of a hash of
//! (key, place among the records of that key, value). It doesn't depend on partitions, nor on the order of records of
//! different keys, and is equal exactly when both have the same records in the same order for each key. Comparing record
//! by record was rejected: with other partitions the order differs, and only one side at a time can be read in its own.
//!
//! The places need a count for each key, 16 bytes and what the table costs: up to about 40 bytes a profile for each side. The
//! table is keyed by a 64-bit hash. Two keys with one hash would be counted together, which can't hide a difference (equal
//! places are still needed), but could find one where none is; by chance, since the seed is another one in each run.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use weir_event::Stream;
use weir_event_log::{LogReader, LogRecord};

use super::digest::of_record;
use super::read::{Scan, ends, size};
use super::{Meter, Pace};

/// What `events.v1` of a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) records: u64,
    pub(super) bytes: u64,
    sum: u128,
}

impl Digest {
    pub(super) fn hex(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// Makes sure that both logs hold the same, up to the ends given; answers what that is.
pub(super) async fn compare(
    from: &Arc<dyn LogReader>,
    to: &Arc<dyn LogReader>,
    control_end: u64,
    source_ends: &[u64],
    pace: Pace,
    meter: &Meter,
) -> anyhow::Result<Digest> {
    let there = ends(to.as_ref(), Stream::Control, pace).await?[0];
    ensure!(there == control_end, "control.v1 has {control_end} records in the source, {there} in the target");
    control(from.as_ref(), to.as_ref(), there, control_end, pace).await?;
    let target_ends = ends(to.as_ref(), Stream::Events, pace).await?;
    meter.phase("comparing", source_ends.iter().chain(&target_ends).sum());
    let secrets = RapidSecrets::random();
    let source = tokio::spawn(digest(Arc::clone(from), source_ends.to_vec(), secrets, pace, meter.clone()));
    let target = tokio::spawn(digest(Arc::clone(to), target_ends, secrets, pace, meter.clone()));
    let source = source.await.context("the comparison broke off")??;
    let target = target.await.context("the comparison broke off")??;
    meter.done();
    ensure!(
        source == target,
        "the copy differs from the source: events.v1 has {} records with digest {} there, {} with digest {} here; copy \
         into an empty log",
        source.records,
        source.hex(),
        target.records,
        target.hex()
    );
    Ok(source)
}

async fn digest(
    log: Arc<dyn LogReader>,
    ends: Vec<u64>,
    secrets: RapidSecrets,
    pace: Pace,
    meter: Meter,
) -> anyhow::Result<Digest> {
    let mut places: HashMap<u64, u64, rapidhash::fast::RandomState> = HashMap::default();
    let mut digest = Digest::default();
    for (partition, &end) in (0..).zip(&ends) {
        let mut scan = Scan::new(log.as_ref(), Stream::Events, partition, 0..end, pace);
        loop {
            let chunk = scan.next().await?;
            if chunk.is_empty() {
                break;
            }
            for record in &chunk {
                let place = places.entry(rapidhash_v3_seeded(&record.key, &secrets)).or_default();
                digest.sum = digest.sum.wrapping_add(of_record(&record.key, *place, &record.value));
                *place += 1;
            }
            let bytes = chunk.iter().map(size).sum();
            digest.records += chunk.len() as u64;
            digest.bytes += bytes;
            meter.add(chunk.len() as u64, bytes);
        }
    }
    Ok(digest)
}

/// Makes sure that the records of `control.v1` in the target, `there` of them, are those of the source; the first one,
/// which is the target's own, is left out.
pub(super) async fn control(
    from: &dyn LogReader,
    to: &dyn LogReader,
    there: u64,
    end: u64,
    pace: Pace,
) -> anyhow::Result<()> {
    let differs = |offset: u64, why: &str| {
        format!("the target holds something else: control.v1, offset {offset}: {why}; copy into an empty log")
    };
    ensure!(there <= end, differs(end, "the source has no such record"));
    let mut source = Records::new(Scan::new(from, Stream::Control, 0, 1..there.max(1), pace));
    let mut target = Records::new(Scan::new(to, Stream::Control, 0, 1..there.max(1), pace));
    while let (Some(record), Some(found)) = (source.next().await?, target.next().await?) {
        let equal = record.key == found.key && record.value == found.value;
        ensure!(equal, differs(found.offset, "the source has another record there"));
    }
    Ok(())
}

/// A scan, record by record.
struct Records<'a> {
    scan: Scan<'a>,
    chunk: std::vec::IntoIter<LogRecord>,
}

impl<'a> Records<'a> {
    fn new(scan: Scan<'a>) -> Self {
        Self { scan, chunk: Vec::new().into_iter() }
    }

    async fn next(&mut self) -> anyhow::Result<Option<LogRecord>> {
        if self.chunk.len() == 0 {
            self.chunk = self.scan.next().await?.into_iter();
        }
        Ok(self.chunk.next())
    }
}

/// Makes sure that nothing was written to the source meanwhile: it would be missing in the copy.
pub(super) async fn source_stood_still(
    log: &dyn LogReader,
    control: u64,
    before: &[u64],
    pace: Pace,
) -> anyhow::Result<()> {
    let grown = ends(log, Stream::Control, pace).await?[0] - control
        + ends(log, Stream::Events, pace).await?.iter().sum::<u64>()
        - before.iter().sum::<u64>();
    ensure!(
        grown == 0,
        "{grown} records came to the source while it was copied: stop what writes to it, and run the same command again, \
         which adds them"
    );
    Ok(())
}
