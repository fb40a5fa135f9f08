//! PostgreSQL's errors, sorted by what the caller should do.

use sqlx::postgres::PgDatabaseError;

use crate::error::StoreError;
use crate::model::GenerationId;

const DISK_FULL: &str = "53100";
const UNDEFINED_TABLE: &str = "42P01";
const INVALID_SCHEMA: &str = "3F000";
/// Only rows that are new are written without looking whether they are there, behind the fence.
const UNIQUE_VIOLATION: &str = "23505";
const DATA_CORRUPTED: &str = "XX001";
const INDEX_CORRUPTED: &str = "XX002";
/// Wrong passwords and users.
const NOT_AUTHORIZED: &str = "28";
/// No such database.
const INVALID_CATALOG: &str = "3D000";
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// What the server calls the error, where it was the server.
pub(super) fn code(error: &sqlx::Error) -> Option<&str> {
    Some(error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.code())
}

/// Sorts an error. Lost connections, timeouts, deadlocks, a server that starts or stops: all of them may pass.
pub(super) fn sort(what: &'static str, source: sqlx::Error) -> StoreError {
    match code(&source) {
        Some(DISK_FULL) => StoreError::Full(source),
        Some(DATA_CORRUPTED | INDEX_CORRUPTED) => StoreError::Damaged("PostgreSQL finds a table of it corrupted"),
        _ => StoreError::Failed { what, source },
    }
}

/// Sorts an error of a statement over a generation's tables, which others may have removed.
pub(super) fn sort_in(generation: GenerationId, what: &'static str, source: sqlx::Error) -> StoreError {
    match code(&source) {
        Some(UNDEFINED_TABLE | INVALID_SCHEMA) => StoreError::NoGeneration(generation),
        Some(UNIQUE_VIOLATION) => StoreError::Damaged("a row that must be new is there already"),
        _ => sort(what, source),
    }
}

/// Whether the statement's tables aren't there.
pub(super) fn tables_are_gone(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(UNDEFINED_TABLE | INVALID_SCHEMA))
}

/// Whether somebody has to do something before this goes on, rather than wait.
pub(super) fn needs_somebody(error: &sqlx::Error) -> bool {
    match code(error) {
        Some(code) => code.starts_with(NOT_AUTHORIZED) || matches!(code, INVALID_CATALOG | INSUFFICIENT_PRIVILEGE),
        None => matches!(error, sqlx::Error::Configuration(_) | sqlx::Error::Tls(_)),
    }
}
