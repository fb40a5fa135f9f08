//! Folding admitted events into baskets: what a batch of the timeline does to them.
//!
//! A profile's basket is folded anew from all of its basket events, before the batch and after it, and the rows that differ
//! are written. Taking the difference of two folds, instead of adding to what was there, is what makes a late event as
//! simple as a latest one.

use std::collections::BTreeMap;

use metrics::counter;
use weir_basket::days::Changes;
use weir_basket::{BUDGET, Basket, Change, History, Inserted, Removal};
use weir_event::{Event, EventKey};
use weir_store::{
    BasketBatch, BasketRow, Count, CountRow, DaysChanges, Generation, ProfileKey, RemovalKey, RemovalRow, place,
};

use crate::error::FoldError;

/// Baskets of one batch, in the making.
pub(crate) struct Baskets {
    /// What came in of each profile, in log order.
    events: BTreeMap<ProfileKey, Vec<(EventKey, Change)>>,
    days: BTreeMap<u64, Changes>,
    counts: BTreeMap<(u64, Count), i64>,
    batch: BasketBatch,
    taken: u64,
}

/// What is counted of a batch, once it is committed.
pub(crate) struct Taken {
    events: u64,
    counts: Vec<CountRow>,
}

impl Taken {
    /// Counts for whoever watches the process.
    pub(crate) fn measure(&self) {
        counter!("weir_projector_basket_events_total").increment(self.events);
        for row in &self.counts {
            let n = u64::try_from(row.n).unwrap_or(0);
            match row.what {
                Count::NotBasketEvents => counter!("weir_projector_not_basket_events_total").increment(n),
                Count::BasketsSetAside => counter!("weir_projector_baskets_set_aside_total").increment(n),
                _ => {}
            }
        }
    }
}

impl Baskets {
    pub(crate) fn new() -> Self {
        let (events, days, counts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { events, days, counts, batch: BasketBatch::default(), taken: 0 }
    }

    /// Takes an admitted event in, if it is one of a basket's.
    pub(crate) fn take(&mut self, key: ProfileKey, event: Event<'_>) {
        match Change::of(&event) {
            Ok(None) => {}
            Ok(Some(change)) => {
                self.taken += 1;
                self.events.entry(key).or_default().push((event.key, change));
            }
            Err(_) => self.count(key.workspace, Count::NotBasketEvents),
        }
    }

    fn count(&mut self, workspace: u64, what: Count) {
        *self.counts.entry((workspace, what)).or_default() += 1;
    }

    /// What the batch does to the tables.
    pub(crate) async fn finish(mut self, generation: &dyn Generation) -> Result<(BasketBatch, Taken), FoldError> {
        let events = std::mem::take(&mut self.events);
        let keys: Vec<ProfileKey> = events.keys().copied().collect();
        if !keys.is_empty() {
            let known = generation.baskets(&keys).await?;
            let mut known: BTreeMap<ProfileKey, Vec<u8>> = known.into_iter().map(|row| (row.key, row.state)).collect();
            for (key, events) in events {
                let state = known.remove(&key);
                let history = state.as_deref().map(History::decode).transpose()?.unwrap_or_default();
                self.fold(key, history, events);
            }
        }
        let days = std::mem::take(&mut self.days).into_iter();
        let days = days.map(|(workspace, changes)| DaysChanges { workspace, changes: changes.encode() });
        self.batch.days = days.filter(|row| !row.changes.is_empty()).collect();
        let counts = self.counts.into_iter();
        self.batch.counts =
            counts.map(|((workspace, what), n)| CountRow { workspace: Some(workspace), what, n }).collect();
        self.batch.gone.sort_unstable();
        self.batch.removals.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let taken = Taken { events: self.taken, counts: self.batch.counts.clone() };
        Ok((self.batch, taken))
    }

    fn fold(&mut self, key: ProfileKey, mut history: History, events: Vec<(EventKey, Change)>) {
        let before = Basket::of(&history).removals;
        let mut changed = false;
        for (event, change) in events {
            match history.insert(event, change, BUDGET) {
                Inserted::New => changed = true,
                Inserted::SetAside => {
                    changed = true;
                    self.count(key.workspace, Count::BasketsSetAside);
                    tracing::warn!(profile = %key.profile, "a basket was set aside: its events pass the budget of bytes");
                }
                Inserted::Known | Inserted::WasAside => {}
            }
        }
        if !changed {
            return;
        }
        let after = Basket::of(&history).removals;
        self.batch.baskets.push(BasketRow { key, state: history.encode() });
        if before != after {
            self.days.entry(key.workspace).or_default().replace(&before, &after);
            self.replace(key, before, after);
        }
    }

    /// Writes the removals that differ.
    fn replace(&mut self, key: ProfileKey, before: Vec<Removal>, after: Vec<Removal>) {
        let rows = |removals: Vec<Removal>| -> BTreeMap<RemovalKey, Vec<u8>> {
            let row = |removal: Removal| {
                let (draft, place, bytes) = (removal.is_draft(), place::of_event(&removal.event), removal.encode());
                let ProfileKey { workspace, profile } = key;
                (RemovalKey { workspace, draft, place, profile, product: removal.product }, bytes)
            };
            removals.into_iter().map(row).collect()
        };
        let (before, after) = (rows(before), rows(after));
        self.batch.gone.extend(before.keys().filter(|key| !after.contains_key(key)).cloned());
        for (key, removal) in after {
            if before.get(&key) != Some(&removal) {
                self.batch.removals.push(RemovalRow { key, removal });
            }
        }
    }
}
