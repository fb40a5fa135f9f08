//! The fold's own memory: redo, states, event ids.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use weir_event::ProfileId;

use super::copy::{apart, copy};
use super::rows::{ROWS, column, delete};
use super::schema::{Schema, Text};
use super::sessions::{Bound, Session};
use crate::model::{Fence, IdChunk, MembershipBatch, ProfileKey, ProfileRow};

pub(super) struct Statements {
    pub(super) read: Text,
    write: Text,
    copy: Text,
    write_chunks: Text,
    pub(super) drop_chunks: Text,
    pub(super) chunks: Text,
    write_redo: Text,
    pub(super) redo: Text,
    pub(super) redo_done: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            read: schema.text(
                "SELECT s.workspace, s.profile, s.last_offset, s.state, s.open_spans, s.event_ids, s.id_chunks
                 FROM unnest($1::bigint[], $2::uuid[]) AS k (workspace, profile) CROSS JOIN LATERAL
                   (SELECT * FROM @states s WHERE s.workspace = k.workspace AND s.profile = k.profile OFFSET 0) AS s",
            ),
            write: schema.text(
                "INSERT INTO @states (workspace, profile, last_offset, state, open_spans, event_ids, id_chunks)
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[],
                                      $7::integer[])
                 ON CONFLICT (workspace, profile) DO UPDATE
                 SET last_offset = excluded.last_offset, state = excluded.state, open_spans = excluded.open_spans,
                     event_ids = excluded.event_ids, id_chunks = excluded.id_chunks",
            ),
            copy: schema.text(
                "COPY @states (workspace, profile, last_offset, state, open_spans, event_ids, id_chunks)
                 FROM STDIN (FORMAT binary)",
            ),
            write_chunks: schema.text(
                "INSERT INTO @event_ids (workspace, profile, chunk, newest, ids)
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bytea[])",
            ),
            drop_chunks: delete(
                schema,
                "@event_ids",
                "$1::bigint[], $2::uuid[], $3::bigint[]",
                &["workspace", "profile", "chunk"],
            ),
            chunks: schema
                .text("SELECT chunk, newest, ids FROM @event_ids WHERE workspace = $1 AND profile = $2 ORDER BY chunk"),
            write_redo: schema.text("INSERT INTO @state_redo (partition, next, rows) VALUES ($1, $2, $3)"),
            redo: schema.text("SELECT rows FROM @state_redo WHERE partition = $1 ORDER BY next"),
            redo_done: schema.text("DELETE FROM @state_redo WHERE partition = $1 AND next <= $2"),
        }
    }

    /// Appends the batch's redo, drops redo that is in rows by now, and writes rows where they belong.
    pub(super) async fn commit(
        &self,
        session: &mut Session,
        fence: Fence,
        batch: &MembershipBatch,
    ) -> Result<(), sqlx::Error> {
        let partition = fence.partition.cast_signed();
        if let Some(done) = batch.redo_done {
            session.execute(self.redo_done.query().bind(partition).bind(done.cast_signed())).await?;
        }
        if !batch.redo.is_empty() {
            let query = self.write_redo.query().bind(partition).bind(fence.next.cast_signed());
            session.execute(query.bind(batch.redo.as_slice())).await?;
        }
        let (copied, looked_for) = apart(&batch.new.profiles);
        self.copy(session, copied).await?;
        for rows in looked_for.chunks(ROWS).chain(batch.profiles.chunks(ROWS)) {
            session.execute(self.rows_written(rows)).await?;
        }
        if !batch.id_chunks.is_empty() {
            session.execute(self.chunks_written(&batch.id_chunks)).await?;
        }
        if !batch.dropped_chunks.is_empty() {
            let chunks = &batch.dropped_chunks;
            let query = self
                .drop_chunks
                .query()
                .bind(column(chunks, |(key, _)| key.workspace.cast_signed()))
                .bind(column(chunks, |(key, _)| key.profile.0))
                .bind(column(chunks, |(_, chunk)| chunk.cast_signed()));
            session.execute(query).await?;
        }
        Ok(())
    }

    fn rows_written(&self, rows: &[ProfileRow]) -> Bound {
        self.write
            .query()
            .bind(column(rows, |row| row.key.workspace.cast_signed()))
            .bind(column(rows, |row| row.key.profile.0))
            .bind(column(rows, |row| row.last_offset.cast_signed()))
            .bind(column(rows, |row| row.state.as_slice()))
            .bind(column(rows, |row| row.open_spans.as_slice()))
            .bind(column(rows, |row| row.event_ids.as_slice()))
            .bind(column(rows, |row| row.id_chunks.cast_signed()))
    }

    async fn copy(&self, session: &mut Session, rows: &[ProfileRow]) -> Result<(), sqlx::Error> {
        let copied = copy(session, &self.copy, 7, rows, |values, row| {
            values.bigint(row.key.workspace.cast_signed()).uuid(row.key.profile.0);
            values.bigint(row.last_offset.cast_signed()).bytes(&row.state).bytes(&row.open_spans);
            values.bytes(&row.event_ids).integer(row.id_chunks.cast_signed());
        });
        copied.await
    }

    fn chunks_written(&self, rows: &[IdChunk]) -> Bound {
        self.write_chunks
            .query()
            .bind(column(rows, |row| row.key.workspace.cast_signed()))
            .bind(column(rows, |row| row.key.profile.0))
            .bind(column(rows, |row| row.chunk.cast_signed()))
            .bind(column(rows, |row| row.newest))
            .bind(column(rows, |row| row.ids.as_slice()))
    }

    /// Asks for the rows of profiles.
    pub(super) fn rows_of(&self, keys: &[ProfileKey]) -> Bound {
        let workspaces = column(keys, |key| key.workspace.cast_signed());
        self.read.query().bind(workspaces).bind(column(keys, |key| key.profile.0))
    }
}

/// A profile's row from [`Statements::rows_of`].
pub(super) fn profile_row(row: &PgRow) -> ProfileRow {
    ProfileRow {
        key: ProfileKey { workspace: row.get::<i64, _>(0).cast_unsigned(), profile: ProfileId(row.get(1)) },
        last_offset: row.get::<i64, _>(2).cast_unsigned(),
        state: row.get(3),
        open_spans: row.get(4),
        event_ids: row.get(5),
        id_chunks: row.get::<i32, _>(6).cast_unsigned(),
    }
}
