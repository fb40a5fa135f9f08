//! The target's first record: what the copy is.
//!
//! It is the source's with another lineage, the target's partitions and where it comes from. Fields that this release
//! doesn't know are kept: their absence would mean something.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};
use uuid::Uuid;
use weir_control::{CopiedFrom, LogOpened, State};
use weir_event::Stream;
use weir_event_log::{LogReader, LogRecord, Record};

use super::read::{Scan, ends};
use super::write::Writer;
use super::{Pace, Target};

/// How many records the source has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) control: u64,
    pub(super) events: u64,
}

/// The names of both logs.
pub(super) struct Lineages {
    pub(super) from: Uuid,
    pub(super) to: Uuid,
}

/// Writes the target's first record, or makes sure that the one there was written by a copy of this source.
pub(super) async fn write(from: &dyn LogReader, to: &Target, sizes: Sizes, pace: Pace) -> anyhow::Result<Lineages> {
    let source = read(from, pace).await.context("the source can't be copied")?;
    let Some(source) = source else { bail!("the source is empty: it has no record that says what it is") };
    let partitions = to.reader.partitions(Stream::Events);
    if let Some(found) = read(to.reader.as_ref(), pace).await.context("the target holds something else")? {
        check(&source, &found, partitions)?;
        return Ok(Lineages { from: source.opened.lineage, to: found.opened.lineage });
    }
    let events: u64 = ends(to.reader.as_ref(), Stream::Events, pace).await?.iter().sum();
    ensure!(events == 0, "the target holds something else: {events} events, and no record that says whose they are");
    let lineage = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let copied_from = CopiedFrom { lineage: source.opened.lineage, control: sizes.control, events: sizes.events };
    let value = source.copied(lineage, partitions, copied_from)?.to_string();
    let record = Record { key: source.record.key.clone(), value: value.into() };
    Writer::new(to, Stream::Control, vec![0], pace).write(vec![record]).await?;
    Ok(Lineages { from: source.opened.lineage, to: lineage })
}

/// A log's first record.
struct First {
    record: LogRecord,
    fields: Map<String, Value>,
    opened: LogOpened,
}

impl First {
    /// What a copy's first record says.
    fn copied(&self, lineage: Uuid, partitions: u32, copied_from: CopiedFrom) -> anyhow::Result<Value> {
        let mut fields = self.fields.clone();
        fields.insert("lineage".to_owned(), serde_json::to_value(lineage)?);
        fields.insert("events_partitions".to_owned(), partitions.into());
        fields.insert("copied_from".to_owned(), serde_json::to_value(copied_from)?);
        Ok(Value::Object(fields))
    }
}

/// A log's first record; none where nothing is.
async fn read(log: &dyn LogReader, pace: Pace) -> anyhow::Result<Option<First>> {
    let end = ends(log, Stream::Control, pace).await?[0];
    let Some(record) = Scan::new(log, Stream::Control, 0, 0..end.min(1), pace).next().await?.into_iter().next() else {
        return Ok(None);
    };
    let mut state = State::default();
    state.evolve(0, &record.value);
    let opened = state.log().cloned().context("the first record of control.v1 doesn't say what the log is")?;
    let found = log.partitions(Stream::Events);
    ensure!(
        opened.events_partitions == found,
        "its first record says that events.v1 has {} partitions, but it has {found}",
        opened.events_partitions
    );
    let fields = serde_json::from_slice(&record.value).context("the first record of control.v1 is no JSON object")?;
    Ok(Some(First { record, fields, opened }))
}

fn check(source: &First, found: &First, partitions: u32) -> anyhow::Result<()> {
    let (of, lineage) = (source.opened.lineage, found.opened.lineage);
    let Some(copied_from) = found.opened.copied_from else {
        bail!("the target holds another log, {lineage}, which is no copy: the source is {of}");
    };
    ensure!(
        copied_from.lineage == of,
        "the target holds another log, {lineage}, a copy of {}: the source is {of}",
        copied_from.lineage
    );
    ensure!(
        Value::Object(found.fields.clone()) == source.copied(lineage, partitions, copied_from)?,
        "the target's first record, {}, is not what a copy of the source begins with",
        String::from_utf8_lossy(&found.record.value)
    );
    Ok(())
}
