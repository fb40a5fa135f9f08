//! A generation's tables: what the seam asks of them, in a schema of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use tokio::sync::watch;
use uuid::Uuid;

use super::contents::PgContents;
use super::errors::sort_in;
use super::pointer::Pointer;
use super::positions::Pause;
use super::schema::{Schema, Text};
use super::sessions::{Session, Sessions};
use super::timeline::PgTimeline;
use super::view::PgView;
use super::{baskets, membership, positions, states, timeline, view};
use crate::baskets::{BasketMemory, BasketRow};
use crate::contents::Contents;
use crate::error::StoreError;
use crate::model::{
    Fence, GenerationId, GenerationInfo, IdChunk, MembershipBatch, ProfileKey, ProfileRow, Progress, Projection,
    Quarantined, TimelineBatch,
};
use crate::removal_days::{Enough, Unmerged};
use crate::traits::{FoldMemory, Generation, Paused, Standstill, TableWriter, TimelineView, View};

/// All statements over a generation's tables.
pub(super) struct Statements {
    pub(super) positions: positions::Statements,
    pub(super) states: states::Statements,
    pub(super) membership: membership::Statements,
    pub(super) timeline: timeline::Statements,
    pub(super) baskets: baskets::Statements,
    pub(super) view: view::Statements,
    pub(super) not_admitted: Text,
    begin: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            positions: positions::Statements::new(schema),
            states: states::Statements::new(schema),
            membership: membership::Statements::new(schema),
            timeline: timeline::Statements::new(schema),
            baskets: baskets::Statements::new(schema),
            view: view::Statements::new(schema),
            not_admitted: schema.text(
                "SELECT log_offset FROM @not_admitted WHERE partition = $1 AND log_offset >= $2 AND log_offset < $3
                 ORDER BY log_offset",
            ),
            begin: schema.text("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
        }
    }
}

/// What the store and its generations share.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) writers: Arc<Sessions>,
    pub(super) steering: Arc<Sessions>,
    /// For views.
    pub(super) readers: Arc<Sessions>,
    /// For views of the timeline, which are opened by who holds a view already: were they among the others, as many reads
    /// as there are connections could each hold one and wait for another.
    pub(super) timelines: Arc<Sessions>,
    /// For single questions, for the same reason. Who asks waits for nothing else.
    pub(super) askers: Arc<Sessions>,
    pub(super) changes: watch::Sender<u64>,
    pub(super) pointer: Arc<Pointer>,
}

/// A generation in PostgreSQL.
pub(super) struct PgGeneration {
    info: GenerationInfo,
    schema: Schema,
    statements: Arc<Statements>,
    links: Links,
    unmerged: Unmerged,
    /// Of several partitions one at a time.
    merging: tokio::sync::Mutex<()>,
}

impl PgGeneration {
    pub(super) fn new(store: &Schema, info: GenerationInfo, links: Links) -> Self {
        let schema = store.of_generation(info.id);
        let statements = Arc::new(Statements::new(&schema));
        Self { info, schema, statements, links, unmerged: Unmerged::new(), merging: tokio::sync::Mutex::default() }
    }

    fn failed(&self, what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
        let (id, pointer) = (self.info.id, self.links.pointer.clone());
        move |error| {
            let error = sort_in(id, what, error);
            if matches!(error, StoreError::NoGeneration(_)) {
                pointer.forget();
            }
            error
        }
    }

    async fn begin(&self, projection: Projection, fence: Fence) -> Result<Session, StoreError> {
        let begun = self.links.writers.begin(&self.statements.begin).await;
        let (mut session, _) = begun.map_err(self.failed("beginning a batch"))?;
        match self.statements.positions.pass(&mut session, self.info.id, projection, fence).await {
            Ok(()) => Ok(session),
            Err(fenced) => {
                // The answer is about the fence, whatever becomes of the connection.
                if let Err(error) = session.roll_back().await {
                    tracing::debug!(%error, "a refused batch was not rolled back in good order");
                }
                Err(fenced)
            }
        }
    }

    async fn commit(&self, session: Session) -> Result<(), StoreError> {
        session.commit().await.map_err(self.failed("committing a batch"))?;
        self.links.changes.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Adds up what batches add to sums, if it is still enough. They are committed, whatever becomes of it: it is tried again
    /// after the next.
    async fn merge(&self, enough: Enough) {
        let _turn = self.merging.lock().await;
        if !self.unmerged.take(enough) {
            return;
        }
        match self.statements.baskets.days.merge(&self.links.writers).await {
            Ok(written) => self.unmerged.merged(written),
            Err(error) => {
                self.unmerged.failed();
                tracing::warn!(%error, "what batches add to sums of removals waits, and is tried again after the next one");
            }
        }
    }

    /// Begins a view, and answers the positions in it.
    async fn open(&self, opening: &Text) -> Result<(Session, Vec<Progress>), StoreError> {
        self.open_on(&self.links.readers, opening).await
    }

    async fn open_on(&self, sessions: &Arc<Sessions>, opening: &Text) -> Result<(Session, Vec<Progress>), StoreError> {
        let opened = sessions.begin(opening).await;
        let (session, rows) = opened.map_err(self.failed("opening a view"))?;
        Ok((session, positions::progress(&rows)?))
    }
}

#[async_trait]
impl Generation for PgGeneration {
    fn id(&self) -> GenerationId {
        self.info.id
    }

    fn bound(&self) -> u64 {
        self.info.bound
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        let (session, mut progress) = self.open(&self.statements.positions.view).await?;
        progress.retain(|p| p.projection != Projection::Timeline);
        let (generation, statements) = (self.info.id, self.statements.clone());
        Ok(Box::new(PgView { generation, statements, session, progress }))
    }

    async fn timeline(&self) -> Result<Box<dyn TimelineView>, StoreError> {
        let (session, mut progress) = self.open_on(&self.links.timelines, &self.statements.positions.view).await?;
        progress.retain(|p| p.projection == Projection::Timeline);
        let (generation, statements) = (self.info.id, self.statements.clone());
        Ok(Box::new(PgTimeline { generation, statements, session, progress }))
    }

    async fn contents(&self) -> Result<Box<dyn Contents>, StoreError> {
        let (session, progress) = self.open(&self.statements.positions.view_all).await?;
        let schema = self.schema.clone();
        Ok(Box::new(PgContents { generation: self.info.id, schema, session, progress }))
    }
}

#[async_trait]
impl Standstill for PgGeneration {
    async fn pause(&self) -> Result<Box<dyn Paused>, StoreError> {
        let paused = self.links.steering.begin(&self.statements.positions.pause).await;
        let (session, rows) = paused.map_err(self.failed("pausing a generation"))?;
        Ok(Box::new(Pause { progress: positions::progress(&rows)?, _session: session }))
    }

    async fn hold(&self, at: &[Progress], lease: Duration) -> Result<(), StoreError> {
        let held = self.statements.positions.hold(&self.links.steering, at, lease).await;
        held.map_err(self.failed("holding a generation"))
    }

    async fn release(&self) -> Result<(), StoreError> {
        let released = self.statements.positions.release(&self.links.steering).await;
        released.map_err(self.failed("ending a hold"))?;
        self.links.changes.send_modify(|n| *n += 1);
        Ok(())
    }
}

#[async_trait]
impl FoldMemory for PgGeneration {
    async fn redo(&self, partition: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let (mut session, _) = self.open(&self.statements.positions.view).await?;
        let query = self.statements.states.redo.query().bind(partition.cast_signed());
        let rows = session.rows(query).await.map_err(self.failed("reading the redo of states"))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn id_chunks(&self, key: ProfileKey) -> Result<Vec<IdChunk>, StoreError> {
        let (mut session, _) = self.open(&self.statements.positions.view).await?;
        let query = self.statements.states.chunks.query().bind(key.workspace.cast_signed()).bind(key.profile.0);
        let rows = session.rows(query).await.map_err(self.failed("reading event ids"))?;
        let chunk = |row: &sqlx::postgres::PgRow| IdChunk {
            key,
            chunk: row.get::<i64, _>(0).cast_unsigned(),
            newest: row.get(1),
            ids: row.get(2),
        };
        Ok(rows.iter().map(chunk).collect())
    }
}

#[async_trait]
impl BasketMemory for PgGeneration {
    async fn baskets(&self, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError> {
        let (mut session, _) = self.open(&self.statements.positions.view).await?;
        let rows = session.rows(self.statements.baskets.rows_of(keys)).await;
        Ok(rows.map_err(self.failed("reading baskets"))?.iter().map(baskets::basket).collect())
    }
}

#[async_trait]
impl TableWriter for PgGeneration {
    async fn claim(&self, projection: Projection, partition: u32, owner: Uuid) -> Result<u64, StoreError> {
        let claimed = self.statements.positions.claim(&self.links.steering, projection, partition, owner).await;
        let next = claimed.map_err(self.failed("claiming a partition"))?;
        self.links.changes.send_modify(|n| *n += 1);
        Ok(next)
    }

    async fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        let rows = self.links.askers.ask(&self.statements.positions.read).await;
        positions::progress(&rows.map_err(self.failed("reading positions"))?)
    }

    async fn profiles(&self, keys: &[ProfileKey]) -> Result<Vec<ProfileRow>, StoreError> {
        let (mut session, _) = self.open(&self.statements.positions.view).await?;
        let rows = session.rows(self.statements.states.rows_of(keys)).await.map_err(self.failed("reading states"))?;
        Ok(rows.iter().map(states::profile_row).collect())
    }

    async fn commit_membership(&self, fence: Fence, batch: &MembershipBatch) -> Result<(), StoreError> {
        let mut session = self.begin(Projection::Membership, fence).await?;
        let failed = self.failed("writing memberships");
        self.statements.states.commit(&mut session, fence, batch).await.map_err(&failed)?;
        self.statements.membership.commit(&mut session, fence, batch).await.map_err(&failed)?;
        self.commit(session).await
    }

    async fn commit_control(
        &self,
        fence: Fence,
        records: &[(u64, Vec<u8>)],
        quarantine: &[Quarantined],
    ) -> Result<(), StoreError> {
        let mut session = self.begin(Projection::Control, fence).await?;
        let failed = self.failed("writing control records");
        self.statements.membership.write_control(&mut session, records).await.map_err(&failed)?;
        self.statements.membership.write_quarantine(&mut session, quarantine).await.map_err(&failed)?;
        self.commit(session).await
    }

    async fn commit_timeline(&self, fence: Fence, batch: &TimelineBatch) -> Result<(), StoreError> {
        let mut session = self.begin(Projection::Timeline, fence).await?;
        let written = self.statements.timeline.commit(&mut session, &batch.rows).await;
        written.map_err(self.failed("writing the timeline"))?;
        let written = self.statements.baskets.commit(&mut session, fence, &batch.baskets).await;
        written.map_err(self.failed("writing baskets"))?;
        let days = &self.statements.baskets.days;
        let written = days.commit(&mut session, fence, &batch.baskets.days).await;
        written.map_err(self.failed("writing sums of removals"))?;
        self.commit(session).await?;
        if self.unmerged.add(&batch.baskets.days) {
            self.merge(Enough::ForABatch).await;
        }
        Ok(())
    }

    async fn tidy_up(&self) -> Result<(), StoreError> {
        self.merge(Enough::ForAQuietMoment).await;
        Ok(())
    }

    async fn not_admitted(&self, partition: u32, from: u64, to: u64) -> Result<Vec<u64>, StoreError> {
        let (mut session, _) = self.open(&self.statements.positions.view).await?;
        let query = self.statements.not_admitted.query().bind(partition.cast_signed());
        let query = query.bind(from.cast_signed()).bind(to.cast_signed());
        let rows = session.rows(query).await.map_err(self.failed("reading what was not admitted"))?;
        Ok(rows.iter().map(|row| row.get::<i64, _>(0).cast_unsigned()).collect())
    }
}
