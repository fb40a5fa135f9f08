//! What readers ask: each view is one read transaction.

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Transaction};
use weir_event::{ProfileId, Stream};

use super::generation::{id, profile_id, read_cards, read_progress};
use crate::error::StoreError;
use crate::model::{
    Card, Count, CountRow, ProfileKey, Progress, Quarantined, ScoreRow, SpanKey, SpanRow, TimelineRow,
};
use crate::place;
use crate::traits::{SpanRange, SpanView, TimelineView, View};

pub(super) struct SqliteView(pub(super) Transaction<'static, Sqlite>);
pub(super) struct SqliteTimeline(pub(super) Transaction<'static, Sqlite>);

#[async_trait]
impl View for SqliteView {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        read_progress(&mut self.0).await
    }

    async fn control(&mut self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let rows = sqlx::query("SELECT log_offset, record FROM control WHERE log_offset >= ? ORDER BY log_offset")
            .bind(from.cast_signed())
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading control records", e))?;
        Ok(rows.iter().map(|row| (row.get::<i64, _>(0).cast_unsigned(), row.get(1))).collect())
    }

    async fn cards(&mut self, keys: &[ProfileKey]) -> Result<Vec<Card>, StoreError> {
        read_cards(&mut self.0, keys).await
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
        let rows = sqlx::query(
            "SELECT place, profile FROM scores WHERE score = ? AND (place, profile) > (?, ?)
             ORDER BY place, profile LIMIT ?",
        )
        .bind(score)
        .bind(place)
        .bind(profile)
        .bind(limit_of(limit))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|e| StoreError::from_sqlx("reading a score's list", e))?;
        let score_row = |row: &SqliteRow| {
            let place: &[u8] = row.get(0);
            let place = place.try_into().map_err(|_| StoreError::Damaged("a score's place is not 16 bytes"))?;
            Ok(ScoreRow { score, points: place::to_points(place), profile: profile_id(row.get(1))? })
        };
        rows.iter().map(score_row).collect()
    }

    async fn counts(&mut self) -> Result<Vec<CountRow>, StoreError> {
        let rows = sqlx::query("SELECT workspace, what, sum(n) FROM counts GROUP BY workspace, what")
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading counts", e))?;
        let count = |row: &SqliteRow| {
            let name: &str = row.get(1);
            let what =
                Count::ALL.into_iter().find(|c| c.name() == name).ok_or(StoreError::Damaged("an unknown count"))?;
            Ok(CountRow { workspace: u64::try_from(row.get::<i64, _>(0)).ok(), what, n: row.get(2) })
        };
        rows.iter().map(count).collect()
    }

    async fn quarantine(&mut self, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let rows = sqlx::query(
            "SELECT stream, partition, log_offset, reason, record FROM quarantine
             ORDER BY stream, partition, log_offset LIMIT ?",
        )
        .bind(limit_of(limit))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|e| StoreError::from_sqlx("reading the quarantine", e))?;
        let quarantined = |row: &SqliteRow| {
            let stream = Stream::parse(row.get(0)).ok_or(StoreError::Damaged("an unknown stream"))?;
            let offset = row.get::<i64, _>(2).cast_unsigned();
            Ok(Quarantined { stream, partition: row.get(1), offset, reason: row.get(3), record: row.get(4) })
        };
        rows.iter().map(quarantined).collect()
    }
}

/// The part of the order that a range speaks of; `?4` and `?5` are what it comes after.
const IN_RANGE: &str = "FROM spans WHERE segment = ?1 AND past = ?2 AND enters_at <= ?3
    AND (enters_at, profile) > (?4, ?5) ORDER BY enters_at, profile";

fn range_query(range: &SpanRange, statement: String) -> super::rows::Bound<'static> {
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
        let statement = format!(
            "SELECT enters_at, profile, leaves_at FROM (SELECT enters_at, profile, leaves_at {IN_RANGE} LIMIT ?6)
             WHERE leaves_at > ?7 LIMIT ?8"
        );
        let rows = range_query(range, statement)
            .bind(limit_of(scan))
            .bind(range.leaves_after)
            .bind(limit_of(limit))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading members", e))?;
        let span = |row: &SqliteRow| {
            let (segment, past) = (range.segment, range.past);
            let key = SpanKey { segment, past, enters: row.get(0), profile: profile_id(row.get(1))? };
            Ok(SpanRow { key, leaves: row.get(2) })
        };
        rows.iter().map(span).collect()
    }

    async fn scan_end(&mut self, range: &SpanRange, scan: usize) -> Result<Option<(i64, ProfileId)>, StoreError> {
        let row = range_query(range, format!("SELECT enters_at, profile {IN_RANGE} LIMIT 1 OFFSET ?6"))
            .bind(limit_of(scan.saturating_sub(1)))
            .fetch_optional(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading members", e))?;
        row.map(|row| Ok((row.get(0), profile_id(row.get(1))?))).transpose()
    }

    async fn next_stretch(
        &mut self,
        range: &SpanRange,
        level: u32,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, StoreError> {
        let holds = if range.past { "past_rows > 0 AND past_leave > ?5" } else { "rows > 0 AND last_leave > ?5" };
        sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT bucket FROM span_tree WHERE segment = ?1 AND level = ?2 AND bucket >= ?3 AND bucket < ?4 AND {holds}
             ORDER BY bucket LIMIT 1"
        )))
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
        let part = "SELECT coalesce(sum(delta), 0) AS n FROM span_tree
                    WHERE segment = ? AND level = ? AND bucket >= ? AND bucket < ?";
        let statement = format!("SELECT sum(n) FROM ({})", vec![part; stretches.len()].join(" UNION ALL "));
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
        let statement = format!(
            "SELECT segment, past, enters_at, leaves_at FROM spans INDEXED BY spans_of_profile
             WHERE profile = ? AND segment IN ({}) ORDER BY segment, enters_at",
            vec!["?"; segments.len()].join(",")
        );
        let rows = segments
            .iter()
            .fold(sqlx::query(AssertSqlSafe(statement)).bind(id(profile)), |query, segment| query.bind(*segment))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading a profile's segments", e))?;
        let span = |row: &SqliteRow| SpanRow {
            key: SpanKey { segment: row.get(0), past: row.get(1), enters: row.get(2), profile },
            leaves: row.get(3),
        };
        Ok(rows.iter().map(span).collect())
    }
}

#[async_trait]
impl TimelineView for SqliteTimeline {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        read_progress(&mut self.0).await
    }

    async fn events(
        &mut self,
        key: ProfileKey,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<TimelineRow>, StoreError> {
        let bound = if before.is_some() { "AND t.place < ?4" } else { "AND ?4 IS NULL" };
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT t.place, t.partition, t.log_offset, r.record FROM timeline t
             JOIN records r ON r.partition = t.partition AND r.log_offset = t.log_offset
             WHERE t.workspace = ?1 AND t.profile = ?2 {bound}
             ORDER BY t.place DESC, t.partition DESC, t.log_offset DESC LIMIT ?3"
        )))
        .bind(key.workspace.cast_signed())
        .bind(id(key.profile))
        .bind(limit_of(limit))
        .bind(before.map(<[u8]>::to_vec))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|e| StoreError::from_sqlx("reading the timeline", e))?;
        let timeline_row = |row: &SqliteRow| TimelineRow {
            key,
            place: row.get(0),
            partition: row.get(1),
            offset: row.get::<i64, _>(2).cast_unsigned(),
            record: row.get(3),
        };
        Ok(rows.iter().map(timeline_row).collect())
    }
}

fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
