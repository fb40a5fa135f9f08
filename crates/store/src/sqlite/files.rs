//! The files of a store, and how they are opened.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Transaction};

use super::rows::STATEMENTS;
use crate::error::StoreError;
use crate::model::GenerationId;

/// Tables are disposable: a file of another schema is not migrated but filled anew. Raised with every new migration.
const SCHEMA_VERSION: i64 = 4;
/// Marks a file as a store's: "WeiT". What isn't one is never overwritten.
const APPLICATION_ID: i64 = 0x5765_6954;

const READERS: u32 = 8;
/// Rows that a reader's thread may be ahead: where it has to wait for each row to be taken, handing over costs more than
/// reading.
const ROWS_AHEAD: usize = 512;
/// The write-ahead log goes into its file at so many pages (64 MiB).
const CHECKPOINT_PAGES: &str = "4096";
/// Bytes of a page: with rows that wait for others of their page, larger pages were measured better (README).
const PAGE_BYTES: u32 = 16_384;
/// A view is of the instant at which it is opened, not of that of its first statement.
const BEGIN_VIEW: &str = "BEGIN; SELECT count(*) FROM positions";

/// Where a generation's files are.
pub(super) struct Files {
    pub(super) tables: PathBuf,
    pub(super) timeline: PathBuf,
}

impl Files {
    pub(super) fn of(store: &Path, id: GenerationId) -> Self {
        let with = |suffix: String| with_suffix(store, &suffix);
        Self { tables: with(format!(".{}", id.0)), timeline: with(format!(".{}-timeline", id.0)) }
    }

    /// The generations of which there are any files beside the store.
    pub(super) fn found(store: &Path) -> Result<BTreeSet<GenerationId>, StoreError> {
        let directory = store.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |source| StoreError::File { path: directory.display().to_string(), source };
        let mut prefix = store.file_name().map(OsString::from).unwrap_or_default();
        prefix.push(".");
        let prefix = prefix.to_string_lossy().into_owned();
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, kind) = rest.split_at(digits);
            let ours = kind.strip_prefix("-timeline").unwrap_or(kind);
            if let (Ok(number), "" | "-wal" | "-shm") = (number.parse(), ours) {
                found.insert(GenerationId(number));
            }
        }
        Ok(found)
    }

    pub(super) fn exist(&self) -> bool {
        self.tables.exists() && self.timeline.exists()
    }

    /// Deletes the files that are there.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        [&self.tables, &self.timeline].into_iter().try_for_each(|path| remove(path))
    }
}

/// Deletes a database, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let path = with_suffix(path, suffix);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { path: path.display().to_string(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// One file of a generation: a connection that writes, and some that read.
pub(super) struct File {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl File {
    /// Opens a file, making it where there is none; `None` if it is of another schema.
    pub(super) async fn open(path: &Path, schema: &'static str, cache_mib: i64) -> Result<Option<Self>, StoreError> {
        let writing = options(path, SqliteSynchronous::Normal, cache_mib)
            .page_size(PAGE_BYTES)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let failed = |e| StoreError::from_sqlx("opening a generation", e);
        let writer = pool(1).connect_with(writing).await.map_err(failed)?;
        match prepare(&writer, path, schema).await? {
            Schema::Ours => {}
            Schema::Other => return Ok(None),
        }
        let reading = options(path, SqliteSynchronous::Normal, 32)
            .create_if_missing(false)
            .row_buffer_size(ROWS_AHEAD)
            .pragma("query_only", "ON");
        let readers = pool(READERS).connect_with(reading).await.map_err(failed)?;
        Ok(Some(Self { writer, readers }))
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|e| StoreError::from_sqlx("beginning a batch", e))
    }

    pub(super) async fn view(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin_with(BEGIN_VIEW).await.map_err(|e| StoreError::from_sqlx("opening a view", e))
    }

    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.writer).await;
        checkpoint.map(drop).map_err(|e| StoreError::from_sqlx("writing a generation to disk", e))
    }
}

/// How every file of the store is opened.
pub(super) fn options(path: &Path, synchronous: SqliteSynchronous, cache_mib: i64) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
        // A statement over many rows copies each page before it changes it; on disk that was 40 % of what was written.
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", format!("-{}", cache_mib * 1024))
}

/// Connections that stay open: a new one begins with an empty cache, and can't be had of a file that is deleted.
///
/// SQLite itself rolls back a transaction that found no room; the connection then still believes to be in one, and
/// nothing could be begun on it any more. Such a connection is replaced.
pub(super) fn pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(most)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

/// Which schema a file has.
pub(super) enum Schema {
    /// That of this release; a new file was given it.
    Ours,
    /// That of another release.
    Other,
}

/// Gives a new file its tables, or looks at those that it has.
pub(super) async fn prepare(pool: &SqlitePool, path: &Path, schema: &'static str) -> Result<Schema, StoreError> {
    let failed = |e| StoreError::from_sqlx("preparing a file of the store", e);
    let (application, version, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_application_id, pragma_user_version",
    )
    .fetch_one(pool)
    .await
    .map_err(failed)?;
    match (application, tables) {
        (0, 0) => {}
        (APPLICATION_ID, _) if version == SCHEMA_VERSION => return Ok(Schema::Ours),
        (APPLICATION_ID, _) => return Ok(Schema::Other),
        _ => return Err(StoreError::NotAStore(path.display().to_string())),
    }
    let script = format!(
        "BEGIN IMMEDIATE; {schema};
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(pool).await.map_err(failed)?;
    Ok(Schema::Ours)
}
