//! PostgreSQL: the schema of the URL (`weir`) says which generations there are and which is read; each generation has a
//! schema `<schema>_g<id>`. Several processes use a store at once.
//!
//! Tables can be rebuilt from the log, so batches are committed without waiting for the disk: after a crash of the
//! server the last of them may be missing, their positions with them, and are folded again. What the store as a whole
//! knows is waited for, and with it all that was committed before: the server's log is one.

mod contents;
mod copy;
mod errors;
mod generation;
mod leftovers;
mod membership;
#[cfg(test)]
mod plan_tests;
mod pointer;
mod polling;
mod positions;
mod rebuilds;
mod rows;
mod schema;
mod sessions;
mod states;
pub(crate) mod target;
mod timeline;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use weir_event::Stream;

use crate::error::StoreError;
use crate::model::{GenerationId, GenerationInfo, Purpose};
use crate::traits::{Generation, LogEnd, LogEnds, Store};
use errors::{needs_somebody, sort, tables_are_gone};
use generation::{Links, PgGeneration};
use rows::column;
use schema::{Found, Schema, Text};
use sessions::{Kind, Session, Sessions};
use target::Target;

/// Told to every connection. Every statement here is meant to seek by its key; what the planner must not think, with
/// statistics from when a table was empty or none at all, is that reading a whole table would be cheaper. Values don't
/// change a plan, so it is made once.
macro_rules! settings {
    ($more:literal) => {
        concat!(
            "SET search_path = pg_catalog; SET client_min_messages = warning; SET jit = off;
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET enable_sort = off; SET enable_hashagg = off;
             SET enable_material = off; SET enable_memoize = off;
             SET max_parallel_workers_per_gather = 0; SET plan_cache_mode = force_generic_plan;
             SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
             SET tcp_user_timeout = 10000;",
            $more
        )
    };
}

/// A process that stops between fence and commit holds others up until its session is ended; they wait a bit longer
/// than that for its lock.
const WRITERS: Kind = Kind {
    connections: 4,
    settings: settings!(
        "SET synchronous_commit = off; SET idle_in_transaction_session_timeout = '4s';
         SET lock_timeout = '6s'; SET statement_timeout = '30s'"
    ),
    turn: Duration::from_secs(30),
    answer: Duration::from_secs(40),
};
/// Views may stay open for a while; a process that stops with one open keeps dead rows from being cleared away.
const READERS: Kind = Kind {
    connections: 8,
    settings: settings!(
        "SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '4s'; SET statement_timeout = '20s'"
    ),
    turn: Duration::from_secs(2),
    answer: Duration::from_secs(25),
};

/// Connections for questions of one statement: each is done in no time.
const ASKERS: usize = 3;

/// A store in PostgreSQL.
pub struct PgStore {
    shared: Arc<Shared>,
}

struct Shared {
    schema: Schema,
    links: Links,
    statements: Statements,
    handles: Mutex<BTreeMap<GenerationId, Arc<PgGeneration>>>,
    /// Whether the store's tables are there.
    ready: AtomicBool,
    preparing: tokio::sync::Mutex<()>,
    /// Told when somebody begins to listen for changes.
    listened: Arc<Notify>,
}

/// Statements over the store's own tables.
struct Statements {
    begin: Text,
    /// Begins what only one process does at a time, and what must be on disk when it is done.
    change: Text,
    bind: Text,
    list: Text,
    live: Text,
    known: Text,
    create: Text,
    promote: Text,
    remove: Text,
    unset: Text,
    tell_ends: Text,
    ends: Text,
    rebuilds: Text,
    first_note: Text,
    next_note: Text,
}

impl Statements {
    fn new(schema: &Schema) -> Self {
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on;";
        let lock = format!("SELECT pg_advisory_xact_lock(hashtextextended('weir store {}', 0))", schema.name());
        Self {
            begin: schema.text(begin),
            change: schema.text(&format!("{begin} {lock}")),
            bind: schema.text("UPDATE @store SET lineage = coalesce(lineage, $1) RETURNING lineage"),
            list: schema
                .text("SELECT g.id, g.bound, g.created_at, g.id = s.live, g.purpose FROM @generations g, @store s ORDER BY g.id"),
            live: schema.text("SELECT live FROM @store"),
            known: schema.text("SELECT id FROM @generations WHERE id = $1"),
            create: schema.text(
                "INSERT INTO @generations (bound, created_at, purpose) VALUES ($1, $2, $3) RETURNING id",
            ),
            promote: schema.text("UPDATE @store SET live = $1 WHERE live IS NOT DISTINCT FROM $2"),
            remove: schema.text("DELETE FROM @generations WHERE id = $1"),
            unset: schema.text("UPDATE @store SET live = NULL WHERE live = $1"),
            tell_ends: schema.text(
                "INSERT INTO @log_ends AS e (stream, partition, next, seen_at)
                 SELECT k.stream, k.partition, k.next, $4
                 FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS k (stream, partition, next)
                 ON CONFLICT (stream, partition) DO UPDATE
                 SET next = greatest(e.next, excluded.next), seen_at = excluded.seen_at",
            ),
            ends: schema.text("SELECT stream, partition, next, seen_at FROM @log_ends ORDER BY stream, partition"),
            rebuilds: schema.text("SELECT id, revision, note FROM @rebuilds ORDER BY id"),
            first_note: schema.text(
                "INSERT INTO @rebuilds (note, id, revision) VALUES ($1, $2, $3 + 1) ON CONFLICT DO NOTHING",
            ),
            next_note: schema.text(
                "UPDATE @rebuilds SET note = $1, revision = revision + 1 WHERE id = $2 AND revision = $3",
            ),
        }
    }
}

impl PgStore {
    /// Opens the store that the URL names, making it where there is none: `postgres://USER@HOST/DATABASE` with what
    /// libpq takes, and `schema=NAME` (`weir`). Generations whose tables are missing or of another release are
    /// forgotten; they are filled anew from the log.
    ///
    /// A server that is away is no error: the store is then opened by the first use that reaches it, and until then
    /// every use fails.
    ///
    /// # Errors
    /// The URL can't be used, the server refuses the user, or the schema holds something else.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let Target { options, schema } =
            url.parse().map_err(|e: String| sort("reading the store's URL", sqlx::Error::Configuration(e.into())))?;
        let schema = Schema::of_store(&schema);
        let links = Links {
            writers: Sessions::new(options.clone(), WRITERS),
            readers: Sessions::new(options.clone(), READERS),
            timelines: Sessions::new(options.clone(), READERS),
            askers: Sessions::new(options, Kind { connections: ASKERS, ..READERS }),
            changes: watch::Sender::new(0),
            pointer: Arc::default(),
        };
        let statements = Statements::new(&schema);
        let shared = Arc::new(Shared {
            schema,
            links,
            statements,
            handles: Mutex::default(),
            ready: AtomicBool::new(false),
            preparing: tokio::sync::Mutex::default(),
            listened: Arc::default(),
        });
        match shared.ready().await {
            Err(StoreError::Failed { what, source }) if !needs_somebody(&source) => {
                tracing::warn!(error = %source, "{what}: PostgreSQL is away; the store is opened when it is there");
            }
            opened => opened?,
        }
        tokio::spawn(polling::watch(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }
}

impl Drop for PgStore {
    fn drop(&mut self) {
        // Whoever waits for listeners finds that there is no store any more.
        self.shared.listened.notify_waiters();
    }
}

impl Shared {
    /// Sees to it that the store's tables are there.
    async fn ready(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = |e| sort("opening the store", e);
        // Where the server doesn't answer at all, not everybody waits for everybody else.
        let turn = tokio::time::timeout(READERS.turn, self.preparing.lock()).await;
        let _turn = turn.map_err(|_| failed(sqlx::Error::PoolTimedOut))?;
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let (mut session, _) = self.links.writers.begin(&self.statements.change).await.map_err(failed)?;
        match schema::look(&mut session, &self.schema).await.map_err(failed)? {
            Found::Ours => {}
            Found::Nothing => schema::make_store(&mut session, &self.schema).await.map_err(failed)?,
            Found::Other => {
                tracing::warn!("the store is of another release; it is filled anew");
                schema::discard(&mut session, &self.schema).await.map_err(failed)?;
                schema::make_store(&mut session, &self.schema).await.map_err(failed)?;
            }
            Found::Strange => return Err(StoreError::NotAStore(format!("schema {}", self.schema.name()))),
        }
        let left = self.forget_broken(&mut session).await.map_err(failed)?;
        session.commit().await.map_err(failed)?;
        self.sweep(left);
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Forgets generations without whole tables; answers those that have a schema and no row.
    async fn forget_broken(&self, session: &mut Session) -> Result<BTreeSet<GenerationId>, sqlx::Error> {
        let found = schema::generations(session, &self.schema).await?;
        let mut left: BTreeSet<GenerationId> = found.iter().map(|(id, _)| *id).collect();
        for row in session.rows(self.statements.list.query()).await? {
            let id = number(&row);
            if found.contains(&(id, true)) {
                left.remove(&id);
                continue;
            }
            tracing::warn!(
                generation = id.0,
                "a generation's tables are missing or of another release; it is filled anew"
            );
            for statement in [&self.statements.unset, &self.statements.remove] {
                session.execute(statement.query().bind(id.0.cast_signed())).await?;
            }
        }
        Ok(left)
    }

    fn sweep(self: &Arc<Self>, left: BTreeSet<GenerationId>) {
        if !left.is_empty() {
            tokio::spawn(leftovers::sweep(Arc::downgrade(self), left));
        }
    }

    /// Sorts an error of a statement over the store's own tables. If they are gone, the next use makes them again.
    fn failed(&self, what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
        move |error| {
            if tables_are_gone(&error) {
                self.ready.store(false, Ordering::Release);
            }
            sort(what, error)
        }
    }

    /// The generations' rows, the oldest first.
    async fn list(self: &Arc<Self>) -> Result<Vec<GenerationInfo>, StoreError> {
        self.ready().await?;
        let asked = self.links.pointer.ask();
        let rows = self.links.askers.ask(&self.statements.list).await;
        let rows = rows.map_err(self.failed("listing the generations"))?;
        let all = rows.iter().map(info).collect::<Result<Vec<_>, StoreError>>()?;
        self.links.pointer.answer(asked, all.iter().find(|info| info.live).map(|info| info.id));
        self.handles().retain(|id, _| all.iter().any(|info| info.id == *id));
        Ok(all)
    }

    /// The handle of a generation that is there.
    fn handle(&self, info: GenerationInfo) -> Arc<PgGeneration> {
        let new = || Arc::new(PgGeneration::new(&self.schema, info, self.links.clone()));
        self.handles().entry(info.id).or_insert_with(new).clone()
    }

    fn handles(&self) -> MutexGuard<'_, BTreeMap<GenerationId, Arc<PgGeneration>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins what only one process does at a time.
    async fn change(self: &Arc<Self>, what: &'static str) -> Result<Session, StoreError> {
        self.ready().await?;
        Ok(self.links.writers.begin(&self.statements.change).await.map_err(self.failed(what))?.0)
    }

    fn changed(&self) {
        self.links.pointer.forget();
        self.links.changes.send_modify(|n| *n += 1);
    }
}

fn info(row: &PgRow) -> Result<GenerationInfo, StoreError> {
    let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.name() == row.get::<&str, _>(4));
    Ok(GenerationInfo {
        id: number(row),
        bound: row.get::<i64, _>(1).cast_unsigned(),
        created_at: row.get(2),
        purpose: purpose.ok_or(StoreError::Damaged("a generation of an unknown purpose"))?,
        live: row.get::<Option<bool>, _>(3).unwrap_or(false),
    })
}

fn number(row: &PgRow) -> GenerationId {
    GenerationId(row.get::<i64, _>(0).cast_unsigned())
}

#[async_trait]
impl Store for PgStore {
    async fn bind(&self, log: Uuid) -> Result<(), StoreError> {
        self.shared.ready().await?;
        let failed = self.shared.failed("binding the store to its log");
        let statements = &self.shared.statements;
        let (mut session, _) = self.shared.links.writers.begin(&statements.begin).await.map_err(&failed)?;
        let row = session.row(statements.bind.query().bind(log)).await.map_err(&failed)?;
        let row = row.ok_or(StoreError::Damaged("the store's own row is missing"))?;
        let store: Uuid = row.get(0);
        session.commit().await.map_err(&failed)?;
        if store == log { Ok(()) } else { Err(StoreError::OtherLineage { store, log }) }
    }

    async fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        self.shared.list().await
    }

    async fn create(&self, bound: u64, now: i64, purpose: Purpose) -> Result<GenerationId, StoreError> {
        let failed = self.shared.failed("making a generation");
        let mut session = self.shared.change("making a generation").await?;
        let query = self.shared.statements.create.query().bind(bound.cast_signed()).bind(now).bind(purpose.name());
        let row = session.row(query).await.map_err(&failed)?.ok_or(StoreError::Damaged("a new row is missing"))?;
        let id = number(&row);
        let schema = self.shared.schema.of_generation(id);
        schema::make_generation(&mut session, &schema).await.map_err(&failed)?;
        session.commit().await.map_err(&failed)?;
        self.shared.changed();
        Ok(id)
    }

    async fn generation(&self, id: GenerationId) -> Result<Arc<dyn Generation>, StoreError> {
        let info = self.shared.list().await?.into_iter().find(|info| info.id == id);
        Ok(self.shared.handle(info.ok_or(StoreError::NoGeneration(id))?))
    }

    async fn live(&self) -> Result<Option<Arc<dyn Generation>>, StoreError> {
        if let Some(live) = self.shared.links.pointer.known() {
            let Some(id) = live else { return Ok(None) };
            let known = self.shared.handles().get(&id).cloned();
            if let Some(generation) = known {
                return Ok(Some(generation));
            }
        }
        let live = self.shared.list().await?.into_iter().find(|info| info.live);
        Ok(live.map(|info| self.shared.handle(info) as Arc<dyn Generation>))
    }

    async fn promote(&self, id: GenerationId, before: Option<GenerationId>) -> Result<(), StoreError> {
        let failed = self.shared.failed("promoting a generation");
        let mut session = self.shared.change("promoting a generation").await?;
        let statements = &self.shared.statements;
        let number = id.0.cast_signed();
        if session.rows(statements.known.query().bind(number)).await.map_err(&failed)?.is_empty() {
            return Err(StoreError::NoGeneration(id));
        }
        let query = statements.promote.query().bind(number).bind(before.map(|id| id.0.cast_signed()));
        if session.execute(query).await.map_err(&failed)? == 0 {
            return Err(StoreError::LiveMoved);
        }
        // Waits for the disk, and what was committed to the generation before lies before it there.
        session.commit().await.map_err(&failed)?;
        self.shared.changed();
        Ok(())
    }

    async fn remove(&self, id: GenerationId) -> Result<(), StoreError> {
        let failed = self.shared.failed("removing a generation");
        let mut session = self.shared.change("removing a generation").await?;
        let statements = &self.shared.statements;
        let live = session.row(statements.live.query()).await.map_err(&failed)?;
        if live.and_then(|row| row.get::<Option<i64>, _>(0)) == Some(id.0.cast_signed()) {
            return Err(StoreError::IsLive(id));
        }
        session.execute(statements.remove.query().bind(id.0.cast_signed())).await.map_err(&failed)?;
        session.commit().await.map_err(&failed)?;
        self.shared.handles().remove(&id);
        self.shared.changed();
        self.shared.sweep(BTreeSet::from([id]));
        Ok(())
    }
}

#[async_trait]
impl LogEnds for PgStore {
    async fn tell_ends(&self, ends: &[(Stream, u32, u64)], now: i64) -> Result<(), StoreError> {
        self.shared.ready().await?;
        let failed = self.shared.failed("noting the log's end");
        let query = self.shared.statements.tell_ends.query();
        let query = query
            .bind(column(ends, |(stream, _, _)| stream.name()))
            .bind(column(ends, |(_, partition, _)| partition.cast_signed()))
            .bind(column(ends, |(_, _, next)| next.cast_signed()))
            .bind(now);
        // A hint: nobody waits for the disk.
        let begin = self.shared.schema.text("BEGIN");
        let (mut session, _) = self.shared.links.writers.begin(&begin).await.map_err(&failed)?;
        session.execute(query).await.map_err(&failed)?;
        session.commit().await.map_err(&failed)
    }

    async fn ends(&self) -> Result<Vec<LogEnd>, StoreError> {
        self.shared.ready().await?;
        let rows = self.shared.links.askers.ask(&self.shared.statements.ends).await;
        let end = |row: &PgRow| {
            Ok(LogEnd {
                stream: Stream::parse(row.get(0)).ok_or(StoreError::Damaged("an unknown stream"))?,
                partition: row.get::<i32, _>(1).cast_unsigned(),
                next: row.get::<i64, _>(2).cast_unsigned(),
                seen_at: row.get(3),
            })
        };
        rows.map_err(self.shared.failed("reading the log's end"))?.iter().map(end).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        let changes = self.shared.links.changes.subscribe();
        self.shared.listened.notify_one();
        changes
    }
}
