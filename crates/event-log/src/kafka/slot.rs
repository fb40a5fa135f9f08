//! One position on one partition: the queue that the client fills, and the records just read.
//!
//! Invariant: records come out in the order of their offsets and without a gap; the first that is not the one expected is
//! damage. Those just read are kept for a while, because two projections read the same partition a batch apart, and both
//! would otherwise fetch everything, each on a position of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::context::Quiet;
use super::fetcher::Fetcher;
use crate::{Chunk, LogRecord};

/// Records of so many bytes share an allocation.
const ARENA: usize = 256 * 1024;

/// Where a partition is read.
pub(super) struct Slot {
    // Dropped before the fetcher is.
    queue: PartitionQueue<Quiet>,
    pub(super) fetcher: Arc<Fetcher>,
    /// Records handed out or ready to be, without gaps; the last one lies before `next`.
    window: VecDeque<LogRecord>,
    bytes: usize,
    next: u64,
    used: Instant,
}

/// Why a slot gives nothing.
#[derive(Debug)]
pub(super) enum Stuck {
    /// The broker says that it doesn't hold the position.
    NotHeld,
    /// What lies there is not what was written.
    Damaged(String),
    /// Another failure; trying again may help.
    Failed(KafkaError),
}

impl Slot {
    pub(super) fn new(fetcher: Arc<Fetcher>, queue: PartitionQueue<Quiet>, from: u64) -> Self {
        Self { queue, fetcher, window: VecDeque::new(), bytes: 0, next: from, used: Instant::now() }
    }

    fn base(&self) -> u64 {
        self.next - self.window.len() as u64
    }

    /// Whether a read at `from` is served here.
    pub(super) fn serves(&self, from: u64) -> bool {
        (self.base()..=self.next).contains(&from)
    }

    /// How long ago it was read.
    pub(super) fn idle(&self) -> Duration {
        self.used.elapsed()
    }

    /// The offset after the last record that came.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The records from `from` on, at least one if one has come, up to about `max_bytes`; `keep` bytes of those before
    /// them are kept.
    pub(super) fn take(&mut self, from: u64, max_bytes: usize, keep: usize) -> Result<Chunk, Stuck> {
        self.used = Instant::now();
        let ready = (from - self.base()) as usize;
        let ready_bytes: usize = self.window.range(ready..).map(size).sum();
        let mut stuck = None;
        if ready_bytes < max_bytes.max(1) {
            stuck = self.fill(max_bytes.max(1) - ready_bytes).err();
        }
        let mut bytes = 0;
        let records: Vec<LogRecord> = self
            .window
            .range(ready..)
            .take_while(|record| {
                let fits = bytes < max_bytes.max(1);
                bytes += size(record);
                fits
            })
            .cloned()
            .collect();
        match stuck {
            Some(stuck) if records.is_empty() => return Err(stuck),
            _ => {}
        }
        self.forget(from, keep);
        Ok(Chunk { first: from, next: from + records.len() as u64, records })
    }

    /// Drops the oldest records before `from` until no more than `keep` bytes are held.
    fn forget(&mut self, from: u64, keep: usize) {
        while self.bytes > keep && self.base() < from {
            let Some(oldest) = self.window.pop_front() else { return };
            self.bytes -= size(&oldest);
        }
    }

    /// Takes what has come, about `bytes` of it at most.
    fn fill(&mut self, bytes: usize) -> Result<(), Stuck> {
        let mut pen = Pen::new(bytes);
        let mut taken = 0;
        let mut next = self.next;
        let mut outcome = Ok(());
        while taken < bytes {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => match expected(&message, next) {
                    Ok(true) => {
                        taken += message.key_len() + message.payload_len() + 1;
                        pen.write(&message);
                        next += 1;
                    }
                    // The rest of a position that was given up.
                    Ok(false) => {}
                    Err(stuck) => {
                        outcome = Err(stuck);
                        break;
                    }
                },
                Some(Err(error)) => {
                    outcome = Err(stuck(error));
                    break;
                }
            }
        }
        for record in pen.finish(self.next) {
            self.bytes += size(&record);
            self.window.push_back(record);
        }
        self.next = next;
        outcome
    }
}

fn size(record: &LogRecord) -> usize {
    record.key.len() + record.value.len() + 1
}

fn expected(message: &BorrowedMessage<'_>, next: u64) -> Result<bool, Stuck> {
    match u64::try_from(message.offset()) {
        Ok(offset) if offset == next => Ok(true),
        Ok(offset) if offset < next => Ok(false),
        _ => Err(Stuck::Damaged(format!("the record that follows has offset {}", message.offset()))),
    }
}

fn stuck(error: KafkaError) -> Stuck {
    use RDKafkaErrorCode as Code;
    let KafkaError::MessageConsumption(code) = &error else { return Stuck::Failed(error) };
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Stuck::NotHeld,
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage | Code::LogTruncation => {
            Stuck::Damaged(error.to_string())
        }
        _ => Stuck::Failed(error),
    }
}

/// Copies messages into a few allocations instead of two for each.
struct Pen {
    arena: BytesMut,
    size: usize,
    lengths: Vec<(usize, usize)>,
    records: Vec<(Bytes, Bytes)>,
}

impl Pen {
    fn new(bytes: usize) -> Self {
        Self { arena: BytesMut::new(), size: bytes.min(ARENA), lengths: Vec::new(), records: Vec::new() }
    }

    fn write(&mut self, message: &BorrowedMessage<'_>) {
        let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        if self.arena.len() + key.len() + value.len() > self.arena.capacity() {
            self.cut();
            self.arena = BytesMut::with_capacity(self.size.max(key.len() + value.len()));
        }
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.lengths.push((key.len(), value.len()));
    }

    fn cut(&mut self) {
        let mut bytes = std::mem::take(&mut self.arena).freeze();
        for (key, value) in self.lengths.drain(..) {
            self.records.push((bytes.split_to(key), bytes.split_to(value)));
        }
    }

    fn finish(mut self, first: u64) -> impl Iterator<Item = LogRecord> {
        self.cut();
        (first..).zip(self.records).map(|(offset, (key, value))| LogRecord { offset, key, value })
    }
}
