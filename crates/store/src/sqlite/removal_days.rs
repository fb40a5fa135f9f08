//! Sums of removals by stretches of days, and what waits to be added to them.

use std::ops::Range;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};
use weir_basket::days;

use super::rows::{Many, get};
use crate::baskets::{DaysChanges, DaysKey, DaysRow};
use crate::error::StoreError;
use crate::model::Fence;
use crate::removal_days::{Enough, Tables, Unmerged, WaitingKey, merge};

pub(super) const ROWS: Many = Many {
    head: "SELECT workspace, level, number, bucket, sums FROM removal_days WHERE (workspace, level, number, bucket) IN (",
    columns: 4,
    tail: ")",
};
pub(super) const GONE: Many =
    Many { head: "DELETE FROM removal_days WHERE (workspace, level, number, bucket) IN (", columns: 4, tail: ")" };
const WRITE: Many = Many {
    head: "INSERT INTO removal_days (workspace, level, number, bucket, sums)",
    columns: 5,
    tail: "ON CONFLICT DO UPDATE SET sums = excluded.sums",
};
const WAIT: Many =
    Many { head: "INSERT INTO removal_days_new (workspace, partition, next, changes)", columns: 4, tail: "" };
pub(super) const WAITING: Many = Many {
    head: "SELECT workspace, changes FROM removal_days_new WHERE (workspace, partition, next) IN (",
    columns: 3,
    tail: ")",
};
pub(super) const FORGET: Many =
    Many { head: "DELETE FROM removal_days_new WHERE (workspace, partition, next) IN (", columns: 3, tail: ")" };
const ALL_WAITING: &str = "SELECT workspace, partition, next, length(changes) FROM removal_days_new";
pub(super) const CHANGES: &str = "SELECT changes FROM removal_days_new WHERE workspace = ?1";

/// The sums of so many stretches and of some shares, each with its share. ?1 workspace, ?2 first share, ?3 the share after the
/// last; then level, first number and the number after the last of each stretch.
pub(super) fn stretches_query(stretches: usize) -> String {
    let asked: Vec<String> =
        (0..stretches).map(|n| format!("(?{}, ?{}, ?{})", 4 + 3 * n, 5 + 3 * n, 6 + 3 * n)).collect();
    format!(
        "SELECT d.bucket, d.sums FROM (VALUES {}) AS t CROSS JOIN removal_days AS d
         WHERE d.workspace = ?1 AND d.level = t.column1 AND d.number >= t.column2 AND d.number < t.column3
           AND d.bucket >= ?2 AND d.bucket < ?3",
        asked.join(", ")
    )
}

/// Writes what a batch adds to sums, and adds up what waits if it is time.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    unmerged: &Unmerged,
    fence: Fence,
    days: &[DaysChanges],
) -> Result<(), sqlx::Error> {
    let written = WAIT.write(connection, days, |query, row| {
        let query = query.bind(row.workspace.cast_signed()).bind(fence.partition).bind(fence.next.cast_signed());
        query.bind(row.changes.clone())
    });
    written.await?;
    if unmerged.add(days) { merge_if(connection, unmerged, Enough::ForABatch).await } else { Ok(()) }
}

/// Adds up what waits, if it is enough.
pub(super) async fn merge_if(
    connection: &mut SqliteConnection,
    unmerged: &Unmerged,
    enough: Enough,
) -> Result<(), sqlx::Error> {
    if !unmerged.take(enough) {
        return Ok(());
    }
    let merged = merge(&mut Within(connection)).await;
    unmerged.merged(merged.inspect_err(|_| unmerged.failed())?);
    Ok(())
}

/// Within the batch's transaction: nobody else writes meanwhile.
struct Within<'c>(&'c mut SqliteConnection);

#[async_trait]
impl Tables for Within<'_> {
    async fn waiting(&mut self) -> Result<Vec<(WaitingKey, usize)>, sqlx::Error> {
        let rows = sqlx::query(ALL_WAITING).fetch_all(&mut *self.0).await?;
        let waiting = |row: &SqliteRow| {
            let (workspace, next): (i64, i64) = (row.get(0), row.get(2));
            let key =
                WaitingKey { workspace: workspace.cast_unsigned(), partition: row.get(1), next: next.cast_unsigned() };
            (key, usize::try_from(row.get::<i64, _>(3)).unwrap_or(usize::MAX))
        };
        Ok(rows.iter().map(waiting).collect())
    }

    async fn changes(&mut self, keys: &[WaitingKey]) -> Result<Vec<DaysChanges>, sqlx::Error> {
        let rows = WAITING
            .read(self.0, keys, |query, key| {
                query.bind(key.workspace.cast_signed()).bind(key.partition).bind(key.next.cast_signed())
            })
            .await?;
        Ok(rows.iter().map(changes_row).collect())
    }

    async fn forget(&mut self, keys: &[WaitingKey]) -> Result<(), sqlx::Error> {
        let gone = FORGET.write(self.0, keys, |query, key| {
            query.bind(key.workspace.cast_signed()).bind(key.partition).bind(key.next.cast_signed())
        });
        gone.await
    }

    async fn rows(&mut self, keys: &[DaysKey]) -> Result<Vec<DaysRow>, sqlx::Error> {
        let rows = ROWS.read(self.0, keys, |query, key| {
            let query = query.bind(key.workspace.cast_signed()).bind(key.place.level);
            query.bind(key.place.number).bind(key.place.bucket)
        });
        let read = |found: &SqliteRow| row(found).map_err(|error| sqlx::Error::Decode(Box::new(error)));
        rows.await?.iter().map(read).collect()
    }

    async fn write(&mut self, rows: &[DaysRow]) -> Result<(), sqlx::Error> {
        let (rows, empty): (Vec<&DaysRow>, Vec<&DaysRow>) = rows.iter().partition(|row| !row.sums.is_empty());
        let gone = GONE.write(self.0, &empty, |query, row| {
            let DaysKey { workspace, place } = row.key;
            query.bind(workspace.cast_signed()).bind(place.level).bind(place.number).bind(place.bucket)
        });
        gone.await?;
        let written = WRITE.write(self.0, &rows, |query, row| {
            let DaysKey { workspace, place } = row.key;
            let query = query.bind(workspace.cast_signed()).bind(place.level).bind(place.number).bind(place.bucket);
            query.bind(row.sums.clone())
        });
        written.await
    }

    async fn mark(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("SAVEPOINT sums").execute(&mut *self.0).await.map(drop)
    }

    async fn undo(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("ROLLBACK TO sums").execute(&mut *self.0).await.map(drop)
    }
}

/// The sums of stretches and shares.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    workspace: u64,
    stretches: &[days::Stretches],
    buckets: Range<i32>,
) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
    if stretches.is_empty() {
        return Ok(Vec::new());
    }
    let query = sqlx::query(AssertSqlSafe(stretches_query(stretches.len()))).bind(workspace.cast_signed());
    let query = stretches.iter().fold(query.bind(buckets.start).bind(buckets.end), |query, of| {
        query.bind(of.level).bind(of.numbers.start).bind(of.numbers.end)
    });
    let rows = query.fetch_all(connection).await.map_err(|e| StoreError::from_sqlx("reading sums of removals", e))?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// What is to be added to the sums of a workspace.
pub(super) async fn changes(connection: &mut SqliteConnection, workspace: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let changes = sqlx::query_scalar(CHANGES).bind(workspace.cast_signed()).fetch_all(connection).await;
    changes.map_err(|e| StoreError::from_sqlx("reading sums of removals", e))
}

/// Changes from the columns workspace and changes.
fn changes_row(row: &SqliteRow) -> DaysChanges {
    DaysChanges { workspace: row.get::<i64, _>(0).cast_unsigned(), changes: row.get(1) }
}

/// Sums from the columns workspace, level, number, bucket and sums.
pub(super) fn row(row: &SqliteRow) -> Result<DaysRow, StoreError> {
    let place = days::Place { level: get(row, 1)?, number: get(row, 2)?, bucket: get(row, 3)? };
    let key = DaysKey { workspace: get::<i64>(row, 0)?.cast_unsigned(), place };
    Ok(DaysRow { key, sums: get(row, 4)? })
}
