//! The timeline, and views as snapshots.

use std::collections::BTreeMap;

use super::fences::fence;
use super::folds::key;
use super::model::{Change, SpanModel};
use super::{Place, Random, fresh};
use crate::{
    Card, Generation, MembershipBatch, ProfileKey, SpanKey, SpanRow, TimelineBatch, TimelineRow, count, members,
};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    the_timeline_is_read_backwards(make).await;
    a_view_is_of_one_instant(make).await;
    many_views_are_open_at_once(make).await;
    changes_are_told(make).await;
}

async fn the_timeline_is_read_backwards<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(8);
    let mut model: BTreeMap<ProfileKey, BTreeMap<Vec<u8>, TimelineRow>> = BTreeMap::new();
    let mut at = [0_u64; 2];
    for _ in 0..8 {
        let partition = random.pick(&[0_u32, 1]);
        let offset = &mut at[usize::try_from(partition).unwrap()];
        let expected = *offset;
        let mut rows = Vec::new();
        for _ in 0..random.below(700) {
            let key = key(random.below(2), u128::from(random.below(20) * 2) + u128::from(partition));
            // Late ones come between those that are there.
            let place = [random.bytes(3), offset.to_be_bytes().to_vec(), vec![0; 2]].concat();
            let most = if random.once_in(50) { 20_000 } else { 60 };
            let record = random.bytes(most);
            rows.push(TimelineRow { key, place, partition, offset: *offset, record });
            *offset += 1 + random.below(2);
        }
        for row in &rows {
            model.entry(row.key).or_default().insert(row.place.clone(), row.clone());
        }
        generation.commit_timeline(fence(partition, expected, *offset + 1), &rows.into()).await.unwrap();
        *offset += 1;
    }
    let mut view = generation.timeline().await.unwrap();
    for (key, rows) in &model {
        let expected: Vec<&TimelineRow> = rows.values().rev().collect();
        for limit in [1, 10, expected.len(), expected.len() + 1] {
            let mut listed: Vec<TimelineRow> = Vec::new();
            loop {
                let page = view.events(*key, listed.last().map(|row| &row.place[..]), limit).await.unwrap();
                let full = page.len() == limit;
                listed.extend(page);
                if !full {
                    break;
                }
            }
            assert!(listed.iter().eq(expected.iter().copied()), "{key:?} in pages of {limit}");
        }
    }
    assert_eq!(view.events(key(9, 1), None, 5).await.unwrap(), []);
}

/// Who is in segment 1 from instant `enters` on, with a card.
fn entering(model: &mut SpanModel, profile: u128, enters: i64) -> MembershipBatch {
    let key = key(1, profile);
    let span = SpanKey { segment: 1, past: false, enters, profile: key.profile };
    let cards = vec![Card { key, card: enters.to_be_bytes().to_vec() }];
    MembershipBatch { cards, ..model.batch([Change::Add(SpanRow { key: span, leaves: i64::MAX })]) }
}

async fn a_view_is_of_one_instant<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut model = SpanModel::default();
    generation.commit_membership(fence(0, 0, 1), &entering(&mut model, 1, 5)).await.unwrap();
    let mut view = generation.view().await.unwrap();
    let mut timeline = generation.timeline().await.unwrap();
    generation.commit_membership(fence(0, 1, 2), &entering(&mut model, 2, 6)).await.unwrap();
    generation.commit_control(fence(0, 0, 1), &[(0, vec![])], &[]).await.unwrap();
    let record = TimelineRow { key: key(1, 1), place: vec![1], partition: 0, offset: 0, record: vec![] };
    generation.commit_timeline(fence(0, 0, 1), &vec![record].into()).await.unwrap();
    // The views were opened before, though nothing was read through them.
    assert_eq!(view.progress().await.unwrap().iter().map(|p| p.next).collect::<Vec<_>>(), [1]);
    assert_eq!(count(&mut *view, 1, 100).await.unwrap(), 1);
    assert_eq!(members(&mut *view, 1, 100, None, 9).await.unwrap().rows.len(), 1);
    assert_eq!(view.cards(&[key(1, 1), key(1, 2)]).await.unwrap().len(), 1);
    assert_eq!(view.control(0).await.unwrap(), []);
    assert_eq!(timeline.progress().await.unwrap(), []);
    assert_eq!(timeline.events(key(1, 1), None, 9).await.unwrap(), []);
    let mut view = generation.view().await.unwrap();
    assert_eq!(count(&mut *view, 1, 100).await.unwrap(), 2);
    assert_eq!(view.control(0).await.unwrap().len(), 1);
    assert_eq!(generation.timeline().await.unwrap().events(key(1, 1), None, 9).await.unwrap().len(), 1);
}

/// Readers come and go while a writer commits; each sees whole batches only.
async fn many_views_are_open_at_once<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let reader = || async {
        let mut last = 0;
        for _ in 0..40 {
            let mut view = generation.view().await.unwrap();
            let next = view.progress().await.unwrap().first().map_or(0, |p| p.next);
            tokio::task::yield_now().await;
            assert_eq!(count(&mut *view, 1, 100).await.unwrap(), i64::try_from(next).unwrap());
            assert!(next >= last, "a later view is of an earlier instant");
            last = next;
        }
    };
    let mut model = SpanModel::default();
    let writer = async {
        for at in 0..60 {
            let batch = entering(&mut model, u128::from(at), 1);
            generation.commit_membership(fence(0, at, at + 1), &batch).await.unwrap();
        }
    };
    let readers = async {
        tokio::join!(reader(), reader(), reader(), reader(), reader(), reader(), reader(), reader(), reader());
    };
    tokio::join!(writer, readers);
}

async fn changes_are_told<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, store, generation) = fresh(make).await;
    let mut changes = store.changes();
    assert!(!changes.has_changed().unwrap());
    let mut expect = async |what: &str| {
        assert!(changes.has_changed().unwrap(), "{what}");
        changes.changed().await.unwrap();
    };
    generation.commit_membership(fence(0, 0, 1), &MembershipBatch::default()).await.unwrap();
    expect("membership").await;
    generation.commit_control(fence(0, 0, 1), &[], &[]).await.unwrap();
    expect("control").await;
    generation.commit_timeline(fence(0, 0, 1), &TimelineBatch::default()).await.unwrap();
    expect("timeline").await;
    store.promote(Generation::id(&*generation), None).await.unwrap();
    expect("promote").await;
    let refused = generation.commit_membership(fence(0, 0, 1), &MembershipBatch::default()).await;
    assert!(refused.is_err());
    assert!(!store.changes().has_changed().unwrap(), "nothing was written");
}
