//! The seam: what a backend does. It moves rows; what they mean is decided above it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;
use weir_event::{ProfileId, Stream};

use crate::baskets::{BasketMemory, BasketView};
use crate::contents::Contents;
use crate::error::StoreError;
use crate::model::{
    Card, CountRow, Fence, GenerationId, GenerationInfo, IdChunk, MembershipBatch, ProfileKey, ProfileRow, Progress,
    Projection, Purpose, Quarantined, RebuildRow, ScoreRow, SpanRow, TimelineBatch, TimelineRow,
};

/// A store: generations of tables, and the pointer that says which one is read.
#[async_trait]
pub trait Store: LogEnds + Rebuilds + Send + Sync + 'static {
    /// Binds a new store to the log that it will be filled from; checks that a bound one is of this log.
    async fn bind(&self, lineage: Uuid) -> Result<(), StoreError>;
    /// The generations that there are, the oldest first.
    async fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError>;
    /// Makes an empty generation.
    async fn create(&self, bound: u64, now: i64, purpose: Purpose) -> Result<GenerationId, StoreError>;
    /// The tables of a generation.
    async fn generation(&self, id: GenerationId) -> Result<Arc<dyn Generation>, StoreError>;
    /// The tables that are read; `None` before the first generation is complete.
    async fn live(&self) -> Result<Option<Arc<dyn Generation>>, StoreError>;
    /// Makes the generation the one that is read, in place of `before`; where another is live nothing changes
    /// ([`StoreError::LiveMoved`]). The caller has seen to it that it stands where the live one stands
    /// ([`Standstill::pause`]), so that no answer goes back in time.
    async fn promote(&self, id: GenerationId, before: Option<GenerationId>) -> Result<(), StoreError>;
    /// Deletes a generation that isn't live, if there is one. Views of it that are open go on; whoever holds it without
    /// one finds it as it was for a while, and then that there is [`StoreError::NoGeneration`]. What it takes on disk
    /// goes soon after the last view.
    async fn remove(&self, id: GenerationId) -> Result<(), StoreError>;
}

/// What is noted of rebuilds, by those who ask for them and those who carry them out. It lies beside the generations and
/// is no fold of the log.
#[async_trait]
pub trait Rebuilds {
    /// All notes, the oldest first.
    async fn rebuilds(&self) -> Result<Vec<RebuildRow>, StoreError>;
    /// Writes a note over the one of `revision` (0: there is none yet). Answers whether it was that one; if not, nothing
    /// was written.
    async fn note_rebuild(&self, id: Uuid, revision: u64, note: &[u8]) -> Result<bool, StoreError>;
}

/// The log's end, told by those who see the log to those who don't.
#[async_trait]
pub trait LogEnds {
    /// Notes where the log ended at `now` (microseconds).
    async fn tell_ends(&self, ends: &[(Stream, u32, u64)], now: i64) -> Result<(), StoreError>;
    /// What was told last.
    async fn ends(&self) -> Result<Vec<LogEnd>, StoreError>;
    /// Changes after every commit to any generation, and when another generation is read.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Where a partition ended when somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// Which stream.
    pub stream: Stream,
    /// Which partition.
    pub partition: u32,
    /// The offset after its last record.
    pub next: u64,
    /// When it was looked at, in microseconds.
    pub seen_at: i64,
}

/// The tables of a generation.
#[async_trait]
pub trait Generation: TableWriter + FoldMemory + BasketMemory + Standstill {
    /// Its number.
    fn id(&self) -> GenerationId;
    /// Its definition set (see [`GenerationInfo::bound`]).
    fn bound(&self) -> u64;
    /// Opens a view of all tables but the timeline and what lies beside it: everything read through it is of the instant of opening.
    async fn view(&self) -> Result<Box<dyn View>, StoreError>;
    /// Opens a view of the timeline and of baskets, likewise.
    async fn timeline(&self) -> Result<Box<dyn TimelineView>, StoreError>;
    /// Opens a view of everything, likewise.
    async fn contents(&self) -> Result<Box<dyn Contents>, StoreError>;
}

/// Batches that wait, or stop at a place: for a comparison of generations, and for a change of which is read.
#[async_trait]
pub trait Standstill: Send + Sync + 'static {
    /// Makes every batch of the generation wait until the answer is dropped. A process that dies or is stopped lets go of
    /// it within seconds.
    async fn pause(&self) -> Result<Box<dyn Paused>, StoreError>;
    /// Refuses batches that would take a projection beyond its place ([`StoreError::Held`]), for `lease` at most. Replaces
    /// an earlier hold.
    async fn hold(&self, at: &[Progress], lease: Duration) -> Result<(), StoreError>;
    /// Ends a hold.
    async fn release(&self) -> Result<(), StoreError>;
}

/// A generation that stands still.
pub trait Paused: Send {
    /// Where its projections stand, sorted.
    fn progress(&self) -> &[Progress];
}

/// What projections write. Every commit is one transaction that moves the fence first; with the fence elsewhere, or the
/// partition claimed by another owner, nothing is written ([`StoreError::Fenced`]).
#[async_trait]
pub trait TableWriter: Send + Sync + 'static {
    /// Takes a partition over: from now on only batches of this owner count. Answers where the projection stands.
    async fn claim(&self, projection: Projection, partition: u32, owner: Uuid) -> Result<u64, StoreError>;
    /// How far each projection has come; a partition that isn't there stands at 0.
    async fn progress(&self) -> Result<Vec<Progress>, StoreError>;
    /// The rows of those profiles that have one, in no order.
    async fn profiles(&self, keys: &[ProfileKey]) -> Result<Vec<ProfileRow>, StoreError>;
    /// Commits a batch of `membership`.
    async fn commit_membership(&self, fence: Fence, batch: &MembershipBatch) -> Result<(), StoreError>;
    /// Commits records of `control`, those set aside among them too.
    async fn commit_control(
        &self,
        fence: Fence,
        records: &[(u64, Vec<u8>)],
        quarantine: &[Quarantined],
    ) -> Result<(), StoreError>;
    /// Commits a batch of `timeline`.
    async fn commit_timeline(&self, fence: Fence, batch: &TimelineBatch) -> Result<(), StoreError>;
    /// Does what batches left for a quiet moment: adds to sums of removals what waits for them, unless it is little.
    async fn tidy_up(&self) -> Result<(), StoreError>;
    /// The offsets in `[from, to)` of a partition of `events.v1` that membership did not admit, in order.
    async fn not_admitted(&self, partition: u32, from: u64, to: u64) -> Result<Vec<u64>, StoreError>;
}

/// What a fold that takes over a partition must know besides the rows: it reads all redo of the partition, the last of
/// a profile counting, and asks for rows of other profiles as it meets them.
#[async_trait]
pub trait FoldMemory: Send + Sync + 'static {
    /// The redo of a partition, in the order of its batches.
    async fn redo(&self, partition: u32) -> Result<Vec<Vec<u8>>, StoreError>;
    /// The id chunks of a profile, the oldest first.
    async fn id_chunks(&self, key: ProfileKey) -> Result<Vec<IdChunk>, StoreError>;
}

/// Tables as they were at one instant.
#[async_trait]
pub trait View: SpanView + Send {
    /// How far each projection had come, the timeline's not among them.
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError>;
    /// The records of `control.v1` from an offset on, in order.
    async fn control(&mut self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;
    /// What those profiles show that exist, in no order.
    async fn cards(&mut self, keys: &[ProfileKey]) -> Result<Vec<Card>, StoreError>;
    /// A score's list from after a place on, most points first, then by id.
    async fn scores(
        &mut self,
        score: i64,
        after: Option<(i128, ProfileId)>,
        limit: usize,
    ) -> Result<Vec<ScoreRow>, StoreError>;
    /// All counts, of all partitions together.
    async fn counts(&mut self) -> Result<Vec<CountRow>, StoreError>;
    /// Up to `limit` records set aside, from a place on (itself included), by stream name, partition and offset.
    async fn quarantine(
        &mut self,
        from: Option<(Stream, u32, u64)>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError>;
}

/// The spans of segment versions, for lists, counts and look-ups.
#[async_trait]
pub trait SpanView {
    /// The spans in the range that leave after `leaves_after`, among the first `scan` spans of the range whatever
    /// they leave at, and at most `limit` of them; in order.
    async fn spans(&mut self, range: &SpanRange, scan: usize, limit: usize) -> Result<Vec<SpanRow>, StoreError>;
    /// Where a scan of so many spans of the range (at least one) ends: the key of the last one; `None` if the range
    /// has fewer.
    async fn scan_end(&mut self, range: &SpanRange, scan: usize) -> Result<Option<(i64, ProfileId)>, StoreError>;
    /// The first stretch of a level in `[from, to)` with spans of the range's kind that may leave after its
    /// `leaves_after`.
    async fn next_stretch(
        &mut self,
        range: &SpanRange,
        level: u32,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, StoreError>;
    /// The sum of `delta` over stretches: (level, first bucket, bucket after the last).
    async fn tally(&mut self, segment: i64, stretches: &[(u32, i64, i64)]) -> Result<i64, StoreError>;
    /// All spans of a profile in the segments, in order.
    async fn spans_of(&mut self, profile: ProfileId, segments: &[i64]) -> Result<Vec<SpanRow>, StoreError>;
}

/// Spans of one segment version, past or not, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRange {
    /// The segment version's id.
    pub segment: i64,
    /// Those that had ended when they were written, or the others.
    pub past: bool,
    /// Only spans after this (entering, profile).
    pub after: Option<(i64, ProfileId)>,
    /// Only spans that enter at or before this.
    pub enters_until: i64,
    /// Only spans that leave after this.
    pub leaves_after: i64,
}

/// The timeline as it was at one instant.
#[async_trait]
pub trait TimelineView: BasketView + Send {
    /// How far the timeline had come.
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError>;
    /// A profile's records before a place, the latest first.
    async fn events(
        &mut self,
        key: ProfileKey,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<TimelineRow>, StoreError>;
}
