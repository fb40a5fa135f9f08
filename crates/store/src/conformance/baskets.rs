//! Baskets: what a batch does to their tables, and what readers find.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use uuid::Uuid;
use weir_basket::days::Place as Days;
use weir_event::ProfileId;

use super::fences::fence;
use super::folds::key;
use super::{Place, Random, fresh};
use crate::{
    BasketBatch, BasketRow, Count, CountRow, DaysKey, DaysRow, Generation, RemovalKey, RemovalRange, RemovalRow,
    TimelineBatch, TimelineView, place,
};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    states_are_written_over(make).await;
    sums_are_written_over_and_go(make).await;
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

async fn sums_are_written_over_and_go<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let key = |workspace, block, bucket, partition| DaysKey { workspace, place: Days { block, bucket }, partition };
    let row = |key, cells: &[u8]| DaysRow { key, cells: cells.to_vec() };
    let first = [
        row(key(1, -1, 0, 0), b"a"),
        row(key(1, 3, 63, 0), b"b"),
        row(key(1, 4, 1, 0), b"c"),
        row(key(2, 3, 63, 0), b"d"),
    ];
    commit(generation.as_ref(), 0, 0, BasketBatch { days: first.to_vec(), ..BasketBatch::default() }).await;
    let other = vec![row(key(1, 3, 63, 1), b"e")];
    commit(generation.as_ref(), 1, 0, BasketBatch { days: other, ..BasketBatch::default() }).await;
    let then = vec![row(key(1, -1, 0, 0), b""), row(key(1, 3, 63, 0), b"bb"), row(key(1, 9, 9, 0), b"")];
    commit(generation.as_ref(), 0, 1, BasketBatch { days: then, ..BasketBatch::default() }).await;
    let asked = [key(1, -1, 0, 0), key(1, 3, 63, 0), key(1, 3, 63, 1), key(1, 3, 62, 0)];
    let mut known = generation.removal_days(&asked).await.unwrap();
    known.sort_by_key(|row| row.key);
    assert_eq!(known, [row(key(1, 3, 63, 0), b"bb"), row(key(1, 3, 63, 1), b"e")]);
    let mut view = generation.timeline().await.unwrap();
    for (blocks, expected) in [
        ((i32::MIN, i32::MAX), vec![&b"bb"[..], b"c", b"e"]),
        ((3, 3), vec![b"bb", b"e"]),
        ((4, 8), vec![b"c"]),
        ((5, 4), vec![]),
    ] {
        let mut cells: Vec<Vec<u8>> = view.removal_cells(1, blocks).try_collect().await.unwrap();
        cells.sort_unstable();
        assert_eq!(cells, expected, "{blocks:?}");
    }
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
            let event = weir_event::EventKey {
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
    expected.sort_by(|a, b| order(b).cmp(&order(a)));
    expected.dedup_by(|a, b| order(a) == order(b));
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

type Order = (Vec<u8>, ProfileId, String);

fn order(row: &RemovalRow) -> Order {
    (row.key.place.clone(), row.key.profile, row.key.product.clone())
}
