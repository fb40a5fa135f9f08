//! A workspace, and what is decided about its definitions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;
use weir_event::Timestamp;

use crate::command::NewDefinition;
use crate::definition::{Definition, Deletion, Kind, Name, Version, valid_slug};
use crate::key::{Key, KeyId};
use crate::limits;
use crate::refusal::Refusal;

/// A workspace as the records so far have left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The offset on `control.v1` of the record that made it: its name in tables.
    pub no: u64,
    /// Its slug.
    pub slug: Arc<str>,
    /// The namespace of its profile ids.
    pub namespace: Uuid,
    /// Who made it: a key's id, or a word for a hand without key.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its keys, revoked ones too.
    pub keys: BTreeMap<KeyId, Key>,
    /// Its segments by slug, deleted ones too.
    pub segments: BTreeMap<String, Definition>,
    /// Its scores by slug, deleted ones too.
    pub scores: BTreeMap<String, Definition>,
}

/// What a put does.
pub(crate) struct PutDecision {
    pub(crate) version: u32,
    pub(crate) created: bool,
    pub(crate) unchanged: bool,
}

/// The record by which something happens.
#[derive(Clone, Copy)]
pub(crate) struct Act<'a> {
    pub(crate) offset: u64,
    pub(crate) by: &'a str,
    pub(crate) at: Timestamp,
}

impl Workspace {
    /// The definitions of a kind, deleted ones too.
    pub fn definitions(&self, kind: Kind) -> &BTreeMap<String, Definition> {
        match kind {
            Kind::Segment => &self.segments,
            Kind::Score => &self.scores,
        }
    }

    /// The newest version of a definition, unless it is deleted.
    pub fn live(&self, name: &Name) -> Option<&Version> {
        self.definitions(name.kind).get(&name.slug).and_then(Definition::live)
    }

    /// Every definition that isn't deleted, with its newest version: segments, then scores, by slug.
    pub fn live_definitions(&self) -> impl Iterator<Item = (Kind, &str, &Version)> {
        [Kind::Segment, Kind::Score].into_iter().flat_map(|kind| {
            self.definitions(kind)
                .iter()
                .filter_map(move |(slug, definition)| definition.live().map(|version| (kind, slug.as_str(), version)))
        })
    }

    pub(crate) fn decide_put(
        &self,
        kind: Kind,
        new: &NewDefinition,
        if_version: Option<u32>,
    ) -> Result<PutDecision, Refusal> {
        if !valid_slug(&new.slug) {
            return Err(Refusal::InvalidSlug { slug: new.slug.clone() });
        }
        let name = Name { kind, slug: new.slug.clone() };
        let live = self.live(&name);
        check_version(&name, if_version, live)?;
        if let Some(live) = live.filter(|live| *live.body == *new.body) {
            return Ok(PutDecision { version: live.number, created: false, unchanged: true });
        }
        if live.is_none() {
            self.check_count(kind)?;
        }
        if let Some(unknown) = new.names.iter().find(|each| **each != name && self.live(each).is_none()) {
            return Err(Refusal::NamesUnknown { name: unknown.clone() });
        }
        if let Some(path) = self.cycle(&name, &new.names) {
            return Err(Refusal::Cycle { path });
        }
        self.check_empty(&name, new)?;
        let newest = self.definitions(kind).get(&new.slug).and_then(Definition::newest);
        let version = newest.map_or(0, |version| version.number).saturating_add(1);
        Ok(PutDecision { version, created: live.is_none(), unchanged: false })
    }

    pub(crate) fn decide_delete(&self, name: &Name, if_version: Option<u32>) -> Result<u32, Refusal> {
        let Some(live) = self.live(name) else {
            return Err(Refusal::UnknownSlug { name: name.clone() });
        };
        check_version(name, if_version, Some(live))?;
        let by: Vec<_> = self
            .live_definitions()
            .filter(|(_, _, version)| version.names.contains(name))
            .map(|(kind, slug, _)| Name { kind, slug: slug.to_owned() })
            .collect();
        if by.is_empty() { Ok(live.number) } else { Err(Refusal::NamedBy { name: name.clone(), by }) }
    }

    pub(crate) fn apply_put(&mut self, kind: Kind, new: &NewDefinition, decision: &PutDecision, act: Act<'_>) {
        if decision.unchanged {
            return;
        }
        self.definitions_mut(kind).entry(new.slug.clone()).or_default().versions.push(Version {
            number: decision.version,
            offset: act.offset,
            body: Arc::from(new.body.as_str()),
            names: new.names.clone(),
            true_of_empty: new.true_of_empty,
            by: act.by.to_owned(),
            at: act.at,
            deletion: None,
        });
    }

    pub(crate) fn apply_delete(&mut self, name: &Name, act: Act<'_>) {
        let newest = self.definitions_mut(name.kind).get_mut(&name.slug).and_then(|each| each.versions.last_mut());
        if let Some(version) = newest {
            version.deletion = Some(Deletion { offset: act.offset, by: act.by.to_owned(), at: act.at });
        }
    }

    fn definitions_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Definition> {
        match kind {
            Kind::Segment => &mut self.segments,
            Kind::Score => &mut self.scores,
        }
    }

    fn check_count(&self, kind: Kind) -> Result<(), Refusal> {
        let limit = match kind {
            Kind::Segment => limits::SEGMENTS,
            Kind::Score => limits::SCORES,
        };
        let count = self.definitions(kind).values().filter(|each| !each.deleted()).count();
        if count < limit { Ok(()) } else { Err(Refusal::TooManyDefinitions { kind, limit }) }
    }

    fn check_empty(&self, name: &Name, new: &NewDefinition) -> Result<(), Refusal> {
        if !new.true_of_empty {
            return Ok(());
        }
        let others = self
            .live_definitions()
            .filter(|(kind, slug, version)| version.true_of_empty && (*kind, *slug) != (name.kind, name.slug.as_str()))
            .count();
        if others < limits::TRUE_OF_EMPTY { Ok(()) } else { Err(Refusal::TooManyEmpty) }
    }

    /// The shortest way from `start` back to itself, if it names `names`. Without recursion, since a chain may be as
    /// long as there are definitions. What isn't live is named by nothing live, so a new definition can only name
    /// itself at once.
    fn cycle(&self, start: &Name, names: &[Name]) -> Option<Vec<Name>> {
        if self.live(start).is_none() {
            return names.contains(start).then(|| vec![start.clone(), start.clone()]);
        }
        let mut reached_from: BTreeMap<&Name, &Name> = BTreeMap::new();
        let mut seen: BTreeSet<&Name> = BTreeSet::new();
        let mut queue: VecDeque<(&Name, &Name)> = names.iter().map(|name| (start, name)).collect();
        while let Some((from, name)) = queue.pop_front() {
            if name == start {
                return Some(way(start, from, &reached_from));
            }
            if !seen.insert(name) {
                continue;
            }
            reached_from.insert(name, from);
            queue.extend(self.live(name).into_iter().flat_map(|live| &live.names).map(|next| (name, next)));
        }
        None
    }
}

/// The names from `start` to `last` by which it was reached, and `start` again.
fn way(start: &Name, last: &Name, reached_from: &BTreeMap<&Name, &Name>) -> Vec<Name> {
    let mut back = vec![start.clone()];
    let mut at = last;
    while at != start {
        back.push(at.clone());
        let Some(from) = reached_from.get(at) else { break };
        at = from;
    }
    back.push(start.clone());
    back.reverse();
    back
}

fn check_version(name: &Name, if_version: Option<u32>, live: Option<&Version>) -> Result<(), Refusal> {
    let found = live.map_or(0, |version| version.number);
    match if_version {
        Some(expected) if expected != found => Err(Refusal::VersionChanged { name: name.clone(), expected, found }),
        _ => Ok(()),
    }
}
