//! Sums of removals by stretches of days, and what waits to be added to them.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, SqlSafeStr as _};
use weir_basket::days;

use super::rows::{column, delete};
use super::schema::{Schema, Text};
use super::sessions::{Bound, Session, Sessions};
use crate::baskets::{DaysChanges, DaysKey, DaysRow};
use crate::model::Fence;
use crate::removal_days::{Tables, WaitingKey, merge};

pub(super) struct Statements {
    pub(super) rows: Text,
    pub(super) gone: Text,
    write: Text,
    wait: Text,
    all_waiting: Text,
    pub(super) waiting: Text,
    pub(super) forget: Text,
    /// Begins a transaction within which nobody else adds up what waits.
    alone: Text,
    /// The sums of stretches and shares, each with its share.
    pub(super) stretches: Text,
    pub(super) changes: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            rows: schema.text(
                "SELECT d.workspace, d.level, d.number, d.bucket, d.sums
                 FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[])
                   AS k (workspace, level, number, bucket) CROSS JOIN LATERAL
                   (SELECT * FROM @removal_days d WHERE d.workspace = k.workspace AND d.level = k.level
                      AND d.number = k.number AND d.bucket = k.bucket OFFSET 0) AS d",
            ),
            gone: delete(
                schema,
                "@removal_days",
                "$1::bigint[], $2::integer[], $3::integer[], $4::integer[]",
                &["workspace", "level", "number", "bucket"],
            ),
            write: schema.text(
                "INSERT INTO @removal_days (workspace, level, number, bucket, sums)
                 SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::bytea[])
                 ON CONFLICT (workspace, level, number, bucket) DO UPDATE SET sums = excluded.sums",
            ),
            wait: schema.text(
                "INSERT INTO @removal_days_new (workspace, partition, next, changes)
                 SELECT k.workspace, $2, $3, k.changes FROM unnest($1::bigint[], $4::bytea[]) AS k (workspace, changes)",
            ),
            all_waiting: schema
                .text("SELECT workspace, partition, next, octet_length(changes)::bigint FROM @removal_days_new"),
            waiting: schema.text(
                "SELECT w.workspace, w.changes
                 FROM unnest($1::bigint[], $2::bigint[]::integer[], $3::bigint[]) AS k (workspace, partition, next)
                 CROSS JOIN LATERAL
                   (SELECT * FROM @removal_days_new w WHERE w.workspace = k.workspace AND w.partition = k.partition
                      AND w.next = k.next OFFSET 0) AS w",
            ),
            forget: delete(
                schema,
                "@removal_days_new",
                "$1::bigint[], $2::bigint[]::integer[], $3::bigint[]",
                &["workspace", "partition", "next"],
            ),
            // A process that is stopped in its midst is waited for no longer than that.
            alone: schema.text(&format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '500ms';
                 SELECT pg_advisory_xact_lock(hashtextextended('weir removal_days {}', 0))",
                schema.name()
            )),
            stretches: schema.text(
                "SELECT d.* FROM unnest($2::integer[], $3::integer[], $4::integer[]) AS k (level, first, past)
                 CROSS JOIN LATERAL
                   (SELECT bucket, sums FROM @removal_days d WHERE d.workspace = $1 AND d.level = k.level
                      AND d.number >= k.first AND d.number < k.past AND d.bucket >= $5 AND d.bucket < $6 OFFSET 0) AS d",
            ),
            changes: schema.text("SELECT changes FROM @removal_days_new WHERE workspace = $1"),
        }
    }

    /// Writes what a batch adds to sums.
    pub(super) async fn commit(
        &self,
        session: &mut Session,
        fence: Fence,
        days: &[DaysChanges],
    ) -> Result<(), sqlx::Error> {
        if days.is_empty() {
            return Ok(());
        }
        let query = self
            .wait
            .query()
            .bind(column(days, |row| row.workspace.cast_signed()))
            .bind(fence.partition.cast_signed())
            .bind(fence.next.cast_signed())
            .bind(column(days, |row| row.changes.as_slice()));
        session.execute(query).await.map(drop)
    }

    /// Adds up what waits; answers how many bytes the rows have then.
    pub(super) async fn merge(&self, writers: &Arc<Sessions>) -> Result<usize, sqlx::Error> {
        let (mut session, _) = writers.begin(&self.alone).await?;
        let written = merge(&mut Within { statements: self, session: &mut session }).await?;
        session.commit().await?;
        Ok(written)
    }

    /// Asks for the sums of stretches and shares.
    pub(super) fn stretches(&self, workspace: u64, stretches: &[days::Stretches], buckets: Range<i32>) -> Bound {
        self.stretches
            .query()
            .bind(workspace.cast_signed())
            .bind(column(stretches, |of| of.level))
            .bind(column(stretches, |of| of.numbers.start))
            .bind(column(stretches, |of| of.numbers.end))
            .bind(buckets.start)
            .bind(buckets.end)
    }
}

/// Alone: each statement sees what those who were alone before committed.
struct Within<'s> {
    statements: &'s Statements,
    session: &'s mut Session,
}

#[async_trait]
impl Tables for Within<'_> {
    async fn waiting(&mut self) -> Result<Vec<(WaitingKey, usize)>, sqlx::Error> {
        let rows = self.session.rows(self.statements.all_waiting.query()).await?;
        let unsigned = |row: &PgRow, column| row.get::<i64, _>(column).cast_unsigned();
        let waiting = |row: &PgRow| {
            let partition = row.get::<i32, _>(1).into();
            let key = WaitingKey { workspace: unsigned(row, 0), partition, next: unsigned(row, 2) };
            (key, usize::try_from(unsigned(row, 3)).unwrap_or(usize::MAX))
        };
        Ok(rows.iter().map(waiting).collect())
    }

    async fn changes(&mut self, keys: &[WaitingKey]) -> Result<Vec<DaysChanges>, sqlx::Error> {
        let rows = self.session.rows(waiting_keys(&self.statements.waiting, keys)).await?;
        let changes =
            |row: &PgRow| DaysChanges { workspace: row.get::<i64, _>(0).cast_unsigned(), changes: row.get(1) };
        Ok(rows.iter().map(changes).collect())
    }

    async fn forget(&mut self, keys: &[WaitingKey]) -> Result<(), sqlx::Error> {
        self.session.execute(waiting_keys(&self.statements.forget, keys)).await.map(drop)
    }

    async fn rows(&mut self, keys: &[DaysKey]) -> Result<Vec<DaysRow>, sqlx::Error> {
        let rows = self.session.rows(days_keys(&self.statements.rows, keys, |key| key)).await?;
        Ok(rows.iter().map(row).collect())
    }

    async fn write(&mut self, rows: &[DaysRow]) -> Result<(), sqlx::Error> {
        let (rows, empty): (Vec<&DaysRow>, Vec<&DaysRow>) = rows.iter().partition(|row| !row.sums.is_empty());
        if !empty.is_empty() {
            self.session.execute(days_keys(&self.statements.gone, &empty, |row| &row.key)).await?;
        }
        let query = days_keys(&self.statements.write, &rows, |row| &row.key);
        self.session.execute(query.bind(column(&rows, |row| row.sums.as_slice()))).await.map(drop)
    }

    async fn mark(&mut self) -> Result<(), sqlx::Error> {
        self.session.script("SAVEPOINT sums".into_sql_str()).await.map(drop)
    }

    async fn undo(&mut self) -> Result<(), sqlx::Error> {
        self.session.script("ROLLBACK TO SAVEPOINT sums".into_sql_str()).await.map(drop)
    }
}

fn waiting_keys(statement: &Text, keys: &[WaitingKey]) -> Bound {
    statement
        .query()
        .bind(column(keys, |key| key.workspace.cast_signed()))
        .bind(column(keys, |key| key.partition))
        .bind(column(keys, |key| key.next.cast_signed()))
}

fn days_keys<R>(statement: &Text, rows: &[R], key: impl Fn(&R) -> &DaysKey) -> Bound {
    statement
        .query()
        .bind(column(rows, |row| key(row).workspace.cast_signed()))
        .bind(column(rows, |row| key(row).place.level))
        .bind(column(rows, |row| key(row).place.number))
        .bind(column(rows, |row| key(row).place.bucket))
}

/// Sums from the columns workspace, level, number, bucket and sums.
pub(super) fn row(row: &PgRow) -> DaysRow {
    let place = days::Place { level: row.get(1), number: row.get(2), bucket: row.get(3) };
    DaysRow { key: DaysKey { workspace: row.get::<i64, _>(0).cast_unsigned(), place }, sums: row.get(4) }
}
