//! The timeline: every admitted record whole.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::copy::{apart, copy};
use super::errors::sort_in;
use super::rows::{column, limit_of};
use super::schema::{Schema, Text};
use super::sessions::Session;
use crate::error::StoreError;
use crate::model::{GenerationId, ProfileKey, Progress, TimelineRow};
use crate::traits::TimelineView;

pub(super) struct Statements {
    records: Text,
    places: Text,
    copy_records: Text,
    copy_places: Text,
    /// A profile's records, the latest first: from the latest, and before a place.
    pub(super) latest: Text,
    pub(super) before: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        let events = |bound: &str| {
            schema.text(&format!(
                "SELECT t.place, t.partition, t.log_offset, r.record FROM
                   (SELECT place, partition, log_offset FROM @timeline
                    WHERE profile = $1 AND workspace = $2 {bound}
                    ORDER BY place DESC, partition DESC, log_offset DESC LIMIT $3) AS t
                 CROSS JOIN LATERAL
                   (SELECT record FROM @records r
                    WHERE r.partition = t.partition AND r.log_offset = t.log_offset OFFSET 0) AS r"
            ))
        };
        Self {
            records: schema.text(
                "INSERT INTO @records (partition, log_offset, record)
                 SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[])",
            ),
            places: schema.text(
                "INSERT INTO @timeline (profile, workspace, place, partition, log_offset)
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::integer[], $5::bigint[])",
            ),
            copy_records: schema.text("COPY @records (partition, log_offset, record) FROM STDIN (FORMAT binary)"),
            copy_places: schema
                .text("COPY @timeline (profile, workspace, place, partition, log_offset) FROM STDIN (FORMAT binary)"),
            latest: events(""),
            before: events("AND place < $4"),
        }
    }

    /// Writes a batch of `timeline`.
    pub(super) async fn commit(&self, session: &mut Session, rows: &[TimelineRow]) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut sorted: Vec<&TimelineRow> = rows.iter().collect();
        sorted.sort_unstable_by_key(|row| (row.key.profile, row.key.workspace, &row.place));
        match apart(rows) {
            ([], _) => self.insert(session, rows, &sorted).await,
            _ => self.copy(session, rows, &sorted).await,
        }
    }

    async fn insert(
        &self,
        session: &mut Session,
        rows: &[TimelineRow],
        sorted: &[&TimelineRow],
    ) -> Result<(), sqlx::Error> {
        let query = self
            .records
            .query()
            .bind(column(rows, |row| row.partition.cast_signed()))
            .bind(column(rows, |row| row.offset.cast_signed()))
            .bind(column(rows, |row| row.record.as_slice()));
        session.execute(query).await?;
        let query = self
            .places
            .query()
            .bind(column(sorted, |row| row.key.profile.0))
            .bind(column(sorted, |row| row.key.workspace.cast_signed()))
            .bind(column(sorted, |row| row.place.as_slice()))
            .bind(column(sorted, |row| row.partition.cast_signed()))
            .bind(column(sorted, |row| row.offset.cast_signed()));
        session.execute(query).await.map(drop)
    }

    async fn copy(
        &self,
        session: &mut Session,
        rows: &[TimelineRow],
        sorted: &[&TimelineRow],
    ) -> Result<(), sqlx::Error> {
        let records = copy(session, &self.copy_records, 3, rows, |values, row| {
            values.integer(row.partition.cast_signed()).bigint(row.offset.cast_signed()).bytes(&row.record);
        });
        records.await?;
        let places = copy(session, &self.copy_places, 5, sorted, |values, row| {
            values.uuid(row.key.profile.0).bigint(row.key.workspace.cast_signed()).bytes(&row.place);
            values.integer(row.partition.cast_signed()).bigint(row.offset.cast_signed());
        });
        places.await
    }
}

/// A view of the timeline.
pub(super) struct PgTimeline {
    pub(super) generation: GenerationId,
    pub(super) statements: std::sync::Arc<super::generation::Statements>,
    pub(super) session: Session,
    pub(super) progress: Vec<Progress>,
}

#[async_trait]
impl TimelineView for PgTimeline {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        Ok(self.progress.clone())
    }

    async fn events(
        &mut self,
        key: ProfileKey,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<TimelineRow>, StoreError> {
        let statements = &self.statements.timeline;
        let statement = if before.is_some() { &statements.before } else { &statements.latest };
        let query = statement.query().bind(key.profile.0).bind(key.workspace.cast_signed()).bind(limit_of(limit));
        let query = match before {
            Some(before) => query.bind(before.to_vec()),
            None => query,
        };
        let rows = self.session.rows(query).await;
        let rows = rows.map_err(|e| sort_in(self.generation, "reading the timeline", e))?;
        let timeline_row = |row: &PgRow| TimelineRow {
            key,
            place: row.get(0),
            partition: row.get::<i32, _>(1).cast_unsigned(),
            offset: row.get::<i64, _>(2).cast_unsigned(),
            record: row.get(3),
        };
        let mut rows: Vec<TimelineRow> = rows.iter().map(timeline_row).collect();
        rows.sort_unstable_by(|a, b| (&b.place, b.partition, b.offset).cmp(&(&a.place, a.partition, a.offset)));
        Ok(rows)
    }
}
