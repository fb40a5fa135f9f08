//! Spans by hand: what lists and counts must answer.

use std::collections::BTreeMap;

use uuid::Uuid;
use weir_event::ProfileId;
use weir_segment::NEVER;

use super::Random;
use crate::{MembershipBatch, SpanKey, SpanRow, tree};

/// The spans that a store should hold.
#[derive(Debug, Default)]
pub struct SpanModel {
    spans: BTreeMap<SpanKey, i64>,
}

/// What a batch does to a span.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A new span.
    Add(SpanRow),
    /// The span ends otherwise than it did.
    Update(SpanRow),
    /// The span is no more.
    Remove(SpanKey),
    /// A record ended the span, at this instant.
    End(SpanKey, i64),
}

impl SpanModel {
    /// The batch that does this, done to the model. Each span is changed once at the most.
    pub fn batch(&mut self, changes: impl IntoIterator<Item = Change>) -> MembershipBatch {
        let mut batch = MembershipBatch::default();
        let mut gone = Vec::new();
        for change in changes {
            let (before, after) = match change {
                Change::Add(row) => (None, Some(row)),
                Change::Update(row) => (Some(row.key), Some(row)),
                Change::Remove(key) => (Some(key), None),
                Change::End(key, leaves) => (Some(key), Some(SpanRow { key: SpanKey { past: true, ..key }, leaves })),
            };
            if let Some(key) = before {
                gone.push(SpanRow { key, leaves: self.spans.remove(&key).unwrap() });
                batch.removed_spans.extend(after.is_none_or(|row| row.key != key).then_some(key));
            }
            if let Some(row) = after {
                assert_eq!(self.spans.insert(row.key, row.leaves), None, "{row:?} is there already");
                let other = SpanKey { past: !row.key.past, ..row.key };
                let new = before.is_none() && !self.spans.contains_key(&other);
                if new { &mut batch.new.spans } else { &mut batch.spans }.push(row);
            }
        }
        batch.tree = tree::rows(gone, batch.spans.iter().chain(&batch.new.spans).copied());
        batch.removed_spans.sort_unstable();
        batch.spans.sort_unstable();
        batch.new.spans.sort_unstable();
        batch
    }

    pub fn rows(&self) -> impl Iterator<Item = SpanRow> {
        self.spans.iter().map(|(key, leaves)| SpanRow { key: *key, leaves: *leaves })
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Who is in the segment at an instant, by (entering, profile).
    pub fn members(&self, segment: i64, instant: i64) -> Vec<SpanRow> {
        let mut rows: Vec<SpanRow> = self
            .rows()
            .filter(|row| row.key.segment == segment && row.key.enters <= instant && instant < row.leaves)
            .collect();
        rows.sort_unstable_by_key(|row| (row.key.enters, row.key.profile));
        rows
    }

    /// A profile's spans in segments, by (segment, entering).
    pub fn spans_of(&self, profile: ProfileId, segments: &[i64]) -> Vec<SpanRow> {
        let ours = |row: &SpanRow| row.key.profile == profile && segments.contains(&row.key.segment);
        let mut rows: Vec<SpanRow> = self.rows().filter(ours).collect();
        rows.sort_unstable_by_key(|row| (row.key.segment, row.key.enters));
        rows
    }

    /// Random changes of random spans, as a fold would make them.
    pub fn changes(&self, random: &mut Random, count: usize, segments: &[i64]) -> Vec<Change> {
        let mut taken = BTreeMap::new();
        let known: Vec<SpanRow> = self.rows().collect();
        for _ in 0..count {
            let change = if known.is_empty() || !random.once_in(3) {
                Change::Add(self.span(random, segments))
            } else {
                let row = known[usize::try_from(random.below(known.len() as u64)).unwrap()];
                match random.below(4) {
                    0 => Change::Remove(row.key),
                    1 if !row.key.past => Change::End(row.key, row.key.enters + random.between(1, 1 << 20)),
                    _ => Change::Update(SpanRow { leaves: leaves(random, row.key.enters), ..row }),
                }
            };
            let key = match change {
                Change::Add(row) | Change::Update(row) => row.key,
                Change::Remove(key) | Change::End(key, _) => key,
            };
            // No two spans of a profile enter at one instant.
            let there = [true, false].iter().any(|past| self.spans.contains_key(&SpanKey { past: *past, ..key }));
            if matches!(change, Change::Add(_)) && there {
                continue;
            }
            taken.entry((key.segment, key.enters, key.profile)).or_insert(change);
        }
        taken.into_values().collect()
    }

    /// A span somewhere: near others on every level of the tree, often entering or leaving together with others.
    fn span(&self, random: &mut Random, segments: &[i64]) -> SpanRow {
        const HOUR: i64 = 3_600_000_000;
        let near = 1_760_000_000_000_000 + random.between(0, 40) * 24 * HOUR;
        let enters = match random.below(4) {
            0 => near,
            1 => near + random.between(0, 3),
            2 => near + random.between(0, 200_000),
            _ => near + random.between(0, 24 * HOUR),
        };
        let profile = ProfileId(Uuid::from_u128(u128::from(random.below(500)) << 64));
        let key = SpanKey { segment: random.pick(segments), past: random.once_in(4), enters, profile };
        SpanRow { key, leaves: leaves(random, enters) }
    }
}

fn leaves(random: &mut Random, enters: i64) -> i64 {
    const MONTH: i64 = 30 * 24 * 3_600_000_000;
    match random.below(4) {
        0 => NEVER,
        1 => {
            let bits = random.between(1, 44);
            enters + random.between(1, 1 << bits)
        }
        // A midnight at which many leave.
        _ => enters - enters.rem_euclid(MONTH) + 2 * MONTH,
    }
}
