//! What readers ask: each view is one read transaction.

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{AssertSqlSafe, Transaction};
use weir_event::{ProfileId, Stream};

use super::positions;
use super::rows::{Bound, Many, get, id, limit_of, profile_id};
use crate::error::StoreError;
use crate::model::{Card, Count, CountRow, ProfileKey, Progress, Quarantined, ScoreRow, SpanKey, SpanRow};
use crate::place;
use crate::traits::{SpanRange, SpanView, View};

pub(super) struct SqliteView(pub(super) Transaction<'static, Sqlite>);

pub(super) const CARDS: Many = Many {
    head: "SELECT workspace, profile, card FROM profiles WHERE (workspace, profile) IN (",
    columns: 2,
    tail: ")",
};
pub(super) const CONTROL: &str = "SELECT log_offset, record FROM control WHERE log_offset >= ? ORDER BY log_offset";
pub(super) const SCORES: &str = "SELECT place, profile FROM scores WHERE score = ? AND (place, profile) > (?, ?)
    ORDER BY place, profile LIMIT ?";
pub(super) const COUNTS: &str = "SELECT workspace, what, sum(n) FROM counts GROUP BY workspace, what";
pub(super) const QUARANTINE: &str = "SELECT stream, partition, log_offset, reason, record FROM quarantine
    WHERE (stream, partition, log_offset) >= (?, ?, ?) ORDER BY stream, partition, log_offset LIMIT ?";

#[async_trait]
impl View for SqliteView {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        positions::read(&mut self.0).await
    }

    async fn control(&mut self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let rows = sqlx::query(CONTROL)
            .bind(from.cast_signed())
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading control records", e))?;
        rows.iter().map(|row| Ok((get::<i64>(row, 0)?.cast_unsigned(), get(row, 1)?))).collect()
    }

    async fn cards(&mut self, keys: &[ProfileKey]) -> Result<Vec<Card>, StoreError> {
        let rows =
            CARDS.read(&mut self.0, keys, |query, key| query.bind(key.workspace.cast_signed()).bind(id(key.profile)));
        let card = |row: &SqliteRow| {
            let key = ProfileKey { workspace: get::<i64>(row, 0)?.cast_unsigned(), profile: profile_id(get(row, 1)?)? };
            Ok(Card { key, card: get(row, 2)? })
        };
        rows.await.map_err(|e| StoreError::from_sqlx("reading profiles", e))?.iter().map(card).collect()
    }

    async fn scores(
        &mut self,
        score: i64,
        after: Option<(i128, ProfileId)>,
        limit: usize,
    ) -> Result<Vec<ScoreRow>, StoreError> {
        // Before every place: the empty key.
        let (place, profile) =
            after.map_or_else(Default::default, |(points, p)| (place::of_points(points).to_vec(), id(p)));
        let rows = sqlx::query(SCORES)
            .bind(score)
            .bind(place)
            .bind(profile)
            .bind(limit_of(limit))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading a score's list", e))?;
        let score_row = |row: &SqliteRow| {
            let place: &[u8] = get(row, 0)?;
            let place = place.try_into().map_err(|_| StoreError::Damaged("a score's place is not 16 bytes"))?;
            Ok(ScoreRow { score, points: place::to_points(place), profile: profile_id(get(row, 1)?)? })
        };
        rows.iter().map(score_row).collect()
    }

    async fn counts(&mut self) -> Result<Vec<CountRow>, StoreError> {
        let rows = sqlx::query(COUNTS)
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading counts", e))?;
        let count = |row: &SqliteRow| {
            let name: &str = get(row, 1)?;
            let what =
                Count::ALL.into_iter().find(|c| c.name() == name).ok_or(StoreError::Damaged("an unknown count"))?;
            Ok(CountRow { workspace: u64::try_from(get::<i64>(row, 0)?).ok(), what, n: get(row, 2)? })
        };
        rows.iter().map(count).collect()
    }

    async fn quarantine(
        &mut self,
        from: Option<(Stream, u32, u64)>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        // Before every record: the empty name.
        let (stream, partition, offset) =
            from.map_or(("", 0, 0), |(stream, partition, offset)| (stream.name(), partition, offset));
        let rows = sqlx::query(QUARANTINE)
            .bind(stream)
            .bind(partition)
            .bind(offset.cast_signed())
            .bind(limit_of(limit))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the quarantine", e))?;
        let quarantined = |row: &SqliteRow| {
            let stream = Stream::parse(get(row, 0)?).ok_or(StoreError::Damaged("an unknown stream"))?;
            let offset = get::<i64>(row, 2)?.cast_unsigned();
            Ok(Quarantined { stream, partition: get(row, 1)?, offset, reason: get(row, 3)?, record: get(row, 4)? })
        };
        rows.iter().map(quarantined).collect()
    }
}

/// The part of the order that a range speaks of; `?4` and `?5` are what it comes after.
const IN_RANGE: &str = "FROM spans WHERE segment = ?1 AND past = ?2 AND enters_at <= ?3
    AND (enters_at, profile) > (?4, ?5) ORDER BY enters_at, profile";

/// Those of the first `?6` that leave after `?7`.
pub(super) fn spans_query() -> String {
    format!(
        "SELECT enters_at, profile, leaves_at FROM (SELECT enters_at, profile, leaves_at {IN_RANGE} LIMIT ?6)
         WHERE leaves_at > ?7 LIMIT ?8"
    )
}

/// The one behind the first `?6`.
pub(super) fn scan_end_query() -> String {
    format!("SELECT enters_at, profile {IN_RANGE} LIMIT 1 OFFSET ?6")
}

/// A stretch's rows are one of each partition: what one added another may have taken away.
pub(super) fn stretch_query(past: bool) -> String {
    let (rows, leave) = if past { ("past_rows", "past_leave") } else { ("rows", "last_leave") };
    format!(
        "SELECT bucket FROM span_tree WHERE segment = ?1 AND level = ?2 AND bucket >= ?3 AND bucket < ?4
         GROUP BY bucket HAVING sum({rows}) > 0 AND max({leave}) > ?5 ORDER BY bucket LIMIT 1"
    )
}

pub(super) fn tally_query(stretches: usize) -> String {
    let part = "SELECT coalesce(sum(delta), 0) AS n FROM span_tree
                WHERE segment = ? AND level = ? AND bucket >= ? AND bucket < ?";
    format!("SELECT sum(n) FROM ({})", vec![part; stretches].join(" UNION ALL "))
}

pub(super) fn spans_of_query(segments: usize) -> String {
    let segments: Vec<String> = (2..segments + 2).map(|n| format!("?{n}")).collect();
    let mine = format!("profile = ?1 AND segment IN ({})", segments.join(","));
    format!(
        "SELECT segment, past, enters_at, leaves_at FROM profile_spans s WHERE {mine} AND NOT EXISTS
           (SELECT 1 FROM profile_spans_new n
            WHERE n.profile = s.profile AND n.segment = s.segment AND n.enters_at = s.enters_at)
         UNION ALL
         SELECT segment, past, enters_at, leaves_at FROM profile_spans_new WHERE {mine} AND leaves_at IS NOT NULL
         ORDER BY segment, enters_at"
    )
}

fn range_query(range: &SpanRange, statement: String) -> Bound<'static> {
    // Before every span: the empty id at the first instant.
    let (enters, profile) = range.after.map_or((i64::MIN, Vec::new()), |(enters, profile)| (enters, id(profile)));
    sqlx::query(AssertSqlSafe(statement))
        .bind(range.segment)
        .bind(range.past)
        .bind(range.enters_until)
        .bind(enters)
        .bind(profile)
}

#[async_trait]
impl SpanView for SqliteView {
    async fn spans(&mut self, range: &SpanRange, scan: usize, limit: usize) -> Result<Vec<SpanRow>, StoreError> {
        let rows = range_query(range, spans_query())
            .bind(limit_of(scan))
            .bind(range.leaves_after)
            .bind(limit_of(limit))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading members", e))?;
        let span = |row: &SqliteRow| {
            let (segment, past) = (range.segment, range.past);
            let key = SpanKey { segment, past, enters: get(row, 0)?, profile: profile_id(get(row, 1)?)? };
            Ok(SpanRow { key, leaves: get(row, 2)? })
        };
        rows.iter().map(span).collect()
    }

    async fn scan_end(&mut self, range: &SpanRange, scan: usize) -> Result<Option<(i64, ProfileId)>, StoreError> {
        let row = range_query(range, scan_end_query())
            .bind(limit_of(scan.saturating_sub(1)))
            .fetch_optional(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading members", e))?;
        row.map(|row| Ok((get(&row, 0)?, profile_id(get(&row, 1)?)?))).transpose()
    }

    async fn next_stretch(
        &mut self,
        range: &SpanRange,
        level: u32,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar(AssertSqlSafe(stretch_query(range.past)))
            .bind(range.segment)
            .bind(level)
            .bind(from)
            .bind(to)
            .bind(range.leaves_after)
            .fetch_optional(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the span tree", e))
    }

    async fn tally(&mut self, segment: i64, stretches: &[(u32, i64, i64)]) -> Result<i64, StoreError> {
        let statement = tally_query(stretches.len());
        stretches
            .iter()
            .fold(sqlx::query_scalar(AssertSqlSafe(statement)), |query, (level, from, to)| {
                query.bind(segment).bind(*level).bind(*from).bind(*to)
            })
            .fetch_one(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("counting members", e))
    }

    async fn spans_of(&mut self, profile: ProfileId, segments: &[i64]) -> Result<Vec<SpanRow>, StoreError> {
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let statement = spans_of_query(segments.len());
        let rows = segments
            .iter()
            .fold(sqlx::query(AssertSqlSafe(statement)).bind(id(profile)), |query, segment| query.bind(*segment))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading a profile's segments", e))?;
        let span = |row: &SqliteRow| {
            let key = SpanKey { segment: get(row, 0)?, past: get(row, 1)?, enters: get(row, 2)?, profile };
            Ok(SpanRow { key, leaves: get(row, 3)? })
        };
        rows.iter().map(span).collect()
    }
}
