//! Members and their number, at any instant, against spans by hand.

use std::collections::BTreeMap;

use uuid::Uuid;
use weir_event::ProfileId;
use weir_segment::NEVER;

use super::fences::fence;
use super::model::{Change, SpanModel};
use super::{Place, Random, fresh};
use crate::{Generation, SpanKey, SpanRange, SpanRow, SpanView, View, count, members, tree};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    an_empty_segment_has_nobody(make).await;
    for seed in 0..4 {
        random_spans_are_listed_and_counted(make, seed).await;
    }
    many_leave_at_one_instant(make).await;
    ranges_are_scanned_as_the_seam_says(make).await;
}

/// All members at an instant, page by page.
async fn all_pages(view: &mut dyn View, segment: i64, instant: i64, limit: usize) -> Vec<SpanRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = members(spans(view), segment, instant, after, limit).await.unwrap();
        assert!(page.rows.len() == limit || !page.more, "a page is short, but not the last");
        rows.extend(page.rows);
        if !page.more {
            return rows;
        }
        after = rows.last().map(|row| (row.key.enters, row.key.profile));
    }
}

fn spans(view: &mut dyn View) -> &mut (dyn SpanView + Send) {
    view
}

async fn check(view: &mut dyn View, model: &SpanModel, segment: i64, instant: i64, limit: usize, what: &str) {
    let expected = model.members(segment, instant);
    let counted = count(spans(view), segment, instant).await.unwrap();
    assert_eq!(counted, i64::try_from(expected.len()).unwrap(), "{what}: count at {instant}");
    let listed = all_pages(view, segment, instant, limit).await;
    let missing: Vec<_> = expected.iter().filter(|row| !listed.contains(row)).take(3).collect();
    let strange: Vec<_> = listed.iter().filter(|row| !expected.contains(row)).take(3).collect();
    assert!(
        listed == expected,
        "{what}: {} of {} members listed at {instant} in pages of {limit}; missing {missing:?}, strange {strange:?}",
        listed.len(),
        expected.len(),
    );
}

async fn an_empty_segment_has_nobody<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut view = generation.view().await.unwrap();
    for instant in [i64::MIN, -1, 0, 1_760_000_000_000_000, NEVER - 1] {
        check(&mut *view, &SpanModel::default(), 1, instant, 3, "empty").await;
    }
    assert_eq!(view.spans_of(ProfileId(Uuid::nil()), &[1, 2]).await.unwrap(), []);
    assert_eq!(view.spans_of(ProfileId(Uuid::nil()), &[]).await.unwrap(), []);
}

/// Batches on three partitions; after some of them, everything is asked.
async fn random_spans_are_listed_and_counted<P: Place>(make: &impl AsyncFn() -> P, seed: u64) {
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(seed);
    let mut model = SpanModel::default();
    let segments = [i64::MIN, -3, 1, 2];
    let mut at = [0; 3];
    for round in 0..12 {
        let size = random.pick(&[1, 40, 300, 900]);
        let batch = {
            let changes = model.changes(&mut random, size, &segments);
            model.batch(changes)
        };
        let partition = random.pick(&[0_u32, 1, 2]);
        let next = &mut at[usize::try_from(partition).unwrap()];
        generation.commit_membership(fence(partition, *next, *next + 1), &batch).await.unwrap();
        *next += 1;
        if round % 4 == 3 {
            let what = format!("seed {seed}, round {round}");
            check_everywhere(&*generation, &model, &mut random, &segments, &what).await;
        }
    }
    assert!(model.len() > 1_000, "seed {seed} made only {} spans", model.len());
    tree_is_consistent(&*generation, &model, &segments).await;
}

async fn check_everywhere(
    generation: &dyn Generation,
    model: &SpanModel,
    random: &mut Random,
    segments: &[i64],
    what: &str,
) {
    let known: Vec<SpanRow> = model.rows().collect();
    let mut view = generation.view().await.unwrap();
    for _ in 0..40 {
        let row = known[usize::try_from(random.below(known.len() as u64)).unwrap()];
        let edge = if random.once_in(2) || row.leaves == NEVER { row.key.enters } else { row.leaves };
        let instant = match random.below(4) {
            0 => edge - 1,
            1 => edge + 1,
            2 => edge + random.between(-4_000_000_000, 4_000_000_000),
            _ => edge,
        };
        let most = model.members(row.key.segment, instant).len();
        let limit = match random.below(4) {
            // Page by page of one is slow where there are many.
            0 if most < 60 => 1,
            0 | 1 => most.max(1),
            2 => most + 1,
            _ => 8 + usize::try_from(random.below(200)).unwrap(),
        };
        check(&mut *view, model, row.key.segment, instant, limit, what).await;
        let some = [row.key.segment, random.pick(segments)];
        let found = view.spans_of(row.key.profile, &some).await.unwrap();
        assert_eq!(found, model.spans_of(row.key.profile, &some), "{what}: a profile's spans");
    }
}

/// Every level of the tree sums up to the spans, and says nobody leaves earlier than somebody does.
async fn tree_is_consistent(generation: &dyn Generation, model: &SpanModel, segments: &[i64]) {
    let mut view = generation.view().await.unwrap();
    let rows: Vec<SpanRow> = model.rows().collect();
    for row in tree::rows([], rows.iter().copied()) {
        let stretch = (row.level, row.bucket, row.bucket + 1);
        assert_eq!(view.tally(row.segment, &[stretch]).await.unwrap(), row.delta, "{stretch:?}");
        for (past, rows) in [(false, row.rows[0]), (true, row.rows[1])] {
            if rows.count == 0 || !tree::STEP_LEVELS.contains(&row.level) {
                continue;
            }
            let leaves_after = rows.last_leave - 1;
            let range = SpanRange { segment: row.segment, past, after: None, enters_until: i64::MAX - 1, leaves_after };
            let found = view.next_stretch(&range, row.level, row.bucket, row.bucket + 1).await.unwrap();
            assert_eq!(found, Some(row.bucket), "{stretch:?} has spans that leave at {}", rows.last_leave);
        }
    }
    for segment in segments {
        let ours = rows.iter().filter(|row| row.key.segment == *segment);
        let open = ours.filter(|row| row.leaves == NEVER).count();
        for level in tree::LEVELS {
            let all = view.tally(*segment, &[(level, i64::MIN >> level, i64::MAX >> level)]).await.unwrap();
            assert_eq!(all, i64::try_from(open).unwrap(), "level {level} in all");
        }
    }
}

/// Spans entering a second apart, of profiles in no order.
fn queue(random: &mut Random, count: i64, leaves: impl Fn(i64) -> i64) -> Vec<SpanRow> {
    let span = |i: i64| {
        let profile = ProfileId(Uuid::from_u128(u128::from(random.draw()) << 64 | u128::from(i.unsigned_abs())));
        let enters = 1_760_000_000_000_000 + i * 1_000_000;
        SpanRow { key: SpanKey { segment: 1, past: false, enters, profile }, leaves: leaves(i) }
    };
    (0..count).map(span).collect()
}

async fn many_leave_at_one_instant<P: Place>(make: &impl AsyncFn() -> P) {
    const MIDNIGHT: i64 = 1_770_000_000_000_000;
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(99);
    let mut model = SpanModel::default();
    let rows = queue(&mut random, 6_000, |i| if i % 1_500 == 1_499 { NEVER } else { MIDNIGHT });
    let batch = model.batch(rows.iter().copied().map(Change::Add));
    generation.commit_membership(fence(0, 0, 1), &batch).await.unwrap();
    let mut view = generation.view().await.unwrap();
    for (instant, limit) in [(MIDNIGHT - 1, 700), (MIDNIGHT, 3), (MIDNIGHT, 4), (MIDNIGHT + 1, 5)] {
        check(&mut *view, &model, 1, instant, limit, "at midnight").await;
    }
    drop(view);
    // Those that stay leave by a record later, one stays longer than it was to.
    let mut changes: BTreeMap<usize, Change> = BTreeMap::new();
    changes.insert(1_499, Change::End(rows[1_499].key, MIDNIGHT + 10));
    changes.insert(2_999, Change::Remove(rows[2_999].key));
    changes.insert(3_100, Change::Update(SpanRow { leaves: MIDNIGHT + 20, ..rows[3_100] }));
    let batch = model.batch(changes.into_values());
    generation.commit_membership(fence(0, 1, 2), &batch).await.unwrap();
    let mut view = generation.view().await.unwrap();
    for instant in [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 9, MIDNIGHT + 10, MIDNIGHT + 19, MIDNIGHT + 20] {
        check(&mut *view, &model, 1, instant, 1_000, "after midnight").await;
    }
}

async fn ranges_are_scanned_as_the_seam_says<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut model = SpanModel::default();
    let rows = queue(&mut Random::new(1), 10, |i| if i % 5 == 4 { NEVER } else { 1_760_000_100_000_000 });
    let batch = model.batch(rows.iter().copied().map(Change::Add));
    generation.commit_membership(fence(0, 0, 1), &batch).await.unwrap();
    let mut view = generation.view().await.unwrap();
    let place = |i: usize| (rows[i].key.enters, rows[i].key.profile);
    let all = SpanRange {
        segment: 1,
        past: false,
        after: None,
        enters_until: rows[8].key.enters,
        leaves_after: 1_760_000_100_000_000,
    };
    assert_eq!(view.spans(&all, 4, 9).await.unwrap(), []);
    assert_eq!(view.spans(&all, 5, 9).await.unwrap(), rows[4..5]);
    assert_eq!(view.spans(&all, 100, 9).await.unwrap(), rows[4..5]);
    let everybody = SpanRange { leaves_after: i64::MIN, ..all };
    assert_eq!(view.spans(&everybody, 100, 100).await.unwrap(), rows[..9]);
    assert_eq!(view.spans(&everybody, 100, 2).await.unwrap(), rows[..2]);
    assert_eq!(view.scan_end(&all, 5).await.unwrap(), Some(place(4)));
    assert_eq!(view.scan_end(&all, 9).await.unwrap(), Some(place(8)));
    assert_eq!(view.scan_end(&all, 10).await.unwrap(), None);
    let after = SpanRange { after: Some(place(2)), ..all };
    assert_eq!(view.scan_end(&after, 1).await.unwrap(), Some(place(3)));
    assert_eq!(view.spans(&after, 2, 9).await.unwrap(), rows[4..5]);
    for other in [SpanRange { past: true, ..everybody }, SpanRange { segment: 2, ..everybody }] {
        assert_eq!(view.spans(&other, 100, 100).await.unwrap(), []);
        assert_eq!(view.next_stretch(&other, 40, i64::MIN >> 40, i64::MAX >> 40).await.unwrap(), None);
    }
}
