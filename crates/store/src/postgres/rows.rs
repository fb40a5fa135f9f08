//! Many rows with one statement: each column is an array, so a statement's text is the same for one row and for ten
//! thousand.
//!
//! What makes arrays of a batch must make all of the same length: `unnest` fills up shorter ones with NULL.
//!
//! A table is never joined with the arrays. A planner that believes a table to be empty walks the whole of it and looks
//! at all arrays for each row, and goes on so for as long as the plan is kept (the plan tests found it). A subquery for
//! each key (`LATERAL … OFFSET 0`, which is not turned into a join) leaves it no choice.

use super::schema::{Schema, Text};

/// Rows of one statement: more take several, each with a time limit of its own.
pub(super) const ROWS: usize = 20_000;

/// A column of rows.
pub(super) fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// Deletes the rows with the keys that arrays name. Nobody else changes rows of the same partition meanwhile: so where
/// a row was found it still is.
pub(super) fn delete(schema: &Schema, table: &str, arrays: &str, key: &[&str]) -> Text {
    let same: Vec<String> = key.iter().map(|column| format!("t.{column} = k.{column}")).collect();
    schema.text(&format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
           SELECT f.ctid FROM unnest({arrays}) AS k ({}) CROSS JOIN LATERAL
             (SELECT t.ctid FROM {table} t WHERE {} OFFSET 0) AS f))",
        key.join(", "),
        same.join(" AND ")
    ))
}

pub(super) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
