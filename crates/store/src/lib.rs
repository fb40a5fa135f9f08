#![doc = include_str!("../README.md")]

mod baskets;
pub mod conformance;
mod contents;
mod error;
mod list;
mod model;
pub mod place;
mod postgres;
mod rebuild;
mod removal_days;
pub mod sabotage;
mod serving;
mod sqlite;
mod traits;
pub mod tree;

use std::sync::Arc;

pub use baskets::{
    BasketBatch, BasketMemory, BasketRow, BasketView, DaysChanges, DaysKey, DaysRow, RemovalKey, RemovalRange,
    RemovalRow,
};
pub use contents::{Contents, Table, TableRow};
pub use error::StoreError;
pub use list::{Page, count, members};
pub use model::{
    Card, Count, CountRow, Fence, GenerationId, GenerationInfo, IdChunk, MembershipBatch, NewRows, ProfileKey,
    ProfileRow, Progress, Projection, Purpose, Quarantined, RebuildRow, ScoreRow, SpanKey, SpanRow, TimelineBatch,
    TimelineRow, TreeRow, TreeRows,
};
pub use postgres::PgStore;
pub use rebuild::{Comparison, Difference, NotedRebuild, Rebuild, RebuildRefusal, RebuildRequest, RebuildState};
pub use serving::serving_catalog;
pub use sqlite::SqliteStore;
pub use traits::{
    FoldMemory, Generation, LogEnd, LogEnds, Paused, Rebuilds, SpanRange, SpanView, Standstill, Store, TableWriter,
    TimelineView, View,
};

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: files PATH, PATH.1, PATH.1-timeline and so on.
    Sqlite(std::path::PathBuf),
    /// `postgres://USER@HOST/DATABASE`, with what libpq takes behind it, and `schema=NAME` where it is not `weir`.
    Postgres(String),
}

impl std::str::FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(path.into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            text.parse::<postgres::target::Target>()?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err("not a store; give sqlite:PATH or postgres://USER@HOST/DATABASE".to_owned())
    }
}

impl StoreUrl {
    /// Reads the URL of a store that several processes can use at once.
    ///
    /// # Errors
    /// The text names no store, or one for a process alone.
    pub fn shared(text: &str) -> Result<Self, String> {
        match text.parse()? {
            url @ Self::Postgres(_) => Ok(url),
            Self::Sqlite(_) => {
                Err("only one process can use it, which is `weir up`; a service by itself needs PostgreSQL, \
                                    postgres://USER@HOST/DATABASE"
                    .to_owned())
            }
        }
    }
}

/// Opens a store, making it where there is none. PostgreSQL need not be there: the store is then opened by the first use
/// that reaches the server, and until then every use fails ([`StoreError::Failed`]).
///
/// # Errors
/// The store can't be read, what is there is something else, or the server refuses the user.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path).await?)),
        StoreUrl::Postgres(url) => Ok(Arc::new(PgStore::open(url).await?)),
    }
}
