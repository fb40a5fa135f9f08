//! Many rows with one statement: each column is an array, so a statement's text is the same for one row and for ten
//! thousand.
//!
//! What makes arrays of a batch must make all of the same length: `unnest` fills up shorter ones with NULL.

/// A column of rows.
pub(super) fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

pub(super) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
