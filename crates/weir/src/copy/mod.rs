//! `weir log copy`: moves a log to another backend, or to another number of partitions.
//!
//! Invariant: the target alone says how far the copy is. Nothing is noted beside it, so there is nothing that could
//! contradict it after a crash. This holds because
//!
//! - only one append is under way, so that each partition of the target holds, at every moment, the beginning of what
//!   belongs there: an append over Kafka that was stored in part was stored up to some record of each partition;
//! - records of one partition of the source that belong to one partition of the target keep their order, and a record's
//!   key tells both partitions. So counting the target's records by pair of partitions tells which records of the source
//!   are there already, whatever order the pairs were written in, and also when the source has grown since;
//! - the records counted are compared by a digest before anything is added to them, and everything once more at the end.
//!
//! Rejected: a file with positions (a crash between it and the append doubles or loses records, and over Kafka no commit
//! spans both); counting alone (a target that holds something else would be continued).

mod compare;
mod digest;
mod first;
mod meter;
mod open;
mod read;
mod there;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;
use weir_event::Stream;
use weir_event_log::{LogAppender, LogReader};

pub(crate) use meter::Meter;
pub(crate) use open::{Asked, Opened};

/// What was asked for can't be, whatever is tried: no retry will help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) String);

/// The log written to. Its two sides are apart so that tests can let one of them fail.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) appender: Arc<dyn LogAppender>,
    pub(crate) reader: Arc<dyn LogReader>,
}

/// How it is gone about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes that are read, and appended, at once, about.
    pub(crate) bytes: usize,
    /// For how long a failing read or append is tried again.
    pub(crate) patience: Duration,
    /// For how long the target's ends must stand still until an append whose outcome is unknown, of this process or of
    /// one that was killed, counts as decided. `None` where only opening the log again decides it.
    pub(crate) settle: Option<Duration>,
}

/// What was copied, and what both logs hold now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Names the log copied.
    pub(crate) from_lineage: Uuid,
    /// Names the copy.
    pub(crate) to_lineage: Uuid,
    /// Partitions of `events.v1` of the log copied.
    pub(crate) from_partitions: u32,
    /// Partitions of `events.v1` of the copy.
    pub(crate) to_partitions: u32,
    /// Records of `control.v1`, in each of both.
    pub(crate) control: u64,
    /// Records of `events.v1`, in each of both.
    pub(crate) events: u64,
    /// Bytes of their keys and values.
    pub(crate) bytes: u64,
    /// The digest of `events.v1`, the same of both.
    pub(crate) digest: String,
    /// Records of both streams that an earlier run had copied.
    pub(crate) there_before: u64,
    /// How long it took, the comparison included.
    pub(crate) seconds: f64,
}

/// Copies `from` to `to`, as far as it isn't there yet, and compares both.
///
/// # Errors
/// The source is no log of Weir; the target holds something else; one of them can't be read or written; they differ in
/// the end. Nothing of the target is ever overwritten.
pub(crate) async fn copy(from: Arc<dyn LogReader>, to: Target, pace: Pace, meter: &Meter) -> anyhow::Result<Report> {
    let begun = Instant::now();
    // Events first: whatever made their workspaces lies before the end of control.v1 that is read after them.
    let ends = read::ends(from.as_ref(), Stream::Events, pace).await?;
    let control = read::ends(from.as_ref(), Stream::Control, pace).await?[0];
    let sizes = first::Sizes { control, events: ends.iter().sum() };
    write::stand_still(&to, pace).await?;
    let lineages = first::write(from.as_ref(), &to, sizes, pace).await?;
    let controls_there = write::control(from.as_ref(), &to, control, pace).await?;
    let missing = there::missing(from.as_ref(), to.reader.as_ref(), &ends, pace, meter).await?;
    write::events(from.as_ref(), &to, &missing, pace, meter).await?;
    let digest = compare::compare(&from, &to.reader, control, &ends, pace, meter).await?;
    compare::source_stood_still(from.as_ref(), control, &ends, pace).await?;
    Ok(Report {
        from_lineage: lineages.from,
        to_lineage: lineages.to,
        from_partitions: from.partitions(Stream::Events),
        to_partitions: to.reader.partitions(Stream::Events),
        control,
        events: digest.records,
        bytes: digest.bytes,
        digest: digest.hex(),
        there_before: controls_there + missing.there,
        seconds: begun.elapsed().as_secs_f64(),
    })
}
