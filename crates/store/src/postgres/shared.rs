//! What a store's handle and its tasks share: connections, statements over the store's own tables, and the way from
//! whatever the server holds to tables that are ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::sync::{Notify, watch};

use super::errors::{sort, tables_are_gone};
use super::generation::{Links, PgGeneration};
use super::leftovers;
use super::schema::{self, Found, Schema, Text};
use super::sessions::{Kind, Session, Sessions};
use super::target::Target;
use crate::error::StoreError;
use crate::model::{GenerationId, GenerationInfo, Purpose};

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
pub(super) const WRITERS: Kind = Kind {
    connections: 4,
    settings: settings!(
        "SET synchronous_commit = off; SET idle_in_transaction_session_timeout = '4s';
         SET lock_timeout = '6s'; SET statement_timeout = '30s'"
    ),
    turn: Duration::from_secs(30),
    answer: Duration::from_secs(40),
};
/// Claims, pauses, promotions: they must get through while batches wait for a generation that is paused.
pub(super) const STEERING: Kind = Kind { turn: Duration::from_secs(10), ..WRITERS };
/// Views may stay open for a while; a process that stops with one open keeps dead rows from being cleared away.
pub(super) const READERS: Kind = Kind {
    connections: 8,
    settings: settings!(
        "SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '4s'; SET statement_timeout = '20s'"
    ),
    turn: Duration::from_secs(2),
    answer: Duration::from_secs(25),
};
/// Connections for questions of one statement: each is done in no time.
const ASKERS: usize = 3;

pub(super) struct Shared {
    pub(super) schema: Schema,
    pub(super) links: Links,
    pub(super) statements: Statements,
    pub(super) handles: Mutex<BTreeMap<GenerationId, Arc<PgGeneration>>>,
    /// Whether the store's tables are there.
    pub(super) ready: AtomicBool,
    pub(super) preparing: tokio::sync::Mutex<()>,
    /// Told when somebody begins to listen for changes.
    pub(super) listened: Arc<Notify>,
}

/// Statements over the store's own tables.
pub(super) struct Statements {
    pub(super) begin: Text,
    /// Begins what only one process does at a time, and what must be on disk when it is done.
    pub(super) change: Text,
    pub(super) bind: Text,
    pub(super) list: Text,
    pub(super) live: Text,
    pub(super) known: Text,
    pub(super) create: Text,
    pub(super) promote: Text,
    pub(super) remove: Text,
    pub(super) unset: Text,
    pub(super) tell_ends: Text,
    pub(super) ends: Text,
    pub(super) rebuilds: Text,
    pub(super) first_note: Text,
    pub(super) next_note: Text,
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

impl Shared {
    pub(super) fn new(Target { options, schema }: Target) -> Arc<Self> {
        let schema = Schema::of_store(&schema);
        let links = Links {
            writers: Sessions::new(options.clone(), WRITERS),
            steering: Sessions::new(options.clone(), STEERING),
            readers: Sessions::new(options.clone(), READERS),
            timelines: Sessions::new(options.clone(), READERS),
            askers: Sessions::new(options, Kind { connections: ASKERS, ..READERS }),
            changes: watch::Sender::new(0),
            pointer: Arc::default(),
        };
        let statements = Statements::new(&schema);
        Arc::new(Self {
            schema,
            links,
            statements,
            handles: Mutex::default(),
            ready: AtomicBool::new(false),
            preparing: tokio::sync::Mutex::default(),
            listened: Arc::default(),
        })
    }

    /// Sees to it that the store's tables are there.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), StoreError> {
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
        let (mut session, _) = self.links.steering.begin(&self.statements.change).await.map_err(failed)?;
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

    pub(super) fn sweep(self: &Arc<Self>, left: BTreeSet<GenerationId>) {
        if !left.is_empty() {
            tokio::spawn(leftovers::sweep(Arc::downgrade(self), left));
        }
    }

    /// Sorts an error of a statement over the store's own tables. If they are gone, the next use makes them again.
    pub(super) fn failed(&self, what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
        move |error| {
            if tables_are_gone(&error) {
                self.ready.store(false, Ordering::Release);
            }
            sort(what, error)
        }
    }

    /// The generations' rows, the oldest first.
    pub(super) async fn list(self: &Arc<Self>) -> Result<Vec<GenerationInfo>, StoreError> {
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
    pub(super) fn handle(&self, info: GenerationInfo) -> Arc<PgGeneration> {
        let new = || Arc::new(PgGeneration::new(&self.schema, info, self.links.clone()));
        self.handles().entry(info.id).or_insert_with(new).clone()
    }

    pub(super) fn handles(&self) -> MutexGuard<'_, BTreeMap<GenerationId, Arc<PgGeneration>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins what only one process does at a time.
    pub(super) async fn change(self: &Arc<Self>, what: &'static str) -> Result<Session, StoreError> {
        self.ready().await?;
        Ok(self.links.steering.begin(&self.statements.change).await.map_err(self.failed(what))?.0)
    }

    pub(super) fn changed(&self) {
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

pub(super) fn number(row: &PgRow) -> GenerationId {
    GenerationId(row.get::<i64, _>(0).cast_unsigned())
}
