//! What readers see of cards, scores, counts, control records and records set aside.

use std::collections::BTreeSet;

use uuid::Uuid;
use weir_event::{ProfileId, Stream};

use super::fences::fence;
use super::folds::key;
use super::{Place, Random, fresh};
use crate::{Card, Count, CountRow, MembershipBatch, Quarantined, ScoreRow};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    cards_are_written_over(make).await;
    scores_are_listed_by_points(make).await;
    counts_add_up_over_partitions(make).await;
    control_records_come_in_order(make).await;
    what_is_set_aside_is_kept(make).await;
    offsets_not_admitted_are_told_by_range(make).await;
}

async fn cards_are_written_over<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let card = |profile, bytes: &[u8]| Card { key: key(2, profile), card: bytes.to_vec() };
    for (at, cards) in (0..).zip([vec![card(1, b"a"), card(2, b"b")], vec![card(2, b"")]]) {
        let batch = MembershipBatch { cards, ..MembershipBatch::default() };
        generation.commit_membership(fence(0, at, at + 1), &batch).await.unwrap();
    }
    let mut view = generation.view().await.unwrap();
    let mut cards = view.cards(&[key(2, 2), key(2, 1), key(2, 3), key(1, 1)]).await.unwrap();
    cards.sort_by_key(|card| card.key);
    assert_eq!(cards, [card(1, b"a"), card(2, b"")]);
}

async fn scores_are_listed_by_points<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(5);
    let points = [0, 1, -1, 1_000_000_000, -1_000_000_000, i128::MAX, i128::MIN, 1 << 90, -(1 << 90)];
    let mut model = BTreeSet::new();
    for at in 0..30 {
        let mut batch = MembershipBatch::default();
        for profile in 0..60 {
            let row = ScoreRow { score: 1, points: random.pick(&points), profile: ProfileId(Uuid::from_u128(profile)) };
            let known = model.iter().find(|known: &&ScoreRow| known.profile == row.profile).copied();
            if random.once_in(2) && known != Some(row) {
                batch.removed_scores.extend(known.filter(|known| model.remove(known)));
                batch.scores.push(row);
                model.insert(row);
            }
        }
        batch.scores.push(ScoreRow { score: 2, points: at.into(), profile: ProfileId(Uuid::from_u128(9)) });
        generation.commit_membership(fence(0, at, at + 1), &batch).await.unwrap();
    }
    let mut expected: Vec<ScoreRow> = model.into_iter().collect();
    expected.sort_by_key(|row| (std::cmp::Reverse(row.points), row.profile));
    let mut view = generation.view().await.unwrap();
    for limit in [1, 7, 59, 60, 100] {
        let mut listed: Vec<ScoreRow> = Vec::new();
        loop {
            let after = listed.last().map(|row| (row.points, row.profile));
            let page = view.scores(1, after, limit).await.unwrap();
            let full = page.len() == limit;
            listed.extend(page);
            if !full {
                break;
            }
        }
        assert_eq!(listed, expected, "in pages of {limit}");
    }
    assert_eq!(view.scores(2, None, 100).await.unwrap().len(), 30);
    assert_eq!(view.scores(3, None, 100).await.unwrap(), []);
}

async fn counts_add_up_over_partitions<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let count = |workspace, what, n| CountRow { workspace, what, n };
    let batch = |counts: &[CountRow]| MembershipBatch { counts: counts.to_vec(), ..MembershipBatch::default() };
    let (ours, unknown) = (Some(4), None);
    let first = batch(&[count(unknown, Count::Quarantined, 1), count(ours, Count::Duplicates, 5)]);
    generation.commit_membership(fence(0, 0, 1), &first).await.unwrap();
    let second = batch(&[count(ours, Count::Duplicates, 2), count(ours, Count::SetAside, -1)]);
    generation.commit_membership(fence(1, 0, 1), &second).await.unwrap();
    generation.commit_membership(fence(0, 1, 2), &first).await.unwrap();
    let mut counts = generation.view().await.unwrap().counts().await.unwrap();
    counts.sort_by_key(|row| (row.workspace, row.what));
    let expected =
        [count(unknown, Count::Quarantined, 2), count(ours, Count::Duplicates, 12), count(ours, Count::SetAside, -1)];
    assert_eq!(counts, expected);
}

async fn control_records_come_in_order<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let records: Vec<(u64, Vec<u8>)> = (0..700).map(|offset| (offset, offset.to_string().into_bytes())).collect();
    generation.commit_control(fence(0, 0, 3), &records[..3], &[]).await.unwrap();
    // The log may have offsets without records.
    generation.commit_control(fence(0, 3, 700), &records[10..], &[]).await.unwrap();
    let mut view = generation.view().await.unwrap();
    let expected = [&records[..3], &records[10..]].concat();
    assert_eq!(view.control(0).await.unwrap(), expected);
    assert_eq!(view.control(2).await.unwrap(), expected[2..]);
    assert_eq!(view.control(5).await.unwrap(), expected[3..]);
    assert_eq!(view.control(700).await.unwrap(), []);
}

async fn what_is_set_aside_is_kept<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let aside = |stream, partition, offset| Quarantined {
        stream,
        partition,
        offset,
        reason: format!("bad at {offset}"),
        record: vec![0, 255, b'x'],
    };
    let events = vec![aside(Stream::Events, 1, 2), aside(Stream::Events, 1, 9)];
    let batch = MembershipBatch { quarantine: events.clone(), ..MembershipBatch::default() };
    generation.commit_membership(fence(1, 0, 10), &batch).await.unwrap();
    let control = aside(Stream::Control, 0, 6);
    generation.commit_control(fence(0, 0, 7), &[], std::slice::from_ref(&control)).await.unwrap();
    let mut view = generation.view().await.unwrap();
    let all = [vec![control], events].concat();
    assert_eq!(view.quarantine(None, 10).await.unwrap(), all);
    assert_eq!(view.quarantine(None, 2).await.unwrap(), all[..2]);
    for (from, left) in [
        ((Stream::Control, 0, 0), 0),
        ((Stream::Control, 0, 6), 0),
        ((Stream::Control, 0, 7), 1),
        ((Stream::Events, 0, 99), 1),
        ((Stream::Events, 1, 3), 2),
        ((Stream::Events, 1, 9), 2),
        ((Stream::Events, 1, 10), 3),
        ((Stream::Events, 2, 0), 3),
    ] {
        assert_eq!(view.quarantine(Some(from), 10).await.unwrap(), all[left..], "from {from:?}");
    }
    assert_eq!(view.quarantine(Some((Stream::Control, 0, 7)), 1).await.unwrap(), all[1..2]);
}

async fn offsets_not_admitted_are_told_by_range<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let batch =
        |not_admitted: &[u64]| MembershipBatch { not_admitted: not_admitted.to_vec(), ..MembershipBatch::default() };
    generation.commit_membership(fence(0, 0, 10), &batch(&[1, 5, 9])).await.unwrap();
    generation.commit_membership(fence(1, 0, 10), &batch(&[2])).await.unwrap();
    generation.commit_membership(fence(0, 10, 20), &batch(&[10, 19])).await.unwrap();
    assert_eq!(generation.not_admitted(0, 0, 100).await.unwrap(), [1, 5, 9, 10, 19]);
    assert_eq!(generation.not_admitted(0, 5, 10).await.unwrap(), [5, 9]);
    assert_eq!(generation.not_admitted(0, 6, 9).await.unwrap(), [0; 0]);
    assert_eq!(generation.not_admitted(1, 0, u64::MAX >> 1).await.unwrap(), [2]);
    assert_eq!(generation.not_admitted(2, 0, 10).await.unwrap(), [0; 0]);
}
