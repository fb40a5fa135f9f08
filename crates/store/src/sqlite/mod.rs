//! SQLite: `PATH` says which generations there are and which is read; each generation has the files `PATH.<id>` and
//! `PATH.<id>-timeline`, so that filling one doesn't stand in the way of the live one's writer, and dropping one
//! deletes files.
//!
//! Tables can be rebuilt from the log, so a generation's files are written with `synchronous=NORMAL`: after a power cut
//! the last batches may be missing, their positions with them, and are folded again. `PATH` itself is synced.

mod generation;
mod rows;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;
use weir_event::Stream;

use crate::error::StoreError;
use crate::model::{GenerationId, GenerationInfo};
use crate::traits::{Generation, LogEnd, LogEnds, Store};
use generation::SqliteGeneration;

const STORE_SCHEMA: &str = include_str!("../../../../migrations/sqlite/store/0001_generations.sql");
/// Tables are disposable: a file of another schema is not migrated but filled anew. Raised with every new migration.
const SCHEMA_VERSION: i64 = 1;

/// A store in SQLite files. One process at a time uses it.
pub struct SqliteStore {
    path: PathBuf,
    pool: SqlitePool,
    open: Mutex<Open>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Open {
    live: Option<GenerationId>,
    generations: BTreeMap<GenerationId, Arc<SqliteGeneration>>,
}

impl SqliteStore {
    /// Opens the store at `path`, making it where there is none. Generations whose files are missing or of another
    /// schema are forgotten; they are filled anew from the log.
    ///
    /// # Errors
    /// The files can't be opened.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = options(path, SqliteSynchronous::Full, 2);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(|e| StoreError::from_sqlx("opening the store", e))?;
        prepare(&pool, STORE_SCHEMA).await?;
        let store = Self { path: path.to_owned(), pool, open: Mutex::default(), changes: watch::Sender::new(0) };
        store.load().await?;
        Ok(store)
    }

    async fn load(&self) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT id, bound, created_at FROM generations ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("listing the generations", e))?;
        let live = self.live_id().await?;
        let mut open = Open::default();
        for row in rows {
            let info = info(&row, live);
            let files = generation::Files::of(&self.path, info.id);
            match SqliteGeneration::open(&files, info, self.changes.clone()).await? {
                Some(generation) => {
                    open.generations.insert(info.id, Arc::new(generation));
                }
                None => {
                    tracing::warn!(
                        generation = info.id.0,
                        "a generation's files are missing or of another release; it is filled anew"
                    );
                    self.forget(info.id).await?;
                    files.remove()?;
                }
            }
        }
        open.live = live.filter(|id| open.generations.contains_key(id));
        *self.open.lock().await = open;
        Ok(())
    }

    async fn live_id(&self) -> Result<Option<GenerationId>, StoreError> {
        let live: Option<i64> = sqlx::query_scalar("SELECT live FROM store")
            .fetch_one(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("reading which generation is live", e))?;
        Ok(live.map(|id| GenerationId(id.cast_unsigned())))
    }

    async fn forget(&self, id: GenerationId) -> Result<(), StoreError> {
        for statement in ["UPDATE store SET live = NULL WHERE live = ?", "DELETE FROM generations WHERE id = ?"] {
            sqlx::query(statement)
                .bind(id.0.cast_signed())
                .execute(&self.pool)
                .await
                .map_err(|e| StoreError::from_sqlx("forgetting a generation", e))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn bind(&self, log: Uuid) -> Result<(), StoreError> {
        let known: Vec<u8> =
            sqlx::query_scalar("UPDATE store SET lineage = coalesce(lineage, ?) WHERE one = 1 RETURNING lineage")
                .bind(log.as_bytes().as_slice())
                .fetch_one(&self.pool)
                .await
                .map_err(|e| StoreError::from_sqlx("binding the store to its log", e))?;
        let store = Uuid::from_slice(&known).map_err(|_| StoreError::Damaged("the lineage is no UUID"))?;
        if store == log { Ok(()) } else { Err(StoreError::OtherLineage { store, log }) }
    }

    async fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        let open = self.open.lock().await;
        let info = |generation: &Arc<SqliteGeneration>| {
            let info = generation.info();
            GenerationInfo { live: open.live == Some(info.id), ..info }
        };
        Ok(open.generations.values().map(info).collect())
    }

    async fn create(&self, bound: u64, now: i64) -> Result<GenerationId, StoreError> {
        let mut open = self.open.lock().await;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO generations (id, bound, created_at)
             SELECT 1 + max(coalesce((SELECT max(id) FROM generations), 0), coalesce((SELECT live FROM store), 0)), ?, ?
             RETURNING id",
        )
        .bind(bound.cast_signed())
        .bind(now)
        .fetch_one(&self.pool)
        .await
        .map_err(|e| StoreError::from_sqlx("making a generation", e))?;
        let id = GenerationId(id.cast_unsigned());
        let files = generation::Files::of(&self.path, id);
        files.remove()?;
        let info = GenerationInfo { id, bound, created_at: now, live: false };
        let generation = SqliteGeneration::create(&files, info, self.changes.clone()).await?;
        open.generations.insert(id, Arc::new(generation));
        Ok(id)
    }

    async fn generation(&self, id: GenerationId) -> Result<Arc<dyn Generation>, StoreError> {
        let open = self.open.lock().await;
        let generation = open.generations.get(&id).ok_or(StoreError::NoGeneration(id))?;
        Ok(generation.clone())
    }

    async fn live(&self) -> Result<Option<Arc<dyn Generation>>, StoreError> {
        let open = self.open.lock().await;
        Ok(open
            .live
            .and_then(|id| open.generations.get(&id))
            .map(|generation| generation.clone() as Arc<dyn Generation>))
    }

    async fn promote(&self, id: GenerationId) -> Result<(), StoreError> {
        let mut open = self.open.lock().await;
        let generation = open.generations.get(&id).ok_or(StoreError::NoGeneration(id))?;
        // What the pointer points at is on disk before the pointer is.
        generation.checkpoint().await?;
        sqlx::query("UPDATE store SET live = ? WHERE one = 1")
            .bind(id.0.cast_signed())
            .execute(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("promoting a generation", e))?;
        open.live = Some(id);
        drop(open);
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }

    async fn remove(&self, id: GenerationId) -> Result<(), StoreError> {
        let mut open = self.open.lock().await;
        if open.live == Some(id) {
            return Err(StoreError::NoGeneration(id));
        }
        self.forget(id).await?;
        // Views under way hold the files open; the names can go at once.
        open.generations.remove(&id);
        generation::Files::of(&self.path, id).remove()
    }
}

#[async_trait]
impl LogEnds for SqliteStore {
    async fn tell_ends(&self, ends: &[(Stream, u32, u64)], now: i64) -> Result<(), StoreError> {
        for (stream, partition, next) in ends {
            sqlx::query(
                "INSERT INTO log_ends (stream, partition, next, seen_at) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET next = max(next, excluded.next), seen_at = excluded.seen_at",
            )
            .bind(stream.name())
            .bind(*partition)
            .bind(next.cast_signed())
            .bind(now)
            .execute(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("noting the log's end", e))?;
        }
        Ok(())
    }

    async fn ends(&self) -> Result<Vec<LogEnd>, StoreError> {
        let rows = sqlx::query("SELECT stream, partition, next, seen_at FROM log_ends ORDER BY stream, partition")
            .fetch_all(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the log's end", e))?;
        rows.iter()
            .map(|row| {
                let stream = Stream::parse(row.get(0)).ok_or(StoreError::Damaged("an unknown stream"))?;
                let next = row.get::<i64, _>(2).cast_unsigned();
                Ok(LogEnd { stream, partition: row.get(1), next, seen_at: row.get(3) })
            })
            .collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn info(row: &sqlx::sqlite::SqliteRow, live: Option<GenerationId>) -> GenerationInfo {
    let id = GenerationId(row.get::<i64, _>(0).cast_unsigned());
    let bound = row.get::<i64, _>(1).cast_unsigned();
    GenerationInfo { id, bound, created_at: row.get(2), live: live == Some(id) }
}

/// How every file of the store is opened.
fn options(path: &Path, synchronous: SqliteSynchronous, cache_mib: i64) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(10))
        .pragma("cache_size", format!("-{}", cache_mib * 1024))
}

/// Gives a new file its tables. Answers false for a file of another schema.
async fn prepare(pool: &SqlitePool, schema: &'static str) -> Result<bool, StoreError> {
    let failed = |e| StoreError::from_sqlx("preparing a file of the store", e);
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await.map_err(failed)?;
    if version == SCHEMA_VERSION {
        return Ok(true);
    }
    if version != 0 {
        return Ok(false);
    }
    let script = format!("BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
    sqlx::raw_sql(AssertSqlSafe(script)).execute(pool).await.map_err(failed)?;
    Ok(true)
}
