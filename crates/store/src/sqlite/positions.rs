//! How far projections have come: the fence of every batch.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::rows::get;
use crate::error::StoreError;
use crate::model::{Fence, Progress, Projection};

/// The clock that holds are timed by.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    };
}

const MOVE: &str = concat!(
    "UPDATE positions
     SET next = ?1, newest_receipt = max(coalesce(newest_receipt, ?2), coalesce(?2, newest_receipt))
     WHERE projection = ?3 AND stream = ?4 AND partition = ?5 AND next = ?6 AND (owner IS NULL OR owner = ?7)
       AND (hold IS NULL OR ?1 <= hold OR held_until <= ",
    now!(),
    ")"
);
/// A partition that isn't there stands at 0.
const FIRST: &str = "INSERT INTO positions (projection, stream, partition, next, newest_receipt)
    SELECT ?3, ?4, ?5, ?1, ?2 WHERE ?6 = 0 ON CONFLICT DO NOTHING";
/// How far a batch that was refused may go, if it is the hold alone that refuses it.
const HELD: &str = "SELECT hold FROM positions
    WHERE projection = ?1 AND stream = ?2 AND partition = ?3 AND next = ?4 AND (owner IS NULL OR owner = ?5)";
const CLAIM: &str = "INSERT INTO positions (projection, stream, partition, next, owner) VALUES (?, ?, ?, 0, ?)
    ON CONFLICT DO UPDATE SET owner = excluded.owner RETURNING next";
const HOLD: &str = concat!(
    "INSERT INTO positions (projection, stream, partition, next, hold, held_until)
     VALUES (?1, ?2, ?3, 0, ?4, ",
    now!(),
    " + ?5) ON CONFLICT DO UPDATE SET hold = excluded.hold, held_until = excluded.held_until"
);
pub(super) const RELEASE: &str = "UPDATE positions SET hold = NULL, held_until = NULL WHERE hold IS NOT NULL";

/// Moves the fence, or says why it can't be moved.
pub(super) async fn pass(
    connection: &mut SqliteConnection,
    projection: Projection,
    fence: Fence,
) -> Result<(), StoreError> {
    let failed = |e| StoreError::from_sqlx("moving the fence", e);
    for statement in [MOVE, FIRST] {
        let moved = sqlx::query(statement)
            .bind(fence.next.cast_signed())
            .bind(fence.newest_receipt)
            .bind(projection.name())
            .bind(projection.stream().name())
            .bind(fence.partition)
            .bind(fence.expected.cast_signed())
            .bind(fence.owner.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        if moved.rows_affected() == 1 {
            return Ok(());
        }
    }
    let held: Option<Option<i64>> = sqlx::query_scalar(HELD)
        .bind(projection.name())
        .bind(projection.stream().name())
        .bind(fence.partition)
        .bind(fence.expected.cast_signed())
        .bind(fence.owner.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    let partition = fence.partition;
    Err(match held.flatten() {
        Some(at) => StoreError::Held { projection, partition, at: at.cast_unsigned() },
        None => StoreError::Fenced { projection, partition, expected: fence.expected },
    })
}

/// Notes the owner of a partition; answers where the projection stands.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    projection: Projection,
    partition: u32,
    owner: Uuid,
) -> Result<u64, StoreError> {
    let next: i64 = sqlx::query_scalar(CLAIM)
        .bind(projection.name())
        .bind(projection.stream().name())
        .bind(partition)
        .bind(owner.as_bytes().as_slice())
        .fetch_one(connection)
        .await
        .map_err(|e| StoreError::from_sqlx("claiming a partition", e))?;
    Ok(next.cast_unsigned())
}

/// Holds projections at their places.
pub(super) async fn hold<'a>(
    connection: &mut SqliteConnection,
    at: impl Iterator<Item = &'a Progress>,
    lease: Duration,
) -> Result<(), StoreError> {
    for place in at {
        sqlx::query(HOLD)
            .bind(place.projection.name())
            .bind(place.projection.stream().name())
            .bind(place.partition)
            .bind(place.next.cast_signed())
            .bind(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
            .execute(&mut *connection)
            .await
            .map_err(|e| StoreError::from_sqlx("holding a generation", e))?;
    }
    Ok(())
}

/// The positions of a file.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Vec<Progress>, StoreError> {
    let rows = sqlx::query("SELECT projection, partition, next, newest_receipt FROM positions")
        .fetch_all(connection)
        .await
        .map_err(|e| StoreError::from_sqlx("reading positions", e))?;
    let progress = |row: &SqliteRow| {
        let name: &str = get(row, 0)?;
        let projection = Projection::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or(StoreError::Damaged("an unknown projection"))?;
        let next = get::<i64>(row, 2)?.cast_unsigned();
        Ok(Progress { projection, partition: get(row, 1)?, next, newest_receipt: get(row, 3)? })
    };
    rows.iter().map(progress).collect()
}
