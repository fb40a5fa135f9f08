//! What becomes of errors that are nobody's input.

use weir_event::codec::Damaged;
use weir_http::Problem;
use weir_store::StoreError;

/// An error of the tables: 503 where trying again may help, else 500.
pub(crate) fn store(error: StoreError) -> Problem {
    match error {
        StoreError::Failed { .. } | StoreError::Full(_) | StoreError::NoGeneration(_) => {
            Problem::unavailable("tables_unavailable", "the tables can't be read at the moment; try again", 1)
                .caused_by(&error)
        }
        damaged @ StoreError::Damaged(_) => Problem::internal(&DamagedTables(damaged)),
        other => Problem::internal(&other),
    }
}

/// For the log: who asked can't do anything about it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the tables are damaged: `weir rebuild start` and `weir rebuild verify` say where, and promoting the rebuild mends them"
)]
struct DamagedTables<E: std::error::Error + 'static>(#[source] E);

/// 503 `exports_busy`.
pub(crate) fn exports_busy() -> Problem {
    Problem::unavailable(
        "exports_busy",
        "as many files as may be sent at a time are under way; try again, or read the list in pages",
        5,
    )
}

/// 409 `basket_set_aside`.
pub(crate) fn basket_set_aside() -> Problem {
    Problem::conflict(
        "basket_set_aside",
        "this profile has more basket events than a basket keeps (1 MiB of them), so what lies in it isn't known",
    )
}

/// State bytes that no release wrote.
pub(crate) fn damaged(error: Damaged) -> Problem {
    Problem::internal(&DamagedTables(error))
}

/// A record on the timeline that can't be read, though it was admitted.
pub(crate) fn unreadable(poison: weir_event::Poison) -> Problem {
    Problem::internal(&DamagedTables(poison))
}

/// 503 `rebuilding`.
pub(crate) fn rebuilding() -> Problem {
    Problem::unavailable("rebuilding", "the tables are being filled from the log; /api/status shows how far", 2)
}

/// 503 `shutting_down`.
pub(crate) fn shutting_down() -> Problem {
    Problem::unavailable(
        "shutting_down",
        "the service is being stopped and waits for nothing any more; repeat the request",
        1,
    )
}

/// 404 `profile_not_found`.
pub(crate) fn no_profile() -> Problem {
    Problem::not_found("profile_not_found", "this workspace has no such profile; it exists from its first event on")
}
