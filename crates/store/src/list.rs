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
    /// Whether there may be more.
    pub more: bool,
}

/// Spans looked at before the tree is asked for the next stretch that anybody is left in.
const SCAN: usize = 512;
/// The most that a scan grows to where it does find members, but few.
const SCAN_MOST: usize = 8_192;

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
    let mut rows = Vec::new();
    for past in [false, true] {
        let range = SpanRange { segment, past, after, enters_until: instant, leaves_after: instant };
        rows.extend(walk(view, range, limit + 1).await?);
    }
    rows.sort_unstable_by_key(|row| (row.key.enters, row.key.profile));
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Page { rows, more })
}

/// Scans in order; where a scan finds nobody, steps to the next stretch that holds somebody.
async fn walk(
    view: &mut (dyn SpanView + Send),
    mut range: SpanRange,
    limit: usize,
) -> Result<Vec<SpanRow>, StoreError> {
    let mut rows: Vec<SpanRow> = Vec::new();
    let mut scan = SCAN;
    while let Some(start) = step(view, &range).await? {
        // The stretch begins behind what was read already, or the range does.
        if range.after.is_none_or(|(enters, _)| enters < start) {
            range.after = Some((start.saturating_sub(1), ProfileId(uuid::Uuid::max())));
        }
        loop {
            let found = view.spans(&range, scan, limit - rows.len()).await?;
            let nobody = found.is_empty();
            rows.extend(found);
            if rows.len() >= limit {
                return Ok(rows);
            }
            let Some(end) = view.scan_end(&range, scan).await? else { return Ok(rows) };
            range.after = Some(end);
            if nobody {
                break;
            }
            scan = (scan * 2).min(SCAN_MOST);
        }
        scan = SCAN;
    }
    Ok(rows)
}

/// The beginning of the first stretch, at or behind the range's start, that may hold a span of the range.
async fn step(view: &mut (dyn SpanView + Send), range: &SpanRange) -> Result<Option<i64>, StoreError> {
    let mut from = range.after.map_or(i64::MIN, |(enters, _)| enters);
    'again: loop {
        let mut bounds = (from >> tree::STEP_LEVELS[0], i64::MAX);
        let mut above: Option<(u32, i64)> = None;
        for level in tree::STEP_LEVELS {
            if let Some((above_level, bucket)) = above {
                let down = above_level - level;
                bounds = ((bucket << down).max(from >> level), (bucket + 1) << down);
            }
            match (view.next_stretch(range, level, bounds.0, bounds.1).await?, above) {
                (Some(bucket), _) => above = Some((level, bucket)),
                (None, None) => return Ok(None),
                // The stretch above holds somebody, but not behind `from`: go on behind it.
                (None, Some((above_level, bucket))) => {
                    from = (bucket + 1) << above_level;
                    continue 'again;
                }
            }
        }
        let Some((level, bucket)) = above else { return Ok(None) };
        let start = (bucket << level).max(from);
        return Ok((start <= range.enters_until).then_some(start));
    }
}
