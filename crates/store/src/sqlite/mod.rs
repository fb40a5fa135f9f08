//! SQLite: `PATH` says which generations there are and which is read; each generation has the files `PATH.<id>` and
//! `PATH.<id>-timeline`, so that filling one doesn't stand in the way of the live one's writer, and dropping one
//! deletes files.
//!
//! Tables can be rebuilt from the log, so a generation's files are written with `synchronous=NORMAL`: after a power cut
//! the last batches may be missing, their positions with them, and are folded again. `PATH` itself is synced.

mod baskets;
mod contents;
mod files;
#[cfg(test)]
mod full_tests;
mod generation;
mod membership;
#[cfg(test)]
mod plan_tests;
mod positions;
mod rebuilds;
mod removal_days;
mod rows;
mod standstill;
mod states;
mod timeline;
mod view;
mod waiting;
#[cfg(test)]
mod waiting_tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow, SqliteSynchronous};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;
use weir_event::Stream;

use crate::error::StoreError;
use crate::model::{GenerationId, GenerationInfo, Purpose};
use crate::traits::{Generation, LogEnd, LogEnds, Store};
use files::{Files, Schema};
use generation::SqliteGeneration;
use rows::get;

const STORE_SCHEMA: &str = include_str!("../../../../migrations/sqlite/store/0001_generations.sql");

/// A store in SQLite files. One process at a time uses it.
pub struct SqliteStore {
    path: PathBuf,
    pool: SqlitePool,
    /// Writes what may be lost: a sync would stand in the way of the log's, which is on the same disk.
    hints: SqlitePool,
    open: RwLock<Open>,
    /// Held while generations come, go or are promoted. Readers don't wait for it.
    changing: Mutex<()>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Open {
    live: Option<GenerationId>,
    generations: BTreeMap<GenerationId, Arc<SqliteGeneration>>,
}

impl Open {
    fn get(&self, id: GenerationId) -> Result<Arc<SqliteGeneration>, StoreError> {
        self.generations.get(&id).cloned().ok_or(StoreError::NoGeneration(id))
    }
}

impl SqliteStore {
    /// Opens the store at `path`, making it where there is none. Generations whose files are missing or of another
    /// schema are forgotten; they are filled anew from the log. Files of generations that are not known are deleted.
    ///
    /// # Errors
    /// The files can't be opened, or what is there is something else.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let (pool, schema) = Self::connect(path).await?;
        let pool = match schema {
            Schema::Ours => pool,
            Schema::Other => {
                tracing::warn!("the store is of another release; it is filled anew");
                pool.close().await;
                files::remove(path)?;
                Self::connect(path).await?.0
            }
        };
        let hints = files::options(path, SqliteSynchronous::Normal, 2);
        let hints =
            files::pool(1).connect_with(hints).await.map_err(|e| StoreError::from_sqlx("opening the store", e))?;
        let changes = watch::Sender::new(0);
        let open = load(path, &pool, &changes).await?;
        Ok(Self { path: path.to_owned(), pool, hints, open: RwLock::new(open), changing: Mutex::default(), changes })
    }

    async fn connect(path: &Path) -> Result<(SqlitePool, Schema), StoreError> {
        let options = files::options(path, SqliteSynchronous::Full, 2);
        let pool = files::pool(1).connect_with(options).await;
        let pool = pool.map_err(|e| StoreError::from_sqlx("opening the store", e))?;
        let schema = files::prepare(&pool, path, STORE_SCHEMA).await?;
        Ok((pool, schema))
    }

    fn known(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Open> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the generations that there are.
async fn load(path: &Path, pool: &SqlitePool, changes: &watch::Sender<u64>) -> Result<Open, StoreError> {
    let rows = sqlx::query("SELECT id, bound, created_at, purpose FROM generations ORDER BY id")
        .fetch_all(pool)
        .await
        .map_err(|e| StoreError::from_sqlx("listing the generations", e))?;
    let live: Option<i64> = sqlx::query_scalar("SELECT live FROM store")
        .fetch_one(pool)
        .await
        .map_err(|e| StoreError::from_sqlx("reading which generation is live", e))?;
    let live = live.map(|id| GenerationId(id.cast_unsigned()));
    let mut open = Open::default();
    for row in rows {
        let info = info(&row)?;
        let files = Files::of(path, info.id);
        let known = if files.exist() { SqliteGeneration::open(files, info, changes.clone()).await? } else { None };
        if let Some(generation) = known {
            open.generations.insert(info.id, Arc::new(generation));
        } else {
            tracing::warn!(
                generation = info.id.0,
                "a generation's files are missing or of another release; it is filled anew"
            );
            forget(pool, info.id).await?;
        }
    }
    for id in Files::found(path)?.into_iter().filter(|id| !open.generations.contains_key(id)) {
        Files::of(path, id).remove()?;
    }
    open.live = live.filter(|id| open.generations.contains_key(id));
    Ok(open)
}

async fn forget(pool: &SqlitePool, id: GenerationId) -> Result<(), StoreError> {
    for statement in ["UPDATE store SET live = NULL WHERE live = ?", "DELETE FROM generations WHERE id = ?"] {
        sqlx::query(statement)
            .bind(id.0.cast_signed())
            .execute(pool)
            .await
            .map_err(|e| StoreError::from_sqlx("forgetting a generation", e))?;
    }
    Ok(())
}

fn info(row: &SqliteRow) -> Result<GenerationInfo, StoreError> {
    let id = GenerationId(get::<i64>(row, 0)?.cast_unsigned());
    let name: &str = get(row, 3)?;
    let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.name() == name);
    let purpose = purpose.ok_or(StoreError::Damaged("a generation of an unknown purpose"))?;
    Ok(GenerationInfo {
        id,
        bound: get::<i64>(row, 1)?.cast_unsigned(),
        created_at: get(row, 2)?,
        purpose,
        live: false,
    })
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
        let open = self.known();
        let info = |generation: &Arc<SqliteGeneration>| {
            let info = generation.info();
            GenerationInfo { live: open.live == Some(info.id), ..info }
        };
        Ok(open.generations.values().map(info).collect())
    }

    async fn create(&self, bound: u64, now: i64, purpose: Purpose) -> Result<GenerationId, StoreError> {
        const CREATE: &str = "INSERT INTO generations (bound, created_at, purpose) VALUES (?, ?, ?) RETURNING id";
        let _turn = self.changing.lock().await;
        let id: i64 = sqlx::query_scalar(CREATE)
            .bind(bound.cast_signed())
            .bind(now)
            .bind(purpose.name())
            .fetch_one(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("making a generation", e))?;
        let id = GenerationId(id.cast_unsigned());
        let info = GenerationInfo { id, bound, created_at: now, purpose, live: false };
        let generation = SqliteGeneration::open(Files::of(&self.path, id), info, self.changes.clone()).await?;
        let generation = generation.ok_or(StoreError::Damaged("a new generation has a schema already"))?;
        self.known_mut().generations.insert(id, Arc::new(generation));
        self.changes.send_modify(|n| *n += 1);
        Ok(id)
    }

    async fn generation(&self, id: GenerationId) -> Result<Arc<dyn Generation>, StoreError> {
        Ok(self.known().get(id)?)
    }

    async fn live(&self) -> Result<Option<Arc<dyn Generation>>, StoreError> {
        let open = self.known();
        Ok(open.live.map(|id| open.get(id)).transpose()?.map(|generation| generation as Arc<dyn Generation>))
    }

    async fn promote(&self, id: GenerationId, before: Option<GenerationId>) -> Result<(), StoreError> {
        let _turn = self.changing.lock().await;
        let generation = self.known().get(id)?;
        // What the pointer points at is on disk before the pointer is.
        generation.checkpoint().await?;
        let moved = sqlx::query("UPDATE store SET live = ? WHERE one = 1 AND live IS ?")
            .bind(id.0.cast_signed())
            .bind(before.map(|id| id.0.cast_signed()))
            .execute(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("promoting a generation", e))?;
        if moved.rows_affected() == 0 {
            return Err(StoreError::LiveMoved);
        }
        self.known_mut().live = Some(id);
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }

    async fn remove(&self, id: GenerationId) -> Result<(), StoreError> {
        let _turn = self.changing.lock().await;
        if self.known().live == Some(id) {
            return Err(StoreError::IsLive(id));
        }
        forget(&self.pool, id).await?;
        let removed = self.known_mut().generations.remove(&id);
        if let Some(generation) = removed {
            generation.remove();
        }
        self.changes.send_modify(|n| *n += 1);
        Ok(())
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
            .execute(&self.hints)
            .await
            .map_err(|e| StoreError::from_sqlx("noting the log's end", e))?;
        }
        Ok(())
    }

    async fn ends(&self) -> Result<Vec<LogEnd>, StoreError> {
        let rows = sqlx::query("SELECT stream, partition, next, seen_at FROM log_ends ORDER BY stream, partition")
            .fetch_all(&self.hints)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the log's end", e))?;
        rows.iter()
            .map(|row| {
                let stream = Stream::parse(get(row, 0)?).ok_or(StoreError::Damaged("an unknown stream"))?;
                let next = get::<i64>(row, 2)?.cast_unsigned();
                Ok(LogEnd { stream, partition: get(row, 1)?, next, seen_at: get(row, 3)? })
            })
            .collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
