//! PostgreSQL: the schema of the URL (`weir`) says which generations there are and which is read; each generation has a
//! schema `<schema>_g<id>`. Several processes use a store at once.
//!
//! Tables can be rebuilt from the log, so batches are committed without waiting for the disk: after a crash of the
//! server the last of them may be missing, their positions with them, and are folded again. What the store as a whole
//! knows is waited for, and with it all that was committed before: the server's log is one.

mod baskets;
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
mod removal_days;
mod rows;
mod schema;
mod sessions;
mod shared;
mod states;
pub(crate) mod target;
mod timeline;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::sync::watch;
use uuid::Uuid;
use weir_event::Stream;

use crate::error::StoreError;
use crate::model::{GenerationId, GenerationInfo, Purpose};
use crate::traits::{Generation, LogEnd, LogEnds, Store};
use errors::{needs_somebody, sort};
use rows::column;
use shared::{Shared, number};
use target::Target;

/// A store in PostgreSQL.
pub struct PgStore {
    shared: Arc<Shared>,
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
        let target: Result<Target, String> = url.parse();
        let target = target.map_err(|e| sort("reading the store's URL", sqlx::Error::Configuration(e.into())))?;
        let shared = Shared::new(target);
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

#[async_trait]
impl Store for PgStore {
    async fn bind(&self, log: Uuid) -> Result<(), StoreError> {
        self.shared.ready().await?;
        let failed = self.shared.failed("binding the store to its log");
        let statements = &self.shared.statements;
        let (mut session, _) = self.shared.links.steering.begin(&statements.begin).await.map_err(&failed)?;
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
        let (mut session, _) = self.shared.links.steering.begin(&begin).await.map_err(&failed)?;
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
