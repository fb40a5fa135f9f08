//! The projection `membership`: events into states, spans and what hangs on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;
use weir_event::{Envelope, Poison, Stream};
use weir_event_log::{Chunk, EventLog, LogRecord, ReadError};
use weir_store::{Fence, Generation, MembershipBatch, ProfileKey, Projection, Store};

use crate::batch::Batch;
use crate::definitions::{DefinitionSet, Served};
use crate::error::FoldError;
use crate::memory::Memory;
use crate::runner::{Owned, UNLIMITED, Until, joined};

/// Bytes of a batch as long as the tables keep up: small, so that a record doesn't wait for many others.
const LIVE_BYTES: usize = 1 << 20;
/// Bytes of a batch that has more behind it: fewer and larger transactions.
const BEHIND_BYTES: usize = 64 << 20;
/// The same in tables that nobody reads yet: a profile's row is written once for more of its records.
const FILLING_BYTES: usize = 160 << 20;
/// From the beginning of a batch to that of the next, at least: with single events coming in, a transaction for each
/// would take the processor from those who post them.
const PACE: Duration = Duration::from_millis(5);

/// The fold of one partition into one generation.
pub(crate) struct Membership {
    log: Arc<dyn EventLog>,
    store: Arc<dyn Store>,
    generation: Arc<dyn Generation>,
    partition: u32,
    owner: Uuid,
    definitions: DefinitionSet,
    window: i64,
    memory: Memory,
    next: u64,
    /// Bytes after which a batch ends.
    full: usize,
    /// Whether anybody reads these tables, as far as is known.
    is_read: bool,
    until: Until,
    /// When the last batch began.
    began: Instant,
    /// The batch before `next`, if it is being written while the next one is folded.
    writing: Option<JoinHandle<Result<(), FoldError>>>,
}

impl Membership {
    /// Takes the partition over at the offset that the tables say.
    pub(crate) async fn take_over(
        log: Arc<dyn EventLog>,
        store: Arc<dyn Store>,
        generation: Arc<dyn Generation>,
        partition: u32,
        owner: Uuid,
    ) -> Result<Self, FoldError> {
        let next = generation.claim(Projection::Membership, partition, owner).await?;
        crate::check_end(log.as_ref(), Projection::Membership, partition, next).await?;
        let mut definitions = DefinitionSet::new(log.clone(), generation.bound());
        let window = definitions.dedup_window().await?;
        let memory = Memory::take_over(generation.as_ref(), partition, next).await?;
        #[cfg(feature = "sabotage")]
        let memory = crate::sabotage::kept(generation.id().0, partition).unwrap_or(memory);
        let (until, began, writing) = (UNLIMITED, Instant::now(), None);
        let is_read = crate::is_read(store.as_ref(), generation.as_ref()).await?;
        let full = if is_read { BEHIND_BYTES } else { FILLING_BYTES };
        Ok(Self {
            log,
            store,
            generation,
            partition,
            owner,
            definitions,
            window,
            memory,
            next,
            full,
            is_read,
            until,
            began,
            writing,
        })
    }

    /// Reads a chunk while the one before it is folded.
    fn read_ahead(&self, from: u64) -> JoinHandle<Result<Chunk, ReadError>> {
        let (log, partition) = (self.log.clone(), self.partition);
        tokio::spawn(async move { log.read(Stream::Events, partition, from, LIVE_BYTES).await })
    }

    /// Folds what there is, and what comes while the batch before is written, up to a size; nothing if there is nothing.
    async fn gather(&mut self) -> Result<Option<Finished>, FoldError> {
        let (started, mut waited) = (Instant::now(), Duration::ZERO);
        let mut batch = Batch::new(self.partition, self.window);
        let (mut next, mut bytes, mut count) = (self.next, 0, 0);
        let mut ahead = None;
        // They may have been promoted since.
        self.is_read = self.is_read || crate::is_read(self.store.as_ref(), self.generation.as_ref()).await?;
        while bytes < self.full {
            let mut chunk = match ahead.take() {
                Some(reading) => joined(reading).await?,
                None => self.log.read(Stream::Events, self.partition, next, LIVE_BYTES).await?,
            };
            let read: usize = chunk.records.iter().map(|record| record.value.len()).sum();
            bytes += read;
            let more = read >= LIVE_BYTES / 2;
            if more && bytes < self.full {
                ahead = Some(self.read_ahead(chunk.next));
            }
            chunk.records.retain(|record| record.offset < self.until.offset);
            let Some(last) = chunk.records.last() else { break };
            (next, count) = (last.offset + 1, count + chunk.records.len());
            self.fold(&mut batch, &chunk.records).await?;
            let idle = Instant::now();
            // In tables that nobody reads yet it is better to make up the rows meanwhile.
            if !more && (!self.is_read || !self.came_meanwhile(next).await?) {
                break;
            }
            waited += idle.elapsed();
        }
        if next == self.next {
            return Ok(None);
        }
        let (fence, rows) = batch.finish(&mut self.memory, self.owner, self.next, next)?;
        histogram!("weir_projector_fold_seconds").record((started.elapsed() - waited).as_secs_f64());
        Ok(Some(Finished { fence, rows, records: count }))
    }

    /// Whether records from an offset on came before the batch that is being written was.
    async fn came_meanwhile(&mut self, next: u64) -> Result<bool, FoldError> {
        let Some(writing) = &mut self.writing else { return Ok(false) };
        let came = async {
            tokio::time::sleep(PACE).await;
            self.log.wait_beyond(Stream::Events, self.partition, next).await
        };
        tokio::select! {
            biased;
            written = joined(writing) => {
                self.writing = None;
                written.map(|()| false)
            }
            came = came => Ok(came.map(|()| true)?),
        }
    }

    async fn fold(&mut self, batch: &mut Batch, records: &[LogRecord]) -> Result<(), FoldError> {
        let envelopes: Vec<Result<Envelope<'_>, Poison>> = records.iter().map(|r| Envelope::parse(&r.value)).collect();
        let mut served: HashMap<&str, Option<Arc<Served>>> = HashMap::new();
        for envelope in envelopes.iter().flatten() {
            let slug = envelope.workspace.as_ref();
            if !served.contains_key(slug) {
                served.insert(slug, self.definitions.workspace(slug).await?);
            }
        }
        let key = |envelope: &Envelope<'_>| {
            let served = served.get(envelope.workspace.as_ref())?.as_ref()?;
            Some(ProfileKey { workspace: served.workspace, profile: envelope.subject })
        };
        self.memory.load(self.generation.as_ref(), envelopes.iter().flatten().filter_map(key)).await?;
        for (record, envelope) in records.iter().zip(&envelopes) {
            match envelope {
                Err(poison) => {
                    // What the record says can't be trusted, but its key names the workspace that it was meant for.
                    let slug = std::str::from_utf8(&record.key).ok().and_then(|key| key.split_once('/'));
                    let workspace = match slug {
                        Some((slug, _)) => self.definitions.workspace(slug).await?.map(|served| served.workspace),
                        None => None,
                    };
                    batch.set_aside(record, workspace, poison.clone());
                }
                Ok(envelope) => match served.get(envelope.workspace.as_ref()).and_then(Option::as_ref) {
                    None => {
                        let reason = format!("no workspace {:?} was ever made", envelope.workspace);
                        batch.set_aside(record, None, Poison(reason));
                    }
                    Some(served) => batch.take(&mut self.memory, served, record.offset, envelope)?,
                },
            }
        }
        Ok(())
    }
}

impl Owned for Membership {
    const NAME: &'static str = Projection::Membership.name();

    async fn wait(&mut self) -> Result<(), FoldError> {
        self.until.passed(self.next).await;
        if !self.came_meanwhile(self.next).await? {
            self.log.wait_beyond(Stream::Events, self.partition, self.next).await?;
        }
        tokio::time::sleep_until(self.began + PACE).await;
        Ok(())
    }

    fn stop_at(&mut self, until: Until) {
        self.until = until;
    }

    async fn work(&mut self) -> Result<(), FoldError> {
        self.began = Instant::now();
        let Some(batch) = self.gather().await? else { return Ok(()) };
        self.settle().await?;
        self.next = batch.fence.next;
        self.writing = Some(tokio::spawn(write(self.generation.clone(), batch)));
        // What is let go of is read from the tables when it is met again: so it must be there.
        if self.memory.is_full() {
            self.settle().await?;
            self.memory.shrink();
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), FoldError> {
        match self.writing.take() {
            Some(writing) => joined(writing).await,
            None => Ok(()),
        }
    }
}

/// A batch that is ready to be written.
struct Finished {
    fence: Fence,
    rows: MembershipBatch,
    /// Taken in by it.
    records: usize,
}

async fn write(generation: Arc<dyn Generation>, batch: Finished) -> Result<(), FoldError> {
    let Finished { fence, rows, records } = batch;
    let started = Instant::now();
    #[cfg(feature = "sabotage")]
    let fence = crate::sabotage::commit_early(generation.as_ref(), fence).await?;
    generation.commit_membership(fence, &rows).await?;
    histogram!("weir_projector_commit_seconds").record(started.elapsed().as_secs_f64());
    // Only what counts: a batch may be refused.
    counter!("weir_projector_records_total").increment(records as u64);
    Ok(())
}

#[cfg(feature = "sabotage")]
impl Drop for Membership {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        crate::sabotage::keep(self.generation.id().0, self.partition, memory);
    }
}
