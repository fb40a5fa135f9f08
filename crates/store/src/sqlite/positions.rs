//! How far projections have come: the fence of every batch.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::error::StoreError;
use crate::model::{Fence, Progress, Projection};

const MOVE: &str = "UPDATE positions
    SET next = ?1, newest_receipt = max(coalesce(newest_receipt, ?2), coalesce(?2, newest_receipt))
    WHERE projection = ?3 AND stream = ?4 AND partition = ?5 AND next = ?6";
/// A partition that isn't there stands at 0.
const FIRST: &str = "INSERT INTO positions (projection, stream, partition, next, newest_receipt)
    SELECT ?3, ?4, ?5, ?1, ?2 WHERE ?6 = 0 ON CONFLICT DO NOTHING";

/// Moves the fence, or says that somebody else did.
pub(super) async fn pass(
    connection: &mut SqliteConnection,
    projection: Projection,
    fence: Fence,
) -> Result<(), StoreError> {
    for statement in [MOVE, FIRST] {
        let moved = sqlx::query(statement)
            .bind(fence.next.cast_signed())
            .bind(fence.newest_receipt)
            .bind(projection.name())
            .bind(projection.stream().name())
            .bind(fence.partition)
            .bind(fence.expected.cast_signed())
            .execute(&mut *connection)
            .await
            .map_err(|e| StoreError::from_sqlx("moving the fence", e))?;
        if moved.rows_affected() == 1 {
            return Ok(());
        }
    }
    Err(StoreError::Fenced { projection, partition: fence.partition, expected: fence.expected })
}

/// The positions of a file.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Vec<Progress>, StoreError> {
    let rows = sqlx::query("SELECT projection, partition, next, newest_receipt FROM positions")
        .fetch_all(connection)
        .await
        .map_err(|e| StoreError::from_sqlx("reading positions", e))?;
    let progress = |row: &SqliteRow| {
        let name: &str = row.get(0);
        let projection = Projection::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or(StoreError::Damaged("an unknown projection"))?;
        let next = row.get::<i64, _>(2).cast_unsigned();
        Ok(Progress { projection, partition: row.get(1), next, newest_receipt: row.get(3) })
    };
    rows.iter().map(progress).collect()
}
