//! Lists and counts of members, over whatever backend.

use weir_event::ProfileId;

use crate::error::StoreError;
use crate::model::SpanRow;
use crate::traits::{SpanRange, SpanView};
use crate::tree;

/// A page of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Spans that hold at the instant asked, by (entering, profile).
    pub rows: Vec<SpanRow>,
    /// Whether there are more.
    pub more: bool,
}

/// How many spans one read may look at.
#[derive(Clone, Copy)]
struct Scan {
    /// The first one, and the first one after the tree was asked: asking it costs about as much as this many spans.
    least: usize,
    /// What it grows to while it does find members, but few.
    most: usize,
}

const SCAN: Scan = Scan { least: 512, most: 8_192 };

/// How many members the segment version has at an instant.
///
/// # Errors
/// The store failed.
pub async fn count(view: &mut (dyn SpanView + Send), segment: i64, instant: i64) -> Result<i64, StoreError> {
    view.tally(segment, &tree::until(instant)).await
}

/// The members of the segment version at an instant, by (entering, profile), from after a place on.
///
/// # Errors
/// The store failed.
pub async fn members(
    view: &mut (dyn SpanView + Send),
    segment: i64,
    instant: i64,
    after: Option<(i64, ProfileId)>,
    limit: usize,
) -> Result<Page, StoreError> {
    page(view, segment, instant, after, limit, SCAN).await
}

async fn page(
    view: &mut (dyn SpanView + Send),
    segment: i64,
    instant: i64,
    after: Option<(i64, ProfileId)>,
    limit: usize,
    scan: Scan,
) -> Result<Page, StoreError> {
    let mut rows = Vec::new();
    for past in [false, true] {
        let range = SpanRange { segment, past, after, enters_until: instant, leaves_after: instant };
        rows.extend(walk(view, range, limit.saturating_add(1), scan).await?);
    }
    rows.sort_unstable_by_key(|row| (row.key.enters, row.key.profile));
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Page { rows, more })
}

/// Reads the range in order, and asks the tree where to go on when it got lost among spans that have ended.
async fn walk(
    view: &mut (dyn SpanView + Send),
    mut range: SpanRange,
    limit: usize,
    scan: Scan,
) -> Result<Vec<SpanRow>, StoreError> {
    let mut rows: Vec<SpanRow> = Vec::new();
    let mut scanned = scan.least;
    // Of the spans written as past ones, next to none holds at an instant that anybody asks.
    let mut lost = range.past;
    loop {
        if lost {
            let Some(start) = next_start(view, &range).await? else { return Ok(rows) };
            // What was read may end behind the start of the stretch.
            range.after = range.after.max(Some((start.saturating_sub(1), ProfileId(uuid::Uuid::max()))));
        }
        let found = view.spans(&range, scanned, limit - rows.len()).await?;
        // Where the tree led here, one member says nothing about those behind it.
        lost = found.len() <= usize::from(lost);
        rows.extend(found);
        if rows.len() >= limit {
            return Ok(rows);
        }
        let Some(end) = view.scan_end(&range, scanned).await? else { return Ok(rows) };
        range.after = Some(end);
        scanned = if lost { scan.least } else { (scanned * 2).min(scan.most) };
    }
}

/// The first instant, from the range's start on, at which a span that holds may enter: goes down the tree to the first
/// stretch that may have one, and on behind a stretch that turns out to have none.
async fn next_start(view: &mut (dyn SpanView + Send), range: &SpanRange) -> Result<Option<i64>, StoreError> {
    let mut from = range.after.map_or(i64::MIN, |(enters, _)| enters);
    let mut last = range.enters_until;
    let mut levels = tree::STEP_LEVELS.into_iter();
    while from <= last {
        let Some(level) = levels.next() else { return Ok(Some(from)) };
        match view.next_stretch(range, level, from >> level, (last >> level) + 1).await? {
            Some(bucket) => {
                from = from.max(bucket << level);
                last = last.min((bucket << level) | ((1 << level) - 1));
            }
            None if last == range.enters_until => return Ok(None),
            None => {
                from = last + 1;
                last = range.enters_until;
                levels = tree::STEP_LEVELS.into_iter();
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
