//! The timeline: every admitted record whole, in a file of its own.

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Transaction};

use super::positions;
use super::rows::{Many, get, id, limit_of};
use super::waiting::Waiting;
use crate::error::StoreError;
use crate::model::{ProfileKey, Progress, TimelineRow};
use crate::traits::TimelineView;

const RECORDS: Many = Many { head: "INSERT INTO records (partition, log_offset, record)", columns: 3, tail: "" };
const TIMELINE: Many =
    Many { head: "INSERT INTO timeline_new (profile, workspace, place, partition, log_offset)", columns: 5, tail: "" };
/// Places of records that wait.
pub(super) const fn waiting_places() -> Waiting {
    Waiting::new(
        "timeline_new",
        &[
            "INSERT INTO timeline SELECT * FROM timeline_new WHERE profile > ?1 AND profile <= ?2",
            "DELETE FROM timeline_new WHERE profile > ?1 AND profile <= ?2",
        ],
    )
}

/// Writes a batch of `timeline`.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    waiting: &Waiting,
    rows: &[TimelineRow],
) -> Result<(), sqlx::Error> {
    let records = RECORDS.write(connection, rows, |query, row| {
        query.bind(row.partition).bind(row.offset.cast_signed()).bind(row.record.clone())
    });
    records.await?;
    let mut sorted: Vec<&TimelineRow> = rows.iter().collect();
    sorted.sort_unstable_by(|a, b| {
        (a.key.profile, a.key.workspace, &a.place).cmp(&(b.key.profile, b.key.workspace, &b.place))
    });
    let timeline = TIMELINE.write(connection, &sorted, |query, row| {
        query
            .bind(id(row.key.profile))
            .bind(row.key.workspace.cast_signed())
            .bind(row.place.clone())
            .bind(row.partition)
            .bind(row.offset.cast_signed())
    });
    timeline.await?;
    waiting.settle(connection, rows.len()).await
}

pub(super) struct SqliteTimeline(pub(super) Transaction<'static, Sqlite>);

/// A profile's records, the latest first; `?4` is what they come before.
pub(super) fn events_query(before: bool) -> String {
    let bound = if before { "AND place < ?4" } else { "AND ?4 IS NULL" };
    let latest = |table: &str| {
        format!(
            "SELECT * FROM (SELECT place, partition, log_offset FROM {table}
             WHERE workspace = ?1 AND profile = ?2 {bound}
             ORDER BY place DESC, partition DESC, log_offset DESC LIMIT ?3)"
        )
    };
    format!(
        "SELECT t.place, t.partition, t.log_offset, r.record
         FROM ({} UNION ALL {} ORDER BY place DESC, partition DESC, log_offset DESC LIMIT ?3) t
         CROSS JOIN records r ON r.partition = t.partition AND r.log_offset = t.log_offset
         ORDER BY t.place DESC, t.partition DESC, t.log_offset DESC",
        latest("timeline_new"),
        latest("timeline")
    )
}

#[async_trait]
impl TimelineView for SqliteTimeline {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        positions::read(&mut self.0).await
    }

    async fn events(
        &mut self,
        key: ProfileKey,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<TimelineRow>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(events_query(before.is_some())))
            .bind(key.workspace.cast_signed())
            .bind(id(key.profile))
            .bind(limit_of(limit))
            .bind(before.map(<[u8]>::to_vec))
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the timeline", e))?;
        let timeline_row = |row: &SqliteRow| {
            Ok(TimelineRow {
                key,
                place: get(row, 0)?,
                partition: get(row, 1)?,
                offset: get::<i64>(row, 2)?.cast_unsigned(),
                record: get(row, 3)?,
            })
        };
        rows.iter().map(timeline_row).collect()
    }
}
