//! Folding records into one batch: what it does to the tables, added up over all of its records.

use std::collections::HashMap;

use uuid::Uuid;
use weir_event::{Decimal, Envelope, Event, Poison, ProfileId, Stream};
use weir_event_log::LogRecord;
use weir_segment::{StoredSpan, advance, fold, membership};
use weir_store::{
    Card, Count, CountRow, Fence, MembershipBatch, ProfileKey, Quarantined, ScoreRow, SpanKey, SpanRow, tree,
};

use crate::admission::{Verdict, fingerprint, id_hash};
use crate::definitions::Served;
use crate::error::FoldError;
use crate::memory::{Folding, Memory};

/// A quick hash will do: what varies in the keys comes out of SHA-1 or is a number of ours.
type Map<K, V> = HashMap<K, V, rapidhash::fast::RandomState>;

/// A batch in the making, for one partition.
pub(crate) struct Batch {
    partition: u32,
    window: i64,
    newest_receipt: Option<i64>,
    /// Each once.
    changed: Vec<ProfileKey>,
    /// Profiles whose card changed, what their workspace is folded by, and whether they are new.
    shown: Map<ProfileKey, (std::sync::Arc<Served>, bool)>,
    spans: Map<(i64, i64, ProfileId), Net<(bool, i64)>>,
    scores: Map<(i64, ProfileId), Net<Decimal>>,
    counts: Map<(Option<u64>, Count), i64>,
    not_admitted: Vec<u64>,
    quarantine: Vec<Quarantined>,
}

/// A row before the batch and after it.
struct Net<T> {
    before: Option<T>,
    after: Option<T>,
}

impl Batch {
    pub(crate) fn new(partition: u32, window: i64) -> Self {
        Self {
            partition,
            window,
            newest_receipt: None,
            changed: Vec::new(),
            shown: Map::default(),
            spans: Map::default(),
            scores: Map::default(),
            counts: Map::default(),
            not_admitted: Vec::new(),
            quarantine: Vec::new(),
        }
    }

    /// Sets a record aside.
    pub(crate) fn set_aside(&mut self, record: &LogRecord, workspace: Option<u64>, poison: Poison) {
        self.count(workspace, Count::Quarantined, 1);
        self.not_admitted.push(record.offset);
        self.quarantine.push(Quarantined {
            stream: Stream::Events,
            partition: self.partition,
            offset: record.offset,
            reason: poison.0,
            record: record.value.to_vec(),
        });
    }

    /// Admits and folds one record.
    pub(crate) fn take(
        &mut self,
        memory: &mut Memory,
        served: &std::sync::Arc<Served>,
        offset: u64,
        envelope: &Envelope<'_>,
    ) -> Result<(), FoldError> {
        let key = ProfileKey { workspace: served.workspace, profile: envelope.subject };
        let held = memory.profile(key);
        if let Some(last) = held.last_offset.filter(|last| *last >= offset) {
            return Err(FoldError::FoldedTwice { partition: self.partition, offset, key, last });
        }
        let print = fingerprint(&envelope.name, envelope.data.map(serde_json::value::RawValue::get));
        let verdict = held.ids.admit(id_hash(&envelope.id), print, envelope.arrival().micros(), self.window);
        if let Verdict::Repeat { conflict } = verdict {
            self.count(Some(key.workspace), Count::Duplicates, 1);
            self.count(Some(key.workspace), Count::Conflicts, i64::from(conflict));
            self.not_admitted.push(offset);
            return Ok(());
        }
        if !held.is_folding() {
            self.changed.push(key);
        }
        let folding = held.folding()?;
        self.newest_receipt = self.newest_receipt.max(Some(envelope.received.micros()));
        let event = Event::of(envelope);
        for _ in 0..crate::sabotage::times_to_fold(offset) {
            self.fold(key, served, folding, &event)?;
        }
        held.last_offset = Some(offset);
        Ok(())
    }

    fn fold(
        &mut self,
        key: ProfileKey,
        served: &std::sync::Arc<Served>,
        folding: &mut Folding,
        event: &Event<'_>,
    ) -> Result<(), FoldError> {
        let Folding { state, open_spans: open, is_new } = folding;
        let aside = state.set_aside();
        let touched = fold(&served.catalog, state, event)?;
        let horizon = state.horizon.unwrap_or(event.key.received);
        for index in touched.segments {
            let segment = &served.catalog.segments()[index];
            let spans = open.0.entry(segment.id).or_default();
            let change = advance(spans, membership(segment, state)?, horizon);
            for stored in change.removed {
                self.span(segment.id, key.profile, stored, false);
            }
            for stored in change.added {
                self.span(segment.id, key.profile, stored, true);
            }
        }
        open.prune(horizon);
        if touched.facts || !touched.scores.is_empty() {
            self.shown.entry(key).or_insert_with(|| (served.clone(), *is_new));
        }
        for change in touched.scores {
            let score = served.catalog.scores()[change.score].id;
            let net =
                self.scores.entry((score, key.profile)).or_insert(Net { before: change.before, after: change.after });
            net.after = change.after;
        }
        self.count(Some(key.workspace), Count::SetAside, i64::try_from(state.set_aside() - aside).unwrap_or(i64::MAX));
        Ok(())
    }

    fn span(&mut self, segment: i64, profile: ProfileId, stored: StoredSpan, added: bool) {
        let value = (stored.past, stored.span.leaves);
        let first = Net { before: (!added).then_some(value), after: None };
        let net = self.spans.entry((segment, stored.span.enters, profile)).or_insert(first);
        net.after = added.then_some(value);
    }

    fn count(&mut self, workspace: Option<u64>, what: Count, n: i64) {
        if n != 0 {
            *self.counts.entry((workspace, what)).or_default() += n;
        }
    }

    /// What the batch does to the tables, sorted, each row once.
    pub(crate) fn finish(
        mut self,
        memory: &mut Memory,
        owner: Uuid,
        expected: u64,
        next: u64,
    ) -> Result<(Fence, MembershipBatch), FoldError> {
        let fence = Fence { partition: self.partition, owner, expected, next, newest_receipt: self.newest_receipt };
        let mut batch = MembershipBatch {
            not_admitted: self.not_admitted,
            quarantine: self.quarantine,
            ..MembershipBatch::default()
        };
        let counts = self.counts.into_iter();
        batch.counts = counts.map(|((workspace, what), n)| CountRow { workspace, what, n }).collect();
        batch.counts.sort_unstable_by_key(|row| (row.workspace, row.what));
        net_spans(self.spans, &mut batch);
        net_scores(self.scores, &mut batch);
        for (key, (served, is_new)) in self.shown {
            let card = memory.profile(key).folding()?.state.card(&served.catalog).encode();
            let cards = if is_new { &mut batch.new.cards } else { &mut batch.cards };
            cards.push(Card { key, card });
        }
        batch.cards.sort_unstable_by_key(|card| card.key);
        batch.new.cards.sort_unstable_by_key(|card| card.key);
        self.changed.sort_unstable();
        memory.complete(&mut batch, &self.changed, fence, self.window);
        Ok((fence, batch))
    }
}

fn net_spans(spans: Map<(i64, i64, ProfileId), Net<(bool, i64)>>, batch: &mut MembershipBatch) {
    let mut gone = Vec::new();
    for ((segment, enters, profile), net) in spans {
        if net.before == net.after {
            continue;
        }
        let row = |(past, leaves)| SpanRow { key: SpanKey { segment, past, enters, profile }, leaves };
        let (before, after) = (net.before.map(row), net.after.map(row));
        gone.extend(before);
        let spans = if before.is_none() { &mut batch.new.spans } else { &mut batch.spans };
        spans.extend(after);
        // A row that stays in its place is written over.
        batch.removed_spans.extend(before.map(|row| row.key).filter(|key| after.is_none_or(|row| row.key != *key)));
    }
    batch.tree = tree::rows(gone, batch.spans.iter().chain(&batch.new.spans).copied());
    batch.spans.sort_unstable();
    batch.new.spans.sort_unstable();
    batch.removed_spans.sort_unstable();
}

fn net_scores(scores: Map<(i64, ProfileId), Net<Decimal>>, batch: &mut MembershipBatch) {
    for ((score, profile), net) in scores {
        if net.before == net.after {
            continue;
        }
        let row = |points: Decimal| ScoreRow { score, points: points.billionths(), profile };
        batch.removed_scores.extend(net.before.map(row));
        batch.scores.extend(net.after.map(row));
    }
    batch.scores.sort_unstable();
    batch.removed_scores.sort_unstable();
}
