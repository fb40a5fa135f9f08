//! The span tree of a generation against the spans that it sums up.
//!
//! Two generations may have other trees for the same spans: a bound on when the last of a stretch leaves only rises, so it
//! depends on what the batches were. So each tree is compared with its own spans: what enters less what leaves, how many
//! spans, and that no span leaves after the bound.

use std::collections::HashMap;

use weir_store::{Contents, Difference, GenerationId, SpanRow, Table, TableRow, TreeRow, tree};

use crate::contents::next;
use crate::error::FoldError;

/// Stretches that are held in memory at a time; with more, spans and tree are read several times.
const AT_ONCE: u64 = 4_000_000;

type Sums = HashMap<(i64, u32, i64), Sum>;

/// What spans say of a stretch, less what the tree says.
#[derive(Clone, Copy, Default)]
struct Sum {
    delta: i64,
    rows: [i64; 2],
    last_leave: [Option<i64>; 2],
}

/// What doesn't fit.
pub(crate) async fn check(contents: &mut dyn Contents, id: GenerationId) -> Result<Vec<Difference>, FoldError> {
    let mut spans = 0_u64;
    let mut rows = contents.rows(Table::Spans);
    while next(&mut rows, |_| {}).await?.is_some() {
        spans += 1;
    }
    drop(rows);
    // A span enters in a stretch of each level and leaves in one; many share the higher ones.
    let slices = 1 + 4 * spans / AT_ONCE;
    let mut wrong = Vec::new();
    for slice in 0..slices {
        check_slice(contents, id, (slice, slices), &mut wrong).await?;
    }
    Ok(wrong)
}

async fn check_slice(
    contents: &mut dyn Contents,
    id: GenerationId,
    slice: (u64, u64),
    wrong: &mut Vec<Difference>,
) -> Result<(), FoldError> {
    let mut sums = Sums::new();
    let mut rows = contents.rows(Table::Spans);
    while let Some(row) = next(&mut rows, |_| {}).await? {
        let TableRow::Span(span) = row else { continue };
        add(&mut sums, slice, span);
    }
    drop(rows);
    // The bound of a stretch is the largest of its partitions.
    let mut bounds: HashMap<(i64, u32, i64), [i64; 2]> = HashMap::new();
    let mut rows = contents.rows(Table::SpanTree);
    while let Some(row) =
        next(&mut rows, |what| wrong.push(difference(id, &format!("a row that can't be read: {what}")))).await?
    {
        let TableRow::Tree(_, row) = row else { continue };
        let key = (row.segment, row.level, row.bucket);
        if !within(slice, key) {
            continue;
        }
        let sum = sums.entry(key).or_default();
        sum.delta = sum.delta.wrapping_sub(row.delta);
        let bound = bounds.entry(key).or_insert([i64::MIN; 2]);
        for past in [0, 1] {
            sum.rows[past] = sum.rows[past].wrapping_sub(row.rows[past].count);
            bound[past] = bound[past].max(row.rows[past].last_leave);
        }
    }
    drop(rows);
    for (key, sum) in sums {
        let bound = bounds.get(&key).copied().unwrap_or([i64::MIN; 2]);
        let late = (0..2).any(|past| sum.last_leave[past].is_some_and(|leaves| leaves > bound[past]));
        if sum.delta != 0 || sum.rows != [0, 0] || late {
            let (segment, level, bucket) = key;
            wrong.push(difference(id, &format!("segment {segment}, level {level}, bucket {bucket}")));
        }
    }
    Ok(())
}

fn difference(id: GenerationId, what: &str) -> Difference {
    let row = format!("generation {}: {what}", id.0);
    Difference { table: Table::SpanTree.name().to_owned(), profile_id: None, row: Some(row) }
}

fn add(sums: &mut Sums, slice: (u64, u64), span: SpanRow) {
    for TreeRow { segment, level, bucket, delta, rows } in tree::rows([], [span]) {
        let key = (segment, level, bucket);
        if !within(slice, key) {
            continue;
        }
        let sum = sums.entry(key).or_default();
        sum.delta += delta;
        for past in [0, 1] {
            sum.rows[past] += rows[past].count;
            if rows[past].count > 0 {
                sum.last_leave[past] = sum.last_leave[past].max(Some(rows[past].last_leave));
            }
        }
    }
}

fn within((slice, slices): (u64, u64), (segment, level, bucket): (i64, u32, i64)) -> bool {
    let number = segment.cast_unsigned() ^ bucket.cast_unsigned().rotate_left(8) ^ u64::from(level);
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % slices == slice
}
