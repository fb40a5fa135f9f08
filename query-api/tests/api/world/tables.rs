//! A generation, filled as the projector would.

use std::collections::HashMap;
use std::sync::Arc;

use weir_control::State as Control;
use weir_event::{Envelope, Event, Stream};
use weir_segment::{OpenSpans, State, StoredSpan, advance, fold, membership};
use weir_store::{
    Card, Count, CountRow, Fence, Generation, MembershipBatch, ProfileKey, Quarantined, ScoreRow, SpanKey, SpanRow,
    SqliteStore, Store as _, TimelineBatch, TimelineRow, place, serving_catalog, tree,
};

use super::{TEN, baskets};

/// A generation on its way along the log.
pub struct Tables {
    pub generation: Arc<dyn Generation>,
    state: Control,
    control_next: usize,
    membership_next: usize,
    timeline_next: usize,
    folded: HashMap<ProfileKey, (State, OpenSpans)>,
}

impl Tables {
    pub async fn create(store: &SqliteStore, bound: u64) -> Self {
        let created = store.create(bound, TEN, weir_store::Purpose::Switch).await.unwrap();
        Self::of(store.generation(created).await.unwrap())
    }

    /// A generation that somebody has made.
    pub fn of(generation: Arc<dyn Generation>) -> Self {
        Self {
            generation,
            state: Control::default(),
            control_next: 0,
            membership_next: 0,
            timeline_next: 0,
            folded: HashMap::new(),
        }
    }

    pub async fn catch_up(&mut self, control: &[Vec<u8>], events: &[Vec<u8>]) {
        self.take_control(control).await;
        self.take_membership(events).await;
        self.take_timeline(events).await;
    }

    pub async fn take_control(&mut self, control: &[Vec<u8>]) {
        let bound = self.generation.bound();
        let new = control.iter().enumerate().skip(self.control_next);
        let records: Vec<(u64, Vec<u8>)> = new.map(|(offset, record)| (offset as u64, record.clone())).collect();
        for (offset, record) in &records {
            self.state.evolve_bound(*offset, record, bound);
        }
        let fence = fence(self.control_next, control.len(), None);
        self.generation.commit_control(fence, &records, &[]).await.unwrap();
        self.control_next = control.len();
    }

    pub async fn take_membership(&mut self, events: &[Vec<u8>]) {
        while self.membership_next < events.len() {
            let offset = self.membership_next;
            let (received, batch) = self.batch(offset as u64, &events[offset]);
            self.generation.commit_membership(fence(offset, offset + 1, received), &batch).await.unwrap();
            self.membership_next += 1;
        }
    }

    /// What one record does to the tables. What is no event is set aside; nothing repeats here.
    fn batch(&mut self, offset: u64, record: &[u8]) -> (Option<i64>, MembershipBatch) {
        let mut batch = MembershipBatch::default();
        let envelope = match Envelope::parse(record) {
            Ok(envelope) => envelope,
            Err(poison) => {
                let (stream, partition, reason) = (Stream::Events, 0, poison.0);
                batch.quarantine.push(Quarantined { stream, partition, offset, reason, record: record.to_vec() });
                batch.counts.push(CountRow { workspace: None, what: Count::Quarantined, n: 1 });
                batch.not_admitted.push(offset);
                return (None, batch);
            }
        };
        let workspace = self.state.workspace(&envelope.workspace).unwrap();
        let catalog = serving_catalog(workspace);
        let key = ProfileKey { workspace: workspace.no, profile: envelope.subject };
        let (state, open) = self.folded.entry(key).or_default();
        let touched = fold(&catalog, state, &Event::of(&envelope)).unwrap();
        let horizon = state.horizon.unwrap();
        let mut gone = Vec::new();
        for index in touched.segments {
            let segment = &catalog.segments()[index];
            let change = advance(open.0.entry(segment.id).or_default(), membership(segment, state).unwrap(), horizon);
            let row = |stored: &StoredSpan| SpanRow {
                key: SpanKey {
                    segment: segment.id,
                    past: stored.past,
                    enters: stored.span.enters,
                    profile: key.profile,
                },
                leaves: stored.span.leaves,
            };
            gone.extend(change.removed.iter().map(row));
            batch.spans.extend(change.added.iter().map(row));
        }
        open.prune(horizon);
        batch.tree = tree::rows(gone.iter().copied(), batch.spans.iter().copied());
        batch.removed_spans = gone.iter().map(|row| row.key).collect();
        for change in touched.scores {
            let row = |points: weir_event::Decimal| ScoreRow {
                score: catalog.scores()[change.score].id,
                points: points.billionths(),
                profile: key.profile,
            };
            batch.removed_scores.extend(change.before.map(row));
            batch.scores.extend(change.after.map(row));
        }
        batch.cards.push(Card { key, card: state.card(&catalog).encode() });
        (Some(envelope.received.micros()), batch)
    }

    pub async fn take_timeline(&mut self, events: &[Vec<u8>]) {
        let new = events.iter().enumerate().skip(self.timeline_next);
        let new: Vec<_> =
            new.filter_map(|(offset, record)| Some((offset, record, Envelope::parse(record).ok()?))).collect();
        let (mut rows, mut taken) = (Vec::new(), Vec::new());
        for (offset, record, envelope) in &new {
            let workspace = self.state.workspace(&envelope.workspace).unwrap().no;
            let key = ProfileKey { workspace, profile: envelope.subject };
            let event = Event::of(envelope);
            let (place, offset, record) = (place::of_event(&event.key), *offset as u64, record.to_vec());
            rows.push(TimelineRow { key, place, partition: 0, offset, record });
            taken.push((key, event));
        }
        let baskets = baskets::batch(self.generation.as_ref(), &taken).await;
        let fence = fence(self.timeline_next, events.len(), None);
        self.generation.commit_timeline(fence, &TimelineBatch { rows, baskets }).await.unwrap();
        self.timeline_next = events.len();
    }
}

fn fence(expected: usize, next: usize, newest_receipt: Option<i64>) -> Fence {
    Fence { partition: 0, owner: uuid::Uuid::nil(), expected: expected as u64, next: next as u64, newest_receipt }
}
