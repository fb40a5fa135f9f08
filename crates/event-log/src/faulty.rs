//! A log that fails on purpose, the same way for the same seed.
//!
//! Invariant: it breaks no promise of the log under it. A fault is either nothing done and `NotStored`, or one of the
//! two things that `Unknown` may mean, or a failed read, or a short one. So whoever is right over a real log is right
//! over this one, and a test that fails over it has found a fault of the code tested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use weir_event::Stream;

use crate::{AppendError, Bounds, Cause, Chunk, EventLog, LogAppender, LogReader, ReadError, Record, Share, Sharing};

/// How often each fault happens, in a thousand calls that it can happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Nothing is stored, and the answer says so.
    pub not_stored: u32,
    /// All is stored, but the answer is that nobody knows.
    pub unknown_stored: u32,
    /// Nothing is stored, but the answer is that nobody knows.
    pub unknown_lost: u32,
    /// A read, a wait or a question for the bounds fails.
    pub read_failed: u32,
    /// A read answers only some of the records that it could, at least one.
    pub short_read: u32,
}

impl Faults {
    /// No fault at all.
    pub const NONE: Faults =
        Faults { not_stored: 0, unknown_stored: 0, unknown_lost: 0, read_failed: 0, short_read: 0 };
    /// About a fault in four appends and in eight reads.
    pub const SOME: Faults =
        Faults { not_stored: 100, unknown_stored: 75, unknown_lost: 75, read_failed: 125, short_read: 250 };
}

/// A log over another one, with faults drawn from a seed.
pub struct FaultyLog {
    inner: Arc<dyn EventLog>,
    faults: Faults,
    state: AtomicU64,
}

impl FaultyLog {
    /// Puts faults over `inner`. The n-th call draws the same fault for the same seed.
    pub fn new(inner: Arc<dyn EventLog>, seed: u64, faults: Faults) -> Self {
        Self { inner, faults, state: AtomicU64::new(seed) }
    }

    /// The next number of the seed's sequence (splitmix64).
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn per_mille(&self) -> u32 {
        (self.draw() % 1_000) as u32
    }

    fn fail_read(&self, stream: Stream, partition: u32) -> Result<(), ReadError> {
        if self.per_mille() < self.faults.read_failed {
            return Err(ReadError::Io { stream, partition, source: Arc::new(Cause::Injected) });
        }
        Ok(())
    }
}

#[async_trait]
impl LogAppender for FaultyLog {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        let Faults { not_stored, unknown_stored, unknown_lost, .. } = self.faults;
        let drawn = self.per_mille();
        if drawn < not_stored {
            return Err(AppendError::NotStored { source: Cause::Injected });
        }
        if drawn < not_stored + unknown_lost {
            return Err(AppendError::Unknown { source: Cause::Injected });
        }
        let answer = self.inner.append(stream, records).await?;
        if drawn < not_stored + unknown_lost + unknown_stored {
            return Err(AppendError::Unknown { source: Cause::Injected });
        }
        Ok(answer)
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl LogReader for FaultyLog {
    fn partitions(&self, stream: Stream) -> u32 {
        self.inner.partitions(stream)
    }

    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        self.fail_read(stream, partition)?;
        self.inner.bounds(stream, partition).await
    }

    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
        self.fail_read(stream, partition)?;
        let short = self.per_mille() < self.faults.short_read;
        let mut chunk = self.inner.read(stream, partition, from, max_bytes).await?;
        if short && chunk.records.len() > 1 {
            let keep = 1 + (self.draw() % (chunk.records.len() as u64 - 1)) as usize;
            chunk.records.truncate(keep);
            chunk.next = chunk.first + keep as u64;
        }
        Ok(chunk)
    }

    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> {
        self.fail_read(stream, partition)?;
        self.inner.wait_beyond(stream, partition, offset).await
    }
}

#[async_trait]
impl Sharing for FaultyLog {
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError> {
        self.inner.join().await
    }
}
