//! A generation's tables: what the seam asks of them, on its two files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Transaction;
use sqlx::sqlite::Sqlite;
use tokio::sync::watch;
use uuid::Uuid;

use super::contents::SqliteContents;
use super::files::{File, Files};
use super::standstill::Held;
use super::timeline::SqliteTimeline;
use super::view::SqliteView;
use super::waiting::Waiting;
use super::{baskets, membership, positions, removal_days, states, timeline};
use crate::baskets::{BasketMemory, BasketRow};
use crate::contents::Contents;
use crate::error::StoreError;
use crate::model::{
    Fence, GenerationId, GenerationInfo, IdChunk, MembershipBatch, ProfileKey, ProfileRow, Progress, Projection,
    Quarantined, TimelineBatch,
};
use crate::removal_days::{Enough, Unmerged};
use crate::traits::{FoldMemory, Generation, Paused, Standstill, TableWriter, TimelineView, View};

pub(super) const TABLES: &str = include_str!("../../../../migrations/sqlite/generation/0001_tables.sql");
pub(super) const TIMELINE: &str = concat!(
    include_str!("../../../../migrations/sqlite/timeline/0001_timeline.sql"),
    include_str!("../../../../migrations/sqlite/timeline/0002_baskets.sql"),
);

/// The offsets of a range that were not admitted.
pub(super) const NOT_ADMITTED: &str = "SELECT log_offset FROM not_admitted
    WHERE partition = ? AND log_offset >= ? AND log_offset < ? ORDER BY log_offset";

/// A generation in SQLite.
pub(super) struct SqliteGeneration {
    info: GenerationInfo,
    pub(super) tables: File,
    pub(super) timeline: File,
    waiting_spans: Waiting,
    waiting_places: Waiting,
    unmerged: Unmerged,
    changes: watch::Sender<u64>,
    files: Files,
    removed: AtomicBool,
}

impl SqliteGeneration {
    /// Opens a generation's files, making them where there are none; `None` if they are of another schema.
    pub(super) async fn open(
        files: Files,
        info: GenerationInfo,
        changes: watch::Sender<u64>,
    ) -> Result<Option<Self>, StoreError> {
        let tables = File::open(&files.tables, TABLES, 256).await?;
        let timeline = File::open(&files.timeline, TIMELINE, 128).await?;
        let open = tables.zip(timeline);
        Ok(open.map(|(tables, timeline)| Self {
            info,
            tables,
            timeline,
            waiting_spans: membership::waiting_spans(),
            waiting_places: timeline::waiting_places(),
            unmerged: Unmerged::new(),
            changes,
            files,
            removed: AtomicBool::new(false),
        }))
    }

    pub(super) const fn info(&self) -> GenerationInfo {
        self.info
    }

    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        self.tables.checkpoint().await?;
        self.timeline.checkpoint().await
    }

    /// Has the files deleted when nobody uses the generation any more.
    pub(super) fn remove(&self) {
        self.removed.store(true, Ordering::Release);
    }

    async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(|e| StoreError::from_sqlx("committing a batch", e))?;
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }
}

impl Drop for SqliteGeneration {
    fn drop(&mut self) {
        if !self.removed.load(Ordering::Acquire) {
            return;
        }
        // Views under way hold the files open; the names can go.
        if let Err(error) = self.files.remove() {
            tracing::warn!(%error, generation = self.info.id.0, "can't delete a generation's files; the next start will");
        }
    }
}

#[async_trait]
impl Generation for SqliteGeneration {
    fn id(&self) -> GenerationId {
        self.info.id
    }

    fn bound(&self) -> u64 {
        self.info.bound
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(SqliteView(self.tables.view().await?)))
    }

    async fn timeline(&self) -> Result<Box<dyn TimelineView>, StoreError> {
        Ok(Box::new(SqliteTimeline(self.timeline.view().await?)))
    }

    async fn contents(&self) -> Result<Box<dyn Contents>, StoreError> {
        // The timeline first: read later, it would seem to pass membership.
        let timeline = self.timeline.view().await?;
        Ok(Box::new(SqliteContents { tables: self.tables.view().await?, timeline }))
    }
}

#[async_trait]
impl FoldMemory for SqliteGeneration {
    async fn redo(&self, partition: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut view = self.tables.view().await?;
        states::read_redo(&mut view, partition).await
    }

    async fn id_chunks(&self, key: ProfileKey) -> Result<Vec<IdChunk>, StoreError> {
        let mut view = self.tables.view().await?;
        states::read_chunks(&mut view, key).await
    }
}

#[async_trait]
impl BasketMemory for SqliteGeneration {
    async fn baskets(&self, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError> {
        baskets::read(&mut *self.timeline.view().await?, keys).await
    }
}

#[async_trait]
impl Standstill for SqliteGeneration {
    async fn pause(&self) -> Result<Box<dyn Paused>, StoreError> {
        Ok(Box::new(Held::take(&self.tables, &self.timeline).await?))
    }

    async fn hold(&self, at: &[Progress], lease: Duration) -> Result<(), StoreError> {
        // The timeline first: it never passes membership.
        for (file, timeline) in [(&self.timeline, true), (&self.tables, false)] {
            let mut transaction = file.begin().await?;
            let here = at.iter().filter(|place| (place.projection == Projection::Timeline) == timeline);
            positions::hold(&mut transaction, here, lease).await?;
            self.commit(transaction).await?;
        }
        Ok(())
    }

    async fn release(&self) -> Result<(), StoreError> {
        for file in [&self.tables, &self.timeline] {
            let released = sqlx::query(positions::RELEASE).execute(&file.writer).await;
            released.map_err(|e| StoreError::from_sqlx("ending a hold", e))?;
        }
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }
}

#[async_trait]
impl TableWriter for SqliteGeneration {
    async fn claim(&self, projection: Projection, partition: u32, owner: Uuid) -> Result<u64, StoreError> {
        let file = if projection == Projection::Timeline { &self.timeline } else { &self.tables };
        let mut transaction = file.begin().await?;
        let next = positions::claim(&mut transaction, projection, partition, owner).await?;
        self.commit(transaction).await?;
        Ok(next)
    }

    async fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        let mut all = Vec::new();
        // The timeline never passes membership; read later, it would seem to.
        for file in [&self.timeline, &self.tables] {
            all.extend(positions::read(&mut *file.view().await?).await?);
        }
        all.sort();
        Ok(all)
    }

    async fn profiles(&self, keys: &[ProfileKey]) -> Result<Vec<ProfileRow>, StoreError> {
        let mut view = self.tables.view().await?;
        states::read(&mut view, keys).await
    }

    async fn commit_membership(&self, fence: Fence, batch: &MembershipBatch) -> Result<(), StoreError> {
        let mut transaction = self.tables.begin().await?;
        positions::pass(&mut transaction, Projection::Membership, fence).await?;
        let written = membership::write(&mut transaction, &self.waiting_spans, fence, batch).await;
        written.map_err(|e| StoreError::from_sqlx("writing memberships", e))?;
        self.commit(transaction).await
    }

    async fn commit_control(
        &self,
        fence: Fence,
        records: &[(u64, Vec<u8>)],
        quarantine: &[Quarantined],
    ) -> Result<(), StoreError> {
        let mut transaction = self.tables.begin().await?;
        positions::pass(&mut transaction, Projection::Control, fence).await?;
        let failed = |e| StoreError::from_sqlx("writing control records", e);
        membership::write_control(&mut transaction, records).await.map_err(failed)?;
        membership::write_quarantine(&mut transaction, quarantine).await.map_err(failed)?;
        self.commit(transaction).await
    }

    async fn commit_timeline(&self, fence: Fence, batch: &TimelineBatch) -> Result<(), StoreError> {
        let mut transaction = self.timeline.begin().await?;
        positions::pass(&mut transaction, Projection::Timeline, fence).await?;
        let written = timeline::write(&mut transaction, &self.waiting_places, &batch.rows).await;
        written.map_err(|e| StoreError::from_sqlx("writing the timeline", e))?;
        let written = baskets::write(&mut transaction, fence, &batch.baskets).await;
        written.map_err(|e| StoreError::from_sqlx("writing baskets", e))?;
        let written = removal_days::write(&mut transaction, &self.unmerged, fence, &batch.baskets.days).await;
        written.map_err(|e| StoreError::from_sqlx("writing sums of removals", e))?;
        self.commit(transaction).await
    }

    async fn tidy_up(&self) -> Result<(), StoreError> {
        if !self.unmerged.has(Enough::ForAQuietMoment) {
            return Ok(());
        }
        let mut transaction = self.timeline.begin().await?;
        let written = removal_days::merge_if(&mut transaction, &self.unmerged, Enough::ForAQuietMoment).await;
        written.map_err(|e| StoreError::from_sqlx("writing sums of removals", e))?;
        self.commit(transaction).await
    }

    async fn not_admitted(&self, partition: u32, from: u64, to: u64) -> Result<Vec<u64>, StoreError> {
        let mut view = self.tables.view().await?;
        let offsets: Vec<i64> = sqlx::query_scalar(NOT_ADMITTED)
            .bind(partition)
            .bind(from.cast_signed())
            .bind(to.cast_signed())
            .fetch_all(&mut *view)
            .await
            .map_err(|e| StoreError::from_sqlx("reading what was not admitted", e))?;
        Ok(offsets.into_iter().map(i64::cast_unsigned).collect())
    }
}
