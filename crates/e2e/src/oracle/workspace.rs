//! The questions that can be asked about a workspace. Nothing is remembered from one to the next.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::admission::{Admitted, Repeat};
use super::definition::{Definition, Score, Scores};
use super::profile::{self, PointsView, ProfileView};
use super::{Decimal, evaluate};

/// A stretch of membership, [enters_at, leaves_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first instant of it.
    pub enters_at: i64,
    /// The first instant after it; nothing when it never ends.
    pub leaves_at: Option<i64>,
}

impl Span {
    /// Whether the instant lies in it.
    pub fn contains(&self, now: i64) -> bool {
        self.enters_at <= now && self.leaves_at.is_none_or(|leaves| now < leaves)
    }
}

/// A row of a segment's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The profile.
    pub id: Uuid,
    /// The span that the instant asked lies in.
    pub span: Span,
}

/// What the log says about one workspace.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceOracle {
    pub(super) profiles: BTreeMap<Uuid, Vec<Admitted>>,
    pub(super) repeats: Vec<Repeat>,
    pub(super) quarantined: usize,
}

impl WorkspaceOracle {
    /// All profiles that have an admitted record, by id.
    pub fn profiles(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.profiles.keys().copied()
    }

    /// The admitted records of a profile, in log order.
    pub fn records(&self, profile: Uuid) -> &[Admitted] {
        self.profiles.get(&profile).map_or(&[], Vec::as_slice)
    }

    /// The admitted records of all profiles, by partition and offset.
    pub fn admitted(&self) -> Vec<&Admitted> {
        let mut all: Vec<&Admitted> = self.profiles.values().flatten().collect();
        all.sort_by_key(|r| (r.partition, r.offset));
        all
    }

    /// The records that were not admitted because they repeat another, in log order.
    pub fn repeats(&self) -> &[Repeat] {
        &self.repeats
    }

    /// How many records repeat another one.
    pub fn duplicates(&self) -> usize {
        self.repeats.len()
    }

    /// How many of them differ from the one they repeat.
    pub fn conflicts(&self) -> usize {
        self.repeats.iter().filter(|r| r.conflict).count()
    }

    /// How many poison records name this workspace.
    pub fn quarantined(&self) -> usize {
        self.quarantined
    }

    /// Whether the profile is a member at the instant, past, present or future.
    pub fn member(&self, definition: &Definition, profile: Uuid, now: i64) -> bool {
        let known = evaluate::known(self.records(profile), now);
        !known.is_empty() && evaluate::holds(&definition.when, known, now)
    }

    /// The instants at which the profile's membership may change, and their neighbours: good ones to ask at.
    pub fn change_points(&self, definition: &Definition, profile: Uuid) -> Vec<i64> {
        definition.when.change_points(self.records(profile)).into_iter().collect()
    }

    /// All spans of the profile, past and to come.
    pub fn spans(&self, definition: &Definition, profile: Uuid) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut inside = false;
        for now in self.change_points(definition, profile) {
            let member = self.member(definition, profile, now);
            match (inside, member) {
                (false, true) => spans.push(Span { enters_at: now, leaves_at: None }),
                (true, false) => spans.last_mut().into_iter().for_each(|span| span.leaves_at = Some(now)),
                _ => {}
            }
            inside = member;
        }
        spans
    }

    /// The span that the instant lies in.
    pub fn span_at(&self, definition: &Definition, profile: Uuid, now: i64) -> Option<Span> {
        self.spans(definition, profile).into_iter().find(|span| span.contains(now))
    }

    /// The next instant after `now` at which the membership changes if nothing more happens than the log says.
    pub fn next_flip(&self, definition: &Definition, profile: Uuid, now: i64) -> Option<i64> {
        let ends = self.spans(definition, profile).into_iter().flat_map(|s| [Some(s.enters_at), s.leaves_at]);
        ends.flatten().filter(|flip| *flip > now).min()
    }

    /// The members at the instant, by (entered_at, id).
    pub fn members(&self, definition: &Definition, now: i64) -> Vec<Member> {
        let inside = self.profiles().filter(|id| self.member(definition, *id, now));
        let mut members: Vec<Member> = inside
            .map(|id| {
                let span = self.span_at(definition, id, now).expect("a member at an instant has a span around it");
                Member { id, span }
            })
            .collect();
        members.sort_by_key(|m| (m.span.enters_at, m.id));
        members
    }

    /// How many members there are at the instant.
    pub fn count(&self, definition: &Definition, now: i64) -> usize {
        self.profiles().filter(|id| self.member(definition, *id, now)).count()
    }

    /// The profile as all records leave it; nothing for one that was never seen.
    pub fn profile(&self, profile: Uuid, scores: &Scores) -> Option<ProfileView> {
        profile::view(profile, self.records(profile), scores)
    }

    /// The profile that was sent by this kind and value.
    pub fn find(&self, kind: &str, value: &str) -> Option<Uuid> {
        let named = |r: &Admitted| r.event.identifier.as_ref().is_some_and(|(k, v)| k == kind && v == value);
        self.profiles.iter().find(|(_, records)| records.iter().any(named)).map(|(id, _)| *id)
    }

    /// The profile's events, facts included, newest first.
    pub fn events(&self, profile: Uuid) -> Vec<&Admitted> {
        profile::events(self.records(profile))
    }

    /// What the points service says of a user; nothing for an unknown one.
    pub fn points(&self, score: &Score, user_id: &str) -> Option<PointsView> {
        let profile = self.find("user", user_id)?;
        Some(profile::points(profile, self.records(profile), score))
    }

    /// The points of every profile, most first, then by id.
    pub fn standings(&self, score: &Score) -> Vec<(Uuid, Decimal)> {
        let sum = |records: &[Admitted]| score.sum(records.iter().map(|r| &r.event));
        let mut all: Vec<(Uuid, Decimal)> = self.profiles.iter().map(|(id, records)| (*id, sum(records))).collect();
        all.sort_by_key(|(id, points)| (std::cmp::Reverse(*points), *id));
        all
    }
}
