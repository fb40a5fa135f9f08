//! The log's file: its tables, made when the log is made, and what is checked when it is opened.
//!
//! Each partition has a table of its own whose rowid is the first offset of a batch: appends go to the right edge of
//! one B-tree without an index beside it. One table for all, keyed by (stream, partition, first offset), was rejected:
//! as a rowid table it needs an index that every commit writes too, and without rowid its inner nodes carry pieces of
//! the blobs, so that the tree of a long log is many levels deep.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqlSafeStr, SqlStr};
use weir_event::Stream;

use super::blob;
use crate::ends::MAX_PARTITIONS;
use crate::{OpenError, ReadError};

/// "WEIR": tells the file from other SQLite databases.
const APPLICATION_ID: i32 = 0x5745_4952;
/// The format of tables and blobs.
const FORMAT: u32 = 1;

const CREATE_META: &str = "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID";
const INSERT_META: &str =
    "INSERT INTO meta (name, value) VALUES ('format', ?1), ('events_partitions', ?2), ('settled', 0)";
const CREATE_ENDS: &str = "CREATE TABLE ends (stream TEXT, partition INTEGER, reached INTEGER NOT NULL, \
     PRIMARY KEY (stream, partition)) STRICT, WITHOUT ROWID";
const INSERT_END: &str = "INSERT INTO ends (stream, partition, reached) VALUES (?1, ?2, 0)";
const SELECT_END: &str = "SELECT reached FROM ends WHERE stream = ?1 AND partition = ?2";
const UPDATE_END: &str = "UPDATE ends SET reached = ?3 WHERE stream = ?1 AND partition = ?2";
const COUNT_PARTITIONS: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'events.v1/%'";
const SELECT_META: &str = "SELECT value FROM meta WHERE name = ?1";

/// A write that changes nothing anybody reads; see [`super::writer`] for what it is good for.
pub(super) const SETTLE: &str = "UPDATE meta SET value = value + 1 WHERE name = 'settled'";

/// The statements of one partition's table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) stream: Stream,
    pub(super) partition: u32,
    pub(super) insert: SqlStr,
    pub(super) read: SqlStr,
    pub(super) tail: SqlStr,
    pub(super) find: SqlStr,
    create: SqlStr,
}

impl Table {
    fn new(stream: Stream, partition: u32) -> Self {
        // The names are ours: a constant and a number.
        let name = format!("\"{stream}/{partition}\"");
        let sql = |text: &str| AssertSqlSafe(Arc::<str>::from(text.replace("$TABLE", &name))).into_sql_str();
        Self {
            stream,
            partition,
            create: sql(
                "CREATE TABLE $TABLE (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, checksum INTEGER NOT NULL, \
                 bytes BLOB NOT NULL) STRICT",
            ),
            insert: sql("INSERT INTO $TABLE (first, count, checksum, bytes) VALUES (?1, ?2, ?3, ?4)"),
            tail: sql("SELECT first, count, checksum, bytes FROM $TABLE ORDER BY first DESC LIMIT 1"),
            find: sql("SELECT count, checksum FROM $TABLE WHERE first = ?1"),
            read: sql(include_str!("read.sql")),
        }
    }
}

/// The tables of all partitions.
#[derive(Debug)]
pub(super) struct Tables {
    events: Vec<Table>,
    control: Vec<Table>,
}

impl Tables {
    fn new(partitions: u32) -> Self {
        let tables = |stream, count| (0..count).map(|partition| Table::new(stream, partition)).collect();
        Self { events: tables(Stream::Events, partitions), control: tables(Stream::Control, 1) }
    }

    /// The tables of a stream, by partition.
    pub(super) fn of(&self, stream: Stream) -> &[Table] {
        match stream {
            Stream::Events => &self.events,
            Stream::Control => &self.control,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Table> {
        self.events.iter().chain(&self.control)
    }

    /// How many partitions `events.v1` has.
    pub(super) fn partitions(&self) -> u32 {
        self.events.len() as u32
    }
}

/// A row as it was found.
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) bytes: Bytes,
    /// Whether count and bytes are those that were written here.
    pub(super) sound: bool,
}

impl Batch {
    /// Reads (first, count, checksum, bytes). A number out of its range is found by the checksum like any other change.
    pub(super) fn of(table: &Table, row: SqliteRow) -> Result<Self, sqlx::Error> {
        let (first, count, checksum): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        row.try_get::<&[u8], _>(3)?;
        let bytes = Bytes::from_owner(Blob(row));
        let (first, narrow) = (first as u64, count as u32);
        let sum = blob::checksum(table.stream, table.partition, first, narrow, &bytes);
        let sound = i64::from(sum) == checksum && i64::from(narrow) == count;
        Ok(Self { first, count: narrow, bytes, sound })
    }

    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// A row whose fourth column is a blob: records are slices of it, so that the blob isn't copied out of the row.
struct Blob(SqliteRow);

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self.0.try_get(3).unwrap_or_default()
    }
}

/// How the file is opened for writing.
pub(super) fn writer_options(path: &Path, wal_pages: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .pragma("wal_autocheckpoint", wal_pages.to_string())
        // A log that grew while it could not be checkpointed is cut again.
        .pragma("journal_size_limit", (64 * 1024 * 1024).to_string())
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|_| "weir-log-writer".to_owned())
        .disable_statement_logging()
}

/// How the file is opened for reading.
pub(super) fn reader_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .foreign_keys(false)
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|_| "weir-log-reader".to_owned())
        .disable_statement_logging()
}

const PAGE_BYTES: u32 = 4_096;
const STATEMENTS: usize = 4 * MAX_PARTITIONS as usize;

/// Makes the tables if the file is new, or checks that it is a log that this release knows; answers its tables.
pub(super) async fn prepare(conn: &mut SqliteConnection, path: &Path, asked: Option<u32>) -> Result<Tables, OpenError> {
    if let Some(asked) = asked.filter(|asked| !(1..=MAX_PARTITIONS).contains(asked)) {
        return Err(OpenError::BadPartitions { asked, limit: MAX_PARTITIONS });
    }
    let io = |source| open_error(path, source);
    let application: i32 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await.map_err(io)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *conn).await.map_err(io)?;
    match (application, tables) {
        (APPLICATION_ID, 1..) => check(conn, path, asked).await,
        (0, 0) => create(conn, asked.unwrap_or(1)).await.map_err(io),
        _ => Err(OpenError::NotALog { path: path.to_owned(), what: "it is another program's database".to_owned() }),
    }
}

async fn create(conn: &mut SqliteConnection, partitions: u32) -> Result<Tables, sqlx::Error> {
    let tables = Tables::new(partitions);
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(CREATE_META).execute(&mut *transaction).await?;
    sqlx::query(INSERT_META).bind(FORMAT).bind(partitions).execute(&mut *transaction).await?;
    sqlx::query(CREATE_ENDS).execute(&mut *transaction).await?;
    for table in tables.all() {
        sqlx::query(table.create.clone()).execute(&mut *transaction).await?;
        let end = sqlx::query(INSERT_END).bind(table.stream.name()).bind(table.partition);
        end.execute(&mut *transaction).await?;
    }
    let mark = AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::query(mark).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(tables)
}

async fn check(conn: &mut SqliteConnection, path: &Path, asked: Option<u32>) -> Result<Tables, OpenError> {
    let found = meta(&mut *conn, path, "format").await?;
    if found != FORMAT {
        return Err(OpenError::FormatUnknown { path: path.to_owned(), found, known: FORMAT });
    }
    let made = meta(&mut *conn, path, "events_partitions").await?;
    let there: i64 =
        sqlx::query_scalar(COUNT_PARTITIONS).fetch_one(conn).await.map_err(|source| open_error(path, source))?;
    if there != i64::from(made) {
        let what = format!("it says that it has {made} partitions, but there are {there}");
        return Err(OpenError::NotALog { path: path.to_owned(), what });
    }
    if let Some(asked) = asked.filter(|asked| *asked != made) {
        return Err(OpenError::PartitionsDiffer { path: path.to_owned(), made, asked });
    }
    Ok(Tables::new(made))
}

async fn meta(conn: &mut SqliteConnection, path: &Path, name: &'static str) -> Result<u32, OpenError> {
    let value: Option<i64> = sqlx::query_scalar(SELECT_META)
        .bind(name)
        .fetch_optional(conn)
        .await
        .map_err(|source| open_error(path, source))?;
    value
        .and_then(|value| u32::try_from(value).ok())
        .ok_or_else(|| OpenError::NotALog { path: path.to_owned(), what: format!("it doesn't say its {name}") })
}

/// The end of a partition, from its last batch, which must be sound: what is appended goes right behind it.
pub(super) async fn tail(conn: &mut SqliteConnection, table: &Table) -> Result<u64, ReadError> {
    let row = sqlx::query(table.tail.clone()).fetch_optional(conn).await;
    let row = row.map_err(|source| read_error(table, 0, source))?;
    let Some(row) = row else { return Ok(0) };
    let batch = Batch::of(table, row).map_err(|source| read_error(table, 0, source))?;
    if !batch.sound {
        return Err(damaged(table, batch.first, "the checksum of the last batch differs".to_owned()));
    }
    Ok(batch.next())
}

/// An end that the partition has certainly had. A page that lost rows can shorten a partition without a trace in the
/// batches that are left; this tells.
pub(super) async fn note(conn: &mut SqliteConnection, table: &Table) -> Result<u64, ReadError> {
    let note =
        sqlx::query_scalar(SELECT_END).bind(table.stream.name()).bind(table.partition).fetch_optional(conn).await;
    let note: Option<i64> = note.map_err(|source| read_error(table, 0, source))?;
    note.map(|end| end as u64).ok_or_else(|| damaged(table, 0, "its end is not noted".to_owned()))
}

/// Notes an end.
pub(super) async fn set_note(
    conn: &mut SqliteConnection,
    (stream, partition): (Stream, u32),
    end: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(UPDATE_END).bind(stream.name()).bind(partition).bind(end as i64).execute(conn).await.map(drop)
}

/// Moves the WAL into the file and cuts it to nothing. Where that fails, as on a full disk, it is done some other time.
pub(super) async fn cut_wal(conn: &mut SqliteConnection) {
    if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(conn).await {
        tracing::debug!(%error, "moving the log's WAL into its file failed");
    }
}

pub(super) fn damaged(table: &Table, offset: u64, what: String) -> ReadError {
    ReadError::Damaged { stream: table.stream, partition: table.partition, offset, what }
}

/// A failed read of the batches from `offset` on.
pub(super) fn read_error(table: &Table, offset: u64, source: sqlx::Error) -> ReadError {
    if is_damage(&source) {
        return damaged(table, offset, format!("SQLite finds the file damaged: {source}"));
    }
    ReadError::Io { stream: table.stream, partition: table.partition, source: Arc::new(source) }
}

pub(super) fn open_error(path: &Path, source: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match code(&source) {
        Some(NOT_A_DATABASE) => OpenError::NotALog { path, what: format!("it is no SQLite database: {source}") },
        Some(CORRUPT) => OpenError::Damaged { path, source: Arc::new(source) },
        _ => OpenError::Io { path, source: Arc::new(source) },
    }
}

const FULL: i32 = 13;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
/// The memory file beside the WAL could not grow.
const IOERR_SHMSIZE: i32 = 4_874;

/// SQLite's extended result code.
fn extended(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// SQLite's primary result code.
fn code(error: &sqlx::Error) -> Option<i32> {
    extended(error).map(|code| code & 0xff)
}

fn is_damage(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(CORRUPT | NOT_A_DATABASE)) || matches!(error, sqlx::Error::ColumnDecode { .. })
}

/// SQLite could not write for want of room. It gives up before the commit mark is written, so that the transaction has
/// certainly not happened.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    code(error) == Some(FULL)
}

/// Whether want of room is the cause, be the outcome certain or not.
pub(super) fn is_room(error: &sqlx::Error) -> bool {
    is_full(error) || extended(error) == Some(IOERR_SHMSIZE)
}
