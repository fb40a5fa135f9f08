//! The fold's own memory: redo, states, event ids.

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::rows::{Many, get, id, profile_id};
use crate::error::StoreError;
use crate::model::{Fence, IdChunk, MembershipBatch, ProfileKey, ProfileRow};

pub(super) const READ: Many = Many {
    head: "SELECT workspace, profile, last_offset, state, open_spans, event_ids, id_chunks
           FROM states WHERE (workspace, profile) IN (",
    columns: 2,
    tail: ")",
};
pub(super) const WRITE: Many = Many {
    head: "INSERT INTO states (workspace, profile, last_offset, state, open_spans, event_ids, id_chunks)",
    columns: 7,
    tail: "ON CONFLICT DO UPDATE SET last_offset = excluded.last_offset, state = excluded.state,
           open_spans = excluded.open_spans, event_ids = excluded.event_ids, id_chunks = excluded.id_chunks",
};
const WRITE_CHUNKS: Many =
    Many { head: "INSERT INTO event_ids (workspace, profile, chunk, newest, ids)", columns: 5, tail: "" };
pub(super) const DROP_CHUNKS: Many =
    Many { head: "DELETE FROM event_ids WHERE (workspace, profile, chunk) IN (", columns: 3, tail: ")" };
pub(super) const CHUNKS: &str =
    "SELECT chunk, newest, ids FROM event_ids WHERE workspace = ? AND profile = ? ORDER BY chunk";
pub(super) const REDO: &str = "SELECT rows FROM state_redo WHERE partition = ? ORDER BY next";
pub(super) const REDO_DONE: &str = "DELETE FROM state_redo WHERE partition = ? AND next <= ?";

/// Appends the batch's redo, and drops redo that is in rows by now.
pub(super) async fn write_redo(
    connection: &mut SqliteConnection,
    fence: Fence,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    if let Some(done) = batch.redo_done {
        let gone = sqlx::query(REDO_DONE).bind(fence.partition).bind(done.cast_signed());
        gone.execute(&mut *connection).await?;
    }
    if !batch.redo.is_empty() {
        sqlx::query("INSERT INTO state_redo (partition, next, rows) VALUES (?, ?, ?)")
            .bind(fence.partition)
            .bind(fence.next.cast_signed())
            .bind(batch.redo.clone())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes rows where they belong, and the chunks that left them.
pub(super) async fn write(connection: &mut SqliteConnection, batch: &MembershipBatch) -> Result<(), sqlx::Error> {
    for rows in [&batch.new.profiles, &batch.profiles] {
        let bound = WRITE.write(connection, rows, |query, row| {
            query
                .bind(row.key.workspace.cast_signed())
                .bind(id(row.key.profile))
                .bind(row.last_offset.cast_signed())
                .bind(row.state.clone())
                .bind(row.open_spans.clone())
                .bind(row.event_ids.clone())
                .bind(row.id_chunks)
        });
        bound.await?;
    }
    let bound = WRITE_CHUNKS.write(connection, &batch.id_chunks, |query, row| {
        query
            .bind(row.key.workspace.cast_signed())
            .bind(id(row.key.profile))
            .bind(row.chunk.cast_signed())
            .bind(row.newest)
            .bind(row.ids.clone())
    });
    bound.await?;
    let bound = DROP_CHUNKS.write(connection, &batch.dropped_chunks, |query, (key, chunk)| {
        query.bind(key.workspace.cast_signed()).bind(id(key.profile)).bind(chunk.cast_signed())
    });
    bound.await
}

/// The redo of a partition.
pub(super) async fn read_redo(connection: &mut SqliteConnection, partition: u32) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = sqlx::query_scalar(REDO).bind(partition).fetch_all(connection).await;
    rows.map_err(|e| StoreError::from_sqlx("reading the redo of states", e))
}

/// The rows of profiles.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    keys: &[ProfileKey],
) -> Result<Vec<ProfileRow>, StoreError> {
    let bind = READ.read(connection, keys, |query, key| query.bind(key.workspace.cast_signed()).bind(id(key.profile)));
    let rows = bind.await.map_err(|e| StoreError::from_sqlx("reading states", e))?;
    let profile_row = |row: &SqliteRow| {
        let profile = profile_id(get(row, 1)?)?;
        Ok(ProfileRow {
            key: ProfileKey { workspace: get::<i64>(row, 0)?.cast_unsigned(), profile },
            last_offset: get::<i64>(row, 2)?.cast_unsigned(),
            state: get(row, 3)?,
            open_spans: get(row, 4)?,
            event_ids: get(row, 5)?,
            id_chunks: get(row, 6)?,
        })
    };
    rows.iter().map(profile_row).collect()
}

/// The id chunks of a profile.
pub(super) async fn read_chunks(
    connection: &mut SqliteConnection,
    key: ProfileKey,
) -> Result<Vec<IdChunk>, StoreError> {
    let rows = sqlx::query(CHUNKS)
        .bind(key.workspace.cast_signed())
        .bind(id(key.profile))
        .fetch_all(connection)
        .await
        .map_err(|e| StoreError::from_sqlx("reading event ids", e))?;
    let chunk = |row: &SqliteRow| {
        Ok(IdChunk { key, chunk: get::<i64>(row, 0)?.cast_unsigned(), newest: get(row, 1)?, ids: get(row, 2)? })
    };
    rows.iter().map(chunk).collect()
}
