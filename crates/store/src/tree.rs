//! The span tree: spans summed up over stretches of time, so that neither a count nor a list has to walk them.
//!
//! Time is cut into stretches of 2^40, 2^32, 2^24 and 2^16 microseconds (12.7 days, 71 minutes, 17 s, 66 ms), and single
//! microseconds below. Each span adds to the stretch of every level that it enters in, and to those that it leaves in.
//!
//! - **Count** at T: members entering less members leaving at or before T. The time before T is a few stretches of each
//!   level, at most 256 of each but the lowest, whatever the size of the segment. A million that leave at one instant
//!   are one row.
//! - **List** at T: reading the spans in order of entering, a long run of lapsed ones is stepped over by asking, from
//!   the top level down, for the next stretch that holds a span which leaves after T.
//!
//! `last_leave` only rises: when a span goes it may bound too generously, which costs time and never an answer.

use std::collections::BTreeMap;

use weir_segment::NEVER;

use crate::model::{SpanRow, TreeRow, TreeRows};

/// The levels, from the top: a stretch is 2^level microseconds long.
pub const LEVELS: [u32; 5] = [40, 32, 24, 16, 0];

/// The lowest level that says when spans leave; below it, reading the spans is cheaper.
pub const STEP_LEVELS: [u32; 4] = [40, 32, 24, 16];

/// Adds up what removed and added spans do to the tree; sorted, each row once, rows that change nothing left out.
pub fn rows(removed: impl IntoIterator<Item = SpanRow>, added: impl IntoIterator<Item = SpanRow>) -> Vec<TreeRow> {
    let mut sums: BTreeMap<(i64, u32, i64), TreeRow> = BTreeMap::new();
    for (spans, sign) in
        [(&mut removed.into_iter() as &mut dyn Iterator<Item = SpanRow>, -1), (&mut added.into_iter(), 1)]
    {
        for span in spans {
            for level in LEVELS {
                let row = slot(&mut sums, span.key.segment, level, span.key.enters >> level);
                row.delta += sign;
                let rows = &mut row.rows[usize::from(span.key.past)];
                rows.count += sign;
                if sign > 0 {
                    rows.last_leave = rows.last_leave.max(span.leaves);
                }
                if span.leaves != NEVER {
                    slot(&mut sums, span.key.segment, level, span.leaves >> level).delta -= sign;
                }
            }
        }
    }
    sums.into_values().filter(changes).collect()
}

fn slot(sums: &mut BTreeMap<(i64, u32, i64), TreeRow>, segment: i64, level: u32, bucket: i64) -> &mut TreeRow {
    let none = TreeRows { count: 0, last_leave: i64::MIN };
    sums.entry((segment, level, bucket)).or_insert(TreeRow { segment, level, bucket, delta: 0, rows: [none; 2] })
}

fn changes(row: &TreeRow) -> bool {
    row.delta != 0 || row.rows.iter().any(|rows| rows.count != 0 || rows.last_leave != i64::MIN)
}

/// The stretches that make up the time up to and including `instant`: (level, first bucket, bucket after the last).
pub fn until(instant: i64) -> Vec<(u32, i64, i64)> {
    let end = instant.saturating_add(1);
    let mut ranges = Vec::with_capacity(LEVELS.len());
    let mut above: Option<u32> = None;
    for level in LEVELS {
        let first = above.map_or(i64::MIN, |above| (end >> above) << (above - level));
        ranges.push((level, first, end >> level));
        above = Some(level);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SpanKey;
    use proptest::prelude::*;
    use weir_event::ProfileId;

    fn span() -> impl Strategy<Value = SpanRow> {
        let instant = prop_oneof![-300_000_i64..300_000, 1_700_000_000_000_000..1_700_000_100_000_000_i64];
        (instant, 1_i64..100_000_000, 0..4, any::<bool>()).prop_map(|(enters, length, open, past)| SpanRow {
            key: SpanKey { segment: 1, past, enters, profile: ProfileId(uuid::Uuid::nil()) },
            leaves: if open == 0 { NEVER } else { enters + length },
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn the_stretches_add_up_to_the_count(spans in proptest::collection::vec(span(), 1..12), pick in 0_usize..12, off in -1_i64..2) {
            let tree = rows([], spans.iter().copied());
            let near = spans[pick % spans.len()];
            let leaves = if near.leaves == NEVER { near.key.enters } else { near.leaves };
            for instant in [near.key.enters + off, leaves + off, NEVER - 1] {
                let counted: i64 = until(instant)
                    .into_iter()
                    .flat_map(|(level, from, to)| tree.iter().filter(move |r| r.level == level && (from..to).contains(&r.bucket)))
                    .map(|row| row.delta)
                    .sum();
                let by_hand = spans.iter().filter(|s| s.key.enters <= instant && instant < s.leaves).count();
                prop_assert_eq!(counted, i64::try_from(by_hand).unwrap());
            }
        }

        #[test]
        fn what_is_removed_again_leaves_no_count(spans in proptest::collection::vec(span(), 0..8)) {
            let tree = rows(spans.iter().copied(), spans.iter().copied());
            prop_assert!(tree.iter().all(|row| row.delta == 0 && row.rows.iter().all(|rows| rows.count == 0)));
        }
    }
}
