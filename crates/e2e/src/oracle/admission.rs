//! Which records count: an ordered walk over the log, before anything is asked.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::WorkspaceOracle;
use super::record::{Event, workspace_named};

/// An event that was admitted.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The event.
    pub event: Event,
    /// The profile's horizon with it: the largest receipt among the records admitted up to here.
    pub horizon: i64,
    /// The largest arrival among the records admitted up to here.
    pub arrival: i64,
    /// The record's partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
}

/// A record that was not admitted, because one like it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The record's partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Whether its type or data differ from those of the admitted one.
    pub conflict: bool,
}

/// A record that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The record's partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// The workspace that it names, if that can be read.
    pub workspace: Option<String>,
    /// Why it was set aside.
    pub reason: String,
}

/// Takes one record in.
pub(super) fn admit(
    workspaces: &mut BTreeMap<String, WorkspaceOracle>,
    known: Option<&[&str]>,
    (partition, offset): (u32, u64),
    record: &[u8],
    window: i64,
) -> Result<(), Quarantined> {
    let aside = |reason: String| Quarantined { partition, offset, workspace: workspace_named(record), reason };
    let event = Event::parse(record).map_err(aside)?;
    if known.is_some_and(|known| !known.contains(&event.workspace.as_str())) {
        return Err(aside(format!("no workspace {}", event.workspace)));
    }
    let workspace = workspaces.entry(event.workspace.clone()).or_default();
    let before: &[Admitted] = workspace.records(event.profile);
    let arrival = before.iter().map(|r| r.arrival).fold(event.arrived, i64::max);
    let first = before.iter().rev().find(|r| r.event.id == event.id && arrival - r.arrival <= window);
    if let Some(first) = first {
        let conflict = first.event.name != event.name || first.event.data_text != event.data_text;
        workspace.repeats.push(Repeat { partition, offset, conflict });
        return Ok(());
    }
    let horizon = before.iter().map(|r| r.horizon).fold(event.received, i64::max);
    let profile: Uuid = event.profile;
    workspace.profiles.entry(profile).or_default().push(Admitted { event, horizon, arrival, partition, offset });
    Ok(())
}
