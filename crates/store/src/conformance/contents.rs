//! All rows of a generation, each once, as they were when the view was opened.

use futures::TryStreamExt as _;
use weir_basket::{Removal, days};
use weir_event::{Decimal, EventKey, ProfileId, Stream};

use super::fences::fence;
use super::{Place, fresh};
use crate::{
    BasketBatch, BasketRow, Card, Contents, Count, CountRow, DaysChanges, DaysKey, DaysRow, IdChunk, MembershipBatch,
    ProfileKey, ProfileRow, Quarantined, RemovalKey, RemovalRow, ScoreRow, SpanKey, SpanRow, Table, TableRow,
    TimelineBatch, TimelineRow, TreeRow, TreeRows, tree,
};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let empty: &mut dyn Contents = &mut *generation.contents().await.unwrap();
    assert!(all(empty).await.is_empty());
    let (control, batch, timeline) =
        (vec![(0, b"first".to_vec())], batch(), TimelineBatch { rows: vec![record(7), record(8)], baskets: baskets() });
    generation.commit_control(fence(0, 0, 1), &control, &[]).await.unwrap();
    generation.commit_membership(fence(2, 0, 9), &batch).await.unwrap();
    generation.commit_timeline(fence(2, 0, 9), &timeline).await.unwrap();
    let mut contents = generation.contents().await.unwrap();
    let more = MembershipBatch { not_admitted: vec![10], ..MembershipBatch::default() };
    generation.commit_membership(fence(2, 9, 11), &more).await.unwrap();
    assert_eq!(contents.progress().await.unwrap().iter().map(|place| place.next).collect::<Vec<_>>(), [1, 9, 9]);
    let mut expected = expected(&batch, &timeline);
    expected.push((Table::Control, TableRow::Control(0, b"first".to_vec())));
    let mut found = all(&mut *contents).await;
    for rows in [&mut expected, &mut found] {
        rows.sort_by_key(|row| format!("{row:?}"));
    }
    assert_eq!(found, expected);
}

/// Many rows that are said to be new, and some of them written again.
pub(super) async fn bulk<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    for (expected, next) in [(0, 9), (9, 12)] {
        let batch = many(u128::from(expected) << 32);
        generation.commit_membership(fence(1, expected, next), &batch).await.unwrap();
        // The rows that came before are found again by their being written over.
        let again = MembershipBatch {
            profiles: batch.new.profiles.clone(),
            cards: batch.new.cards.clone(),
            spans: batch.new.spans.clone(),
            ..MembershipBatch::default()
        };
        generation.commit_membership(fence(1, next, next), &again).await.unwrap();
    }
    let mut expected = Vec::new();
    for batch in [many(0), many(9 << 32)] {
        expected.extend(batch.new.profiles.into_iter().map(|row| (Table::States, TableRow::State(row))));
        expected.extend(batch.new.cards.into_iter().map(|row| (Table::Profiles, TableRow::Card(row))));
        for span in batch.new.spans {
            expected.push((Table::Spans, TableRow::Span(span)));
            expected.push((Table::ProfileSpans, TableRow::ProfileSpan(span.key, Some(span.leaves))));
        }
    }
    // Both batches add to the same stretches.
    let tree = tree::rows([], [many(0), many(9 << 32)].into_iter().flat_map(|batch| batch.new.spans));
    expected.extend(tree.into_iter().map(|row| (Table::SpanTree, TableRow::Tree(1, row))));
    let mut found = all(&mut *generation.contents().await.unwrap()).await;
    for rows in [&mut expected, &mut found] {
        rows.sort_by_key(|row| format!("{row:?}"));
    }
    // A row that waits may be written over one that doesn't any more.
    found.dedup();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected);
}

/// So many that a backend may write them in bulk, and in parts.
fn many(first: u128) -> MembershipBatch {
    let keys =
        (first..first + 25_000).map(|number| ProfileKey { profile: ProfileId(uuid::Uuid::from_u128(number)), ..key() });
    let mut batch = MembershipBatch::default();
    for (at, key) in (0_u16..).zip(keys) {
        let bytes = |byte: u8| vec![byte; usize::from(at % 300)];
        let row = ProfileRow {
            key,
            last_offset: u64::from(at),
            state: bytes(1),
            open_spans: bytes(2),
            event_ids: bytes(3),
            id_chunks: 0,
        };
        batch.new.profiles.push(row);
        batch.new.cards.push(Card { key, card: bytes(4) });
        let span = SpanKey { segment: 3, past: at % 2 == 0, enters: i64::from(at) - 9, profile: key.profile };
        batch.new.spans.push(SpanRow { key: span, leaves: i64::from(at) });
    }
    batch.new.spans.sort_unstable();
    batch.tree = tree::rows([], batch.new.spans.iter().copied());
    batch
}

/// All rows; those that may wait are told as if they did not.
async fn all(contents: &mut dyn Contents) -> Vec<(Table, TableRow)> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let rows: Vec<TableRow> = contents.rows(table).try_collect().await.unwrap();
        let told = match table {
            Table::ProfileSpansNew => Table::ProfileSpans,
            Table::TimelineNew => Table::Timeline,
            other => other,
        };
        found.extend(rows.into_iter().map(|row| (told, row)));
    }
    found
}

fn key() -> ProfileKey {
    ProfileKey { workspace: 4, profile: ProfileId(uuid::Uuid::from_u128(77)) }
}

fn record(offset: u64) -> TimelineRow {
    TimelineRow { key: key(), place: vec![u8::try_from(offset).unwrap()], partition: 2, offset, record: vec![1, 2] }
}

fn baskets() -> BasketBatch {
    let removal = |draft, product: &str| RemovalRow {
        key: RemovalKey { workspace: 4, draft, place: vec![0, 9], profile: key().profile, product: product.to_owned() },
        removal: vec![3, 0],
    };
    BasketBatch {
        baskets: vec![BasketRow { key: key(), state: vec![1, 0, 255] }],
        gone: Vec::new(),
        removals: vec![removal(false, "é"), removal(true, "")],
        days: vec![DaysChanges { workspace: 4, changes: changes().encode() }],
        counts: vec![CountRow { workspace: Some(4), what: Count::NotBasketEvents, n: 3 }],
    }
}

fn changes() -> days::Changes {
    let at = days::DAY * -2;
    let removal = Removal {
        event: EventKey { at, time: at, id: "e".into(), received: at },
        product: "é".to_owned(),
        name: None,
        quantity: Decimal::ONE,
        price: None,
        added_at: at,
        checked_out: None,
    };
    let mut changes = days::Changes::default();
    changes.replace(&[], &[removal]);
    changes
}

fn basket_rows(batch: &BasketBatch) -> Vec<(Table, TableRow)> {
    let mut rows = vec![
        (Table::Baskets, TableRow::Basket(batch.baskets[0].clone())),
        (Table::BasketCounts, TableRow::Count(2, batch.counts[0])),
    ];
    // The first changes are added to rows, whatever was left there.
    for (place, changes) in changes().by_place() {
        let row = DaysRow { key: DaysKey { workspace: 4, place }, sums: changes.apply(&[]).unwrap() };
        rows.push((Table::RemovalDays, TableRow::RemovalDays(row)));
    }
    rows.extend(batch.removals.iter().map(|row| (Table::Removals, TableRow::Removal(row.clone()))));
    rows
}

fn batch() -> MembershipBatch {
    let (key, bytes) = (key(), |byte: u8| vec![byte, 0, 255]);
    let row =
        ProfileRow { key, last_offset: 8, state: bytes(1), open_spans: bytes(2), event_ids: bytes(3), id_chunks: 1 };
    let span = |past, enters| SpanRow {
        key: SpanKey { segment: -5, past, enters, profile: key.profile },
        leaves: if past { enters + 1 } else { i64::MAX },
    };
    let rows = [TreeRows { count: 1, last_leave: i64::MAX }, TreeRows { count: 2, last_leave: 6 }];
    MembershipBatch {
        profiles: vec![row],
        redo: bytes(4),
        cards: vec![Card { key, card: bytes(5) }],
        id_chunks: vec![IdChunk { key, chunk: 3, newest: 9, ids: bytes(6) }],
        spans: vec![span(false, 40), span(true, -3)],
        tree: vec![TreeRow { segment: -5, level: 16, bucket: -1, delta: 3, rows }],
        scores: vec![ScoreRow { score: 6, points: -12, profile: key.profile }],
        counts: vec![CountRow { workspace: None, what: Count::Quarantined, n: 1 }],
        not_admitted: vec![5],
        quarantine: vec![Quarantined {
            stream: Stream::Events,
            partition: 2,
            offset: 5,
            reason: "no event".to_owned(),
            record: bytes(7),
        }],
        ..MembershipBatch::default()
    }
}

fn expected(batch: &MembershipBatch, timeline: &TimelineBatch) -> Vec<(Table, TableRow)> {
    let mut rows = vec![
        (Table::Profiles, TableRow::Card(batch.cards[0].clone())),
        (Table::StateRedo, TableRow::Redo(2, batch.redo.clone())),
        (Table::States, TableRow::State(batch.profiles[0].clone())),
        (Table::EventIds, TableRow::IdChunk(batch.id_chunks[0].clone())),
        (Table::SpanTree, TableRow::Tree(2, batch.tree[0])),
        (Table::Scores, TableRow::Score(batch.scores[0])),
        (Table::Counts, TableRow::Count(2, batch.counts[0])),
        (Table::NotAdmitted, TableRow::NotAdmitted(2, 5)),
        (Table::Quarantine, TableRow::Quarantined(batch.quarantine[0].clone())),
    ];
    for span in &batch.spans {
        rows.push((Table::Spans, TableRow::Span(*span)));
        rows.push((Table::ProfileSpans, TableRow::ProfileSpan(span.key, Some(span.leaves))));
    }
    rows.extend(basket_rows(&timeline.baskets));
    for row in &timeline.rows {
        rows.push((Table::Records, TableRow::Record(row.partition, row.offset, row.record.clone())));
        rows.push((Table::Timeline, TableRow::Place(TimelineRow { record: Vec::new(), ..row.clone() })));
    }
    rows
}
