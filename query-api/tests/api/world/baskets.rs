//! What events do to the tables of baskets.

use std::collections::BTreeMap;

use weir_basket::days::Changes;
use weir_basket::{BUDGET, Basket, Change, History, Inserted, Removal};
use weir_event::Event;
use weir_store::{
    BasketBatch, BasketRow, Count, CountRow, DaysChanges, Generation, ProfileKey, RemovalKey, RemovalRow, place,
};

/// A batch of all of them: each basket before it and after it.
pub async fn batch(generation: &dyn Generation, events: &[(ProfileKey, Event<'_>)]) -> BasketBatch {
    let mut histories: BTreeMap<ProfileKey, (Vec<Removal>, History)> = BTreeMap::new();
    let mut counts: BTreeMap<(u64, Count), i64> = BTreeMap::new();
    for (key, event) in events {
        let change = match Change::of(event) {
            Ok(Some(change)) => change,
            Ok(None) => continue,
            Err(_) => {
                *counts.entry((key.workspace, Count::NotBasketEvents)).or_default() += 1;
                continue;
            }
        };
        if !histories.contains_key(key) {
            let known = generation.baskets(&[*key]).await.unwrap();
            let history = known.first().map(|row| History::decode(&row.state).unwrap()).unwrap_or_default();
            histories.insert(*key, (Basket::of(&history).removals, history));
        }
        let (_, history) = histories.get_mut(key).unwrap();
        if history.insert(event.key.clone(), change, BUDGET) == Inserted::SetAside {
            *counts.entry((key.workspace, Count::BasketsSetAside)).or_default() += 1;
        }
    }
    let (mut batch, mut days) = (BasketBatch::default(), BTreeMap::<u64, Changes>::new());
    for (key, (before, history)) in histories {
        let after = Basket::of(&history).removals;
        batch.baskets.push(BasketRow { key, state: history.encode() });
        days.entry(key.workspace).or_default().replace(&before, &after);
        let after = rows(key, &after);
        batch.gone.extend(rows(key, &before).into_keys().filter(|key| !after.contains_key(key)));
        batch.removals.extend(after.into_iter().map(|(key, removal)| RemovalRow { key, removal }));
    }
    batch.gone.sort_unstable();
    batch.removals.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let days = days.into_iter().map(|(workspace, days)| DaysChanges { workspace, changes: days.encode() });
    batch.days = days.filter(|row| !row.changes.is_empty()).collect();
    batch.counts = counts.into_iter().map(|((no, what), n)| CountRow { workspace: Some(no), what, n }).collect();
    batch
}

fn rows(key: ProfileKey, removals: &[Removal]) -> BTreeMap<RemovalKey, Vec<u8>> {
    let ProfileKey { workspace, profile } = key;
    let row = |removal: &Removal| {
        let (place, product) = (place::of_event(&removal.event), removal.product.clone());
        (RemovalKey { workspace, draft: removal.is_draft(), place, profile, product }, removal.encode())
    };
    removals.iter().map(row).collect()
}
