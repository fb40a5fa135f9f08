//! Lists and counts over tables in memory, against a list of spans by hand.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use proptest::prelude::*;
use uuid::Uuid;
use weir_segment::NEVER;

use super::*;
use crate::model::{SpanKey, TreeRow};

const SEGMENT: i64 = 7;

/// The two tables, as a backend keeps them.
#[derive(Debug, Default)]
struct Tables {
    spans: BTreeMap<SpanKey, i64>,
    tree: BTreeMap<(u32, i64), TreeRow>,
    reads: usize,
}

impl Tables {
    /// Puts spans in the place of others.
    fn change(&mut self, removed: &[SpanRow], added: &[SpanRow]) {
        for row in removed {
            assert_eq!(self.spans.remove(&row.key), Some(row.leaves));
        }
        self.spans.extend(added.iter().map(|row| (row.key, row.leaves)));
        for row in tree::rows(removed.iter().copied(), added.iter().copied()) {
            self.tree
                .entry((row.level, row.bucket))
                .and_modify(|known| {
                    known.delta += row.delta;
                    for (known, row) in known.rows.iter_mut().zip(row.rows) {
                        known.count += row.count;
                        known.last_leave = known.last_leave.max(row.last_leave);
                    }
                })
                .or_insert(row);
        }
    }

    fn range(&self, range: &SpanRange) -> impl Iterator<Item = SpanRow> {
        let range = *range;
        let all = self.spans.iter().map(|(key, leaves)| SpanRow { key: *key, leaves: *leaves });
        all.filter(move |row| (row.key.segment, row.key.past) == (range.segment, range.past))
            .filter(move |row| row.key.enters <= range.enters_until)
            .filter(move |row| range.after.is_none_or(|after| (row.key.enters, row.key.profile) > after))
    }
}

#[async_trait]
impl SpanView for Tables {
    async fn spans(&mut self, range: &SpanRange, scan: usize, limit: usize) -> Result<Vec<SpanRow>, StoreError> {
        self.reads += 1;
        Ok(self.range(range).take(scan).filter(|row| row.leaves > range.leaves_after).take(limit).collect())
    }

    async fn scan_end(&mut self, range: &SpanRange, scan: usize) -> Result<Option<(i64, ProfileId)>, StoreError> {
        Ok(self.range(range).nth(scan - 1).map(|row| (row.key.enters, row.key.profile)))
    }

    async fn next_stretch(
        &mut self,
        range: &SpanRange,
        level: u32,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.reads += 1;
        let side = usize::from(range.past);
        let holds = |row: &TreeRow| row.rows[side].count > 0 && row.rows[side].last_leave > range.leaves_after;
        Ok(self.tree.range((level, from)..(level, to)).find(|(_, row)| holds(row)).map(|((_, bucket), _)| *bucket))
    }

    async fn tally(&mut self, _: i64, stretches: &[(u32, i64, i64)]) -> Result<i64, StoreError> {
        let stretch = |(level, from, to): &(u32, i64, i64)| {
            self.tree.range((*level, *from)..(*level, *to)).map(|(_, row)| row.delta).sum::<i64>()
        };
        Ok(stretches.iter().map(stretch).sum())
    }

    async fn spans_of(&mut self, _: ProfileId, _: &[i64]) -> Result<Vec<SpanRow>, StoreError> {
        Ok(Vec::new())
    }
}

/// Runs what never waits.
fn now<T>(work: impl Future<Output = Result<T, StoreError>>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("tables in memory wait for nothing"),
    }
}

/// A span somewhere: near others on every level of the tree, often at equal instants.
fn span() -> impl Strategy<Value = SpanRow> {
    let places = (-2_i64..3, 0_i64..3, 0_i64..3, 0_i64..3, 0_i64..4);
    let lengths = prop_oneof![Just(NEVER), 1_i64..4, (0_u32..45).prop_map(|bits| 1 << bits)];
    (places, lengths, any::<bool>(), 0_u128..5).prop_map(|((a, b, c, d, e), length, past, profile)| {
        let enters = (a << 40) + (b << 32) + (c << 24) + (d << 16) + e;
        let key = SpanKey { segment: SEGMENT, past, enters, profile: ProfileId(Uuid::from_u128(profile)) };
        SpanRow { key, leaves: enters.saturating_add(length) }
    })
}

/// Tables after spans came, some went and some were cut short, with the spans that there are by hand.
fn tables() -> impl Strategy<Value = (Tables, Vec<SpanRow>)> {
    proptest::collection::btree_map(span().prop_map(|row| (row.key, row.leaves)), 0..8_u8, 0..40).prop_map(|drawn| {
        // A profile's spans are disjoint, so no two enter at one instant.
        let mut first = BTreeMap::new();
        for ((key, leaves), fate) in drawn {
            first.entry((key.enters, key.profile)).or_insert((SpanRow { key, leaves }, fate));
        }
        let mut tables = Tables::default();
        tables.change(&[], &first.values().map(|(row, _)| *row).collect::<Vec<_>>());
        let mut now = Vec::new();
        for (row, fate) in first.into_values() {
            let shorter = SpanRow { leaves: row.key.enters + 1, ..row };
            let ended = SpanRow { key: SpanKey { past: true, ..row.key }, ..shorter };
            let next = [None, Some(shorter), Some(ended)].get(usize::from(fate)).copied();
            if let Some(next) = next {
                tables.change(&[row], next.as_slice());
            }
            now.extend(next.unwrap_or(Some(row)));
        }
        (tables, now)
    })
}

fn all_pages(tables: &mut Tables, instant: i64, limit: usize, scan: Scan) -> Vec<SpanRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let found = now(page(tables, SEGMENT, instant, after, limit, scan));
        assert!(found.rows.len() == limit || !found.more);
        rows.extend(found.rows);
        if !found.more {
            return rows;
        }
        after = rows.last().map(|row| (row.key.enters, row.key.profile));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn lists_and_counts_are_those_by_hand(
        (mut tables, mut spans) in tables(), pick: prop::sample::Index, off in -1_i64..2, leaving: bool,
        limit in 1_usize..6, least in 1_usize..4, growth in 0_usize..4,
    ) {
        let instant = match spans.get(pick.index(spans.len().max(1))) {
            Some(row) if leaving && row.leaves != NEVER => row.leaves + off,
            Some(row) => row.key.enters + off,
            None => off,
        };
        spans.retain(|row| row.key.enters <= instant && instant < row.leaves);
        spans.sort_by_key(|row| (row.key.enters, row.key.profile));
        let listed = all_pages(&mut tables, instant, limit, Scan { least, most: least + growth });
        prop_assert_eq!(&listed, &spans);
        prop_assert_eq!(now(count(&mut tables, SEGMENT, instant)), i64::try_from(spans.len()).unwrap());
    }
}

#[test]
fn instants_at_both_ends_of_time_are_answered() {
    let mut tables = Tables::default();
    let key = SpanKey { segment: SEGMENT, past: false, enters: 5, profile: ProfileId(Uuid::nil()) };
    tables.change(&[], &[SpanRow { key, leaves: NEVER }]);
    for (instant, holds) in [(i64::MIN, 0), (NEVER - 1, 1)] {
        assert_eq!(all_pages(&mut tables, instant, 1, SCAN).len(), holds);
        assert_eq!(now(count(&mut tables, SEGMENT, instant)), i64::try_from(holds).unwrap());
    }
}

/// A hundred thousand that have left, in front, behind and between, cost a handful of reads.
#[test]
fn whoever_left_is_stepped_over() {
    let mut tables = Tables::default();
    let span = |i: i64, leaves: i64| {
        let profile = ProfileId(Uuid::from_u128(i.unsigned_abs().into()));
        SpanRow { key: SpanKey { segment: SEGMENT, past: false, enters: i * 1_000_000, profile }, leaves }
    };
    let left: Vec<SpanRow> =
        (0..100_000).map(|i| span(i, if i % 25_000 == 7 { NEVER } else { 200_000_000_000 })).collect();
    tables.change(&[], &left);
    let listed = all_pages(&mut tables, 200_000_000_000, 100, SCAN);
    assert_eq!(listed.len(), 4);
    assert!(tables.reads < 40, "{} reads", tables.reads);
}
