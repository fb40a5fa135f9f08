//! Many rows with few statements.

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Row as _, Type};
use uuid::Uuid;
use weir_event::ProfileId;

use crate::error::StoreError;

pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Rows of a statement at the most.
const MOST: usize = 512;
/// Prepared statements that a connection keeps: one for each [`Many`] and power of two, and room for the others.
pub(super) const STATEMENTS: usize = 512;

/// A statement over rows: `head VALUES (?, …), … tail`.
#[derive(Clone, Copy)]
pub(super) struct Many {
    pub(super) head: &'static str,
    pub(super) columns: usize,
    pub(super) tail: &'static str,
}

impl Many {
    /// Runs the statement over all rows. They go in powers of two, so that a handful of prepared statements serves
    /// every batch: a statement costs a trip to the connection's thread, and a new one a parse.
    pub(super) async fn write<R>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[R],
        bind: impl for<'q> Fn(Bound<'q>, &R) -> Bound<'q>,
    ) -> Result<(), sqlx::Error> {
        for rows in powers_of_two(rows) {
            let query = sqlx::query(AssertSqlSafe(self.statement(rows.len())));
            rows.iter().fold(query, &bind).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Runs the statement over all rows and answers what it selects, in no order.
    pub(super) async fn read<R>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[R],
        bind: impl for<'q> Fn(Bound<'q>, &R) -> Bound<'q>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut found = Vec::with_capacity(rows.len());
        for rows in powers_of_two(rows) {
            let query = sqlx::query(AssertSqlSafe(self.statement(rows.len())));
            found.extend(rows.iter().fold(query, &bind).fetch_all(&mut *connection).await?);
        }
        Ok(found)
    }

    pub(super) fn statement(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        format!("{} VALUES {row}{} {}", self.head, format!(",{row}").repeat(rows - 1), self.tail)
    }
}

fn powers_of_two<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let count = MOST.min(1 << rows.len().checked_ilog2()?);
        let (now, later) = rows.split_at(count);
        rows = later;
        Some(now)
    })
}

/// A value of a row.
///
/// # Errors
/// It isn't of the kind that it should be: a number that is too large, say, which only somebody else can have written.
pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: usize,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(|_| StoreError::Damaged("a value is not of the kind that its column should have"))
}

/// A profile's id as tables have it.
pub(super) fn id(profile: ProfileId) -> Vec<u8> {
    profile.0.as_bytes().to_vec()
}

/// The profile that [`id`] made a value of.
pub(super) fn profile_id(bytes: &[u8]) -> Result<ProfileId, StoreError> {
    Uuid::from_slice(bytes).map(ProfileId).map_err(|_| StoreError::Damaged("a profile id is no UUID"))
}

pub(super) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
