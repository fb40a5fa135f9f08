//! Baskets: what a batch does to their tables, and what readers find.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;
use weir_basket::{Removal, days};
use weir_event::{Decimal, EventKey, ProfileId};

use super::fences::fence;
use super::folds::key;
use super::{Place, Random, fresh};
use crate::{
    BasketBatch, BasketRow, Count, CountRow, DaysChanges, Generation, RemovalKey, RemovalRange, RemovalRow, Table,
    TableRow, TimelineBatch, TimelineView, place,
};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    states_are_written_over(make).await;
    sums_add_up_whatever_waits(make).await;
    damaged_sums_hold_nobody_up(make).await;
    counts_add_up(make).await;
    removals_are_listed_the_latest_first(make).await;
}

async fn commit(generation: &dyn Generation, partition: u32, at: u64, baskets: BasketBatch) {
    let batch = TimelineBatch { rows: Vec::new(), baskets };
    generation.commit_timeline(fence(partition, at, at + 1), &batch).await.unwrap();
}

async fn states_are_written_over<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let row = |profile, state: &[u8]| BasketRow { key: key(2, profile), state: state.to_vec() };
    for (at, baskets) in (0..).zip([vec![row(1, b"a"), row(2, b"b")], vec![row(2, b"c")]]) {
        commit(generation.as_ref(), 0, at, BasketBatch { baskets, ..BasketBatch::default() }).await;
    }
    let keys = [key(2, 2), key(2, 1), key(2, 3), key(1, 1)];
    let mut known = generation.baskets(&keys).await.unwrap();
    known.sort_by_key(|row| row.key);
    assert_eq!(known, [row(1, b"a"), row(2, b"c")]);
    let mut seen = generation.timeline().await.unwrap().baskets(&keys).await.unwrap();
    seen.sort_by_key(|row| row.key);
    assert_eq!(seen, known);
    assert_eq!(generation.baskets(&[]).await.unwrap(), []);
}

/// A profile's removals of products, one a day.
fn removals(products: &[(&str, i32)]) -> Vec<Removal> {
    let removal = |(product, day): &(&str, i32)| {
        let at = i64::from(*day) * days::DAY + 7;
        Removal {
            event: EventKey { at, time: at, id: "e".into(), received: at },
            product: (*product).to_owned(),
            name: None,
            quantity: Decimal::ONE,
            price: None,
            added_at: at,
            checked_out: None,
        }
    };
    products.iter().map(removal).collect()
}

/// Many batches of several partitions and workspaces: what is read of some days is what a summary over the removals says,
/// whether it waits or was added to rows.
async fn sums_add_up_whatever_waits<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(5);
    let mut all: BTreeMap<u64, Vec<Vec<Removal>>> = BTreeMap::new();
    let names: Vec<String> = (0..4_000).map(|n| format!("product {n} {}", "x".repeat(40))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for at in 0..8 {
        for partition in [0, 3] {
            let mut batch = BasketBatch::default();
            for workspace in [1, 2] {
                let mut changes = days::Changes::default();
                // One batch is so large that it is worth writing rows for, with what waited before it.
                for _ in 0..if at == 4 && workspace == 1 { 4_000 } else { 3 } {
                    let picked = [0, 1].map(|_| (random.pick(&names), random.pick(&[-5, 0, 3, 100, 4_000])));
                    let mine = removals(&picked);
                    changes.replace(&[], &mine);
                    all.entry(workspace).or_default().push(mine);
                }
                batch.days.push(DaysChanges { workspace, changes: changes.encode() });
            }
            commit(generation.as_ref(), partition, at, batch).await;
        }
    }
    assert!(waiting(generation.as_ref()).await < 16 * 1_000, "nothing was added to rows");
    summaries(generation.as_ref(), &all).await;
    // What is too little to be added to rows by itself is added in a quiet moment, unless it is next to nothing.
    for (at, profiles, left) in [(8, 3, true), (9, 1_000, false)] {
        let mut changes = days::Changes::default();
        for _ in 0..profiles {
            let mine = removals(&[(random.pick(&names), 3)]);
            changes.replace(&[], &mine);
            all.entry(1).or_default().push(mine);
        }
        let days = vec![DaysChanges { workspace: 1, changes: changes.encode() }];
        commit(generation.as_ref(), 3, at, BasketBatch { days, ..BasketBatch::default() }).await;
        generation.tidy_up().await.unwrap();
        assert_eq!(waiting(generation.as_ref()).await > 0, left);
        summaries(generation.as_ref(), &all).await;
    }
    // All of it is taken away again.
    let mut batch = BasketBatch::default();
    for (workspace, profiles) in std::mem::take(&mut all) {
        let mut changes = days::Changes::default();
        profiles.iter().for_each(|removals| changes.replace(removals, &[]));
        batch.days.push(DaysChanges { workspace, changes: changes.encode() });
    }
    commit(generation.as_ref(), 0, 8, batch).await;
    summaries(generation.as_ref(), &all).await;
    let mut contents = generation.contents().await.unwrap();
    assert_eq!(contents.rows(Table::RemovalDays).count().await, 0);
    assert_eq!(contents.rows(Table::RemovalDaysNew).count().await, 0);
}

/// Bytes that wait.
async fn waiting(generation: &dyn Generation) -> usize {
    let mut contents = generation.contents().await.unwrap();
    let rows: Vec<TableRow> = contents.rows(Table::RemovalDaysNew).try_collect().await.unwrap();
    let bytes = |row: &TableRow| match row {
        TableRow::RemovalDaysNew(.., row) => row.changes.len(),
        _ => 0,
    };
    rows.iter().map(bytes).sum()
}

async fn summaries(generation: &dyn Generation, all: &BTreeMap<u64, Vec<Vec<Removal>>>) {
    let none = Vec::new();
    for workspace in [1, 2, 3] {
        let profiles = all.get(&workspace).unwrap_or(&none);
        for (from, to) in [(i32::MIN, i32::MAX), (-5, 4), (0, 1), (1, 4_001), (4, 100), (9, 3)] {
            let wanted = |removal: &&Removal| (from..to).contains(&days::day_of(removal.event.at));
            let mut expected: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
            for removals in profiles {
                let mine: Vec<&Removal> = removals.iter().filter(wanted).collect();
                let products: BTreeSet<&str> = mine.iter().map(|removal| removal.product.as_str()).collect();
                mine.iter().for_each(|removal| expected.entry(&removal.product).or_default().0 += 1);
                products.iter().for_each(|product| expected.entry(product).or_default().1 += 1);
            }
            let (class, mut view) = (days::Class::All, generation.timeline().await.unwrap());
            let changes = view.removal_changes(workspace).await.unwrap();
            let mut summary = days::Summary::of_changes(class, (from, to), changes).unwrap();
            for buckets in [0..1, 1..40, 40..i32::from(days::BUCKETS)] {
                let rows = view.removal_days(workspace, &days::cover(from..to), buckets.clone()).await.unwrap();
                assert!(rows.iter().all(|(bucket, _)| buckets.contains(bucket)));
                summary.merge(days::Summary::of_rows(class, (from, to), rows).unwrap());
            }
            let found = summary.products().map(|(product, sums)| (product, (sums.times(), sums.profiles)));
            assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{workspace} {from} {to}");
        }
    }
}

/// Sums that can't be read hold no batch up: what is to be added to them waits.
async fn damaged_sums_hold_nobody_up<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let changes = |changes: &[u8]| BasketBatch {
        days: vec![DaysChanges { workspace: 1, changes: changes.to_vec() }],
        ..BasketBatch::default()
    };
    commit(generation.as_ref(), 0, 0, changes(b"what is this")).await;
    let mut whole = days::Changes::default();
    whole.replace(&[], &removals(&[("a", 1)]));
    commit(generation.as_ref(), 1, 0, changes(&whole.encode())).await;
    let kept = generation.timeline().await.unwrap().removal_changes(1).await.unwrap();
    assert_eq!(BTreeSet::from_iter(kept), BTreeSet::from([b"what is this".to_vec(), whole.encode()]));
}

async fn counts_add_up<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let count = |workspace, what, n| CountRow { workspace: Some(workspace), what, n };
    let (first, second) = (count(1, Count::NotBasketEvents, 2), count(2, Count::BasketsSetAside, 1));
    for partition in [0, 1] {
        let counts = vec![first, second];
        commit(generation.as_ref(), partition, 0, BasketBatch { counts, ..BasketBatch::default() }).await;
    }
    let mut counts = generation.timeline().await.unwrap().basket_counts().await.unwrap();
    counts.sort_by_key(|row| row.workspace);
    assert_eq!(counts, [count(1, Count::NotBasketEvents, 4), count(2, Count::BasketsSetAside, 2)]);
}

/// Against a model, in pages of several sizes, by every filter.
async fn removals_are_listed_the_latest_first<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(11);
    let mut model: BTreeMap<RemovalKey, Vec<u8>> = BTreeMap::new();
    for at in 0..20 {
        let (mut gone, mut put) = (BTreeSet::new(), BTreeMap::new());
        for key in model.keys() {
            if random.once_in(4) {
                gone.insert(key.clone());
            }
        }
        for _ in 0..40 {
            let event = EventKey {
                at: random.pick(&[-3, 0, 7, 1_000]),
                time: 1_000,
                id: random.pick(&["a", "b", "bc"]).into(),
                received: 1_000,
            };
            let key = RemovalKey {
                workspace: random.pick(&[1, 2]),
                draft: random.once_in(2),
                place: place::of_event(&event),
                profile: ProfileId(Uuid::from_u128(random.pick(&[1, 2, u128::MAX]))),
                product: random.pick(&["", "A", "a", "é", "zz"]).to_owned(),
            };
            gone.remove(&key);
            put.insert(key, vec![u8::try_from(at).unwrap()]);
        }
        for key in &gone {
            model.remove(key);
        }
        model.extend(put.clone());
        let removals = put.into_iter().map(|(key, removal)| RemovalRow { key, removal }).collect();
        let batch = BasketBatch { gone: gone.into_iter().collect(), removals, ..BasketBatch::default() };
        commit(generation.as_ref(), 0, at, batch).await;
    }
    let mut view = generation.timeline().await.unwrap();
    for workspace in [1, 3] {
        for draft in [None, Some(true), Some(false)] {
            for product in [None, Some("a"), Some("none")] {
                for (from, to) in [(i64::MIN, i64::MAX), (-3, 7), (0, 1_000), (8, 9), (7, 0)] {
                    let product = product.map(str::to_owned);
                    let range = RemovalRange { workspace, draft, product, from, to, after: None };
                    list(&mut *view, &model, range).await;
                }
            }
        }
    }
}

async fn list(view: &mut dyn TimelineView, model: &BTreeMap<RemovalKey, Vec<u8>>, range: RemovalRange) {
    let bounds = place::at(range.from).to_vec()..place::at(range.to).to_vec();
    let wanted = |key: &RemovalKey| {
        key.workspace == range.workspace
            && range.draft.is_none_or(|draft| draft == key.draft)
            && range.product.as_ref().is_none_or(|product| *product == key.product)
            && bounds.contains(&key.place)
    };
    let rows = model.iter().filter(|(key, _)| wanted(key));
    let mut expected: Vec<RemovalRow> =
        rows.map(|(key, removal)| RemovalRow { key: key.clone(), removal: removal.clone() }).collect();
    // A removal is a draft or it isn't, so no two rows of a list have one place, profile and product: but the model's may.
    expected.sort_by_cached_key(|row| std::cmp::Reverse(order(row)));
    expected.dedup_by(|a, b| order(a) == order(b));
    latest(view, model, &range).await;
    for limit in [3, 1_000] {
        let (mut listed, mut range) = (Vec::<RemovalRow>::new(), range.clone());
        loop {
            let page = view.removals(&range, limit).await.unwrap();
            let full = page.len() == limit;
            listed.extend(page);
            let Some(last) = listed.last().filter(|_| full) else { break };
            let key = &last.key;
            range.after = Some((key.place.clone(), key.profile, key.product.clone()));
        }
        listed.dedup_by(|a, b| order(a) == order(b));
        let keys = |rows: &[RemovalRow]| rows.iter().map(|row| order(row).clone()).collect::<Vec<_>>();
        assert_eq!(keys(&listed), keys(&expected), "{range:?} in pages of {limit}");
    }
}

/// Of each product the latest that is a draft and the latest that isn't.
async fn latest(view: &mut dyn TimelineView, model: &BTreeMap<RemovalKey, Vec<u8>>, range: &RemovalRange) {
    let products = ["a", "zz", "none"].map(str::to_owned);
    let bounds = place::at(range.from).to_vec()..place::at(range.to).to_vec();
    let mut expected = Vec::new();
    for product in &products {
        for draft in [false, true] {
            let of = |key: &&RemovalKey| {
                key.workspace == range.workspace
                    && key.draft == draft
                    && range.draft.is_none_or(|wanted| wanted == draft)
                    && key.product == *product
                    && bounds.contains(&key.place)
            };
            expected.extend(model.keys().filter(of).max_by_key(|key| (&key.place, key.profile)).cloned());
        }
    }
    expected.sort_unstable();
    let mut found: Vec<RemovalKey> =
        view.latest_removals(range, &products).await.unwrap().into_iter().map(|row| row.key).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{range:?}");
}

type Order = (Vec<u8>, ProfileId, String);

fn order(row: &RemovalRow) -> Order {
    (row.key.place.clone(), row.key.profile, row.key.product.clone())
}
