//! Many rows with few statements.

use sqlx::AssertSqlSafe;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};

pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Rows of a statement at the most.
const MOST: usize = 512;

/// Runs `head VALUES (?, …), … tail` over all rows. Rows go in powers of two, so that a handful of prepared statements
/// serves every batch: a statement costs a trip to the connection's thread, and a new one a parse.
pub(super) async fn write<R>(
    connection: &mut SqliteConnection,
    head: &str,
    columns: usize,
    tail: &str,
    rows: &[R],
    bind: impl for<'q> Fn(Bound<'q>, &R) -> Bound<'q>,
) -> Result<(), sqlx::Error> {
    for rows in powers_of_two(rows) {
        let query = sqlx::query(AssertSqlSafe(statement(head, columns, rows.len(), tail)));
        rows.iter().fold(query, &bind).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Runs `head VALUES (?, …), … tail` over all rows and answers what it selects, in no order.
pub(super) async fn read<R>(
    connection: &mut SqliteConnection,
    head: &str,
    columns: usize,
    tail: &str,
    rows: &[R],
    bind: impl for<'q> Fn(Bound<'q>, &R) -> Bound<'q>,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let mut found = Vec::with_capacity(rows.len());
    for rows in powers_of_two(rows) {
        let query = sqlx::query(AssertSqlSafe(statement(head, columns, rows.len(), tail)));
        found.extend(rows.iter().fold(query, &bind).fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

fn powers_of_two<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let count = MOST.min(1 << rows.len().checked_ilog2()?);
        let (now, later) = rows.split_at(count);
        rows = later;
        Some(now)
    })
}

fn statement(head: &str, columns: usize, rows: usize, tail: &str) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("{head} VALUES {row}{} {tail}", format!(",{row}").repeat(rows - 1))
}
