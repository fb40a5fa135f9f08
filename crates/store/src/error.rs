//! What can go wrong, sorted by what the caller should do.

use uuid::Uuid;

use crate::model::{GenerationId, Projection};

const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;

/// A store's error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The projection doesn't stand where the batch expects it: somebody else owns the partition, or a commit whose
    /// answer was lost did happen. Nothing was written. Read the progress again.
    #[error("{projection:?} on partition {partition} is not at offset {expected}, or has another owner")]
    Fenced {
        /// Which projection.
        projection: Projection,
        /// Which partition.
        partition: u32,
        /// Where the batch expected it.
        expected: u64,
    },
    /// The generation is held: its projection may not pass this offset for now. Nothing was written.
    #[error("{projection:?} on partition {partition} is held at offset {at}")]
    Held {
        /// Which projection.
        projection: Projection,
        /// Which partition.
        partition: u32,
        /// How far it may go.
        at: u64,
    },
    /// Another generation is read than the one that was to be replaced. Nothing changed.
    #[error("another generation is read by now")]
    LiveMoved,
    /// The store was filled from another log.
    #[error(
        "the store was filled from log {store}, not from log {log}; use the log that it belongs to, or delete the store: it is rebuilt from the log"
    )]
    OtherLineage {
        /// The lineage that the store names.
        store: Uuid,
        /// The lineage of the log at hand.
        log: Uuid,
    },
    /// There is no such generation (any more).
    #[error("generation {} is not there", .0.0)]
    NoGeneration(GenerationId),
    /// The generation is the one that is read; another must be promoted before it can go.
    #[error("generation {} is the one that is read", .0.0)]
    IsLive(GenerationId),
    /// A write found no room. Nothing was written; it goes on by itself when there is room again.
    #[error("no room left on the device that holds the store")]
    Full(#[source] sqlx::Error),
    /// The store can't be reached or failed; it may recover.
    #[error("the store failed: {what}")]
    Failed {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A file of the store can't be handled.
    #[error("can't handle {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row holds what no release wrote there.
    #[error("the store is damaged ({0}); delete it: it is rebuilt from the log")]
    Damaged(&'static str),
    /// The file or schema is another program's, or another part of Weir's; it is left alone.
    #[error("{0} holds something else than a store of Weir's; give another path or schema")]
    NotAStore(String),
}

impl StoreError {
    /// Sorts a database error.
    pub(crate) fn from_sqlx(what: &'static str, source: sqlx::Error) -> Self {
        // SQLite's codes, less what extends them.
        let code = source.as_database_error().and_then(|e| e.code()?.parse::<u32>().ok()).map(|code| code & 0xff);
        match code {
            Some(SQLITE_FULL) => Self::Full(source),
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Damaged("SQLite finds a file of it malformed"),
            _ => Self::Failed { what, source },
        }
    }
}
