//! A log in memory: for tests, and the model that the conformance suite is written after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use weir_event::Stream;

use crate::ends::{Ends, MAX_PARTITIONS};
use crate::sharing::Alone;
use crate::{
    AppendError, Bounds, Cause, Chunk, LogAppender, LogReader, LogRecord, OpenError, ReadError, Record, Share, Sharing,
    partition_of,
};

/// A log that is gone with the process. It keeps every other promise.
#[derive(Debug)]
pub struct MemoryLog {
    closed: AtomicBool,
    partitions: Mutex<Partitions>,
    ends: Ends,
}

#[derive(Debug)]
struct Partitions {
    events: Vec<Vec<LogRecord>>,
    control: Vec<Vec<LogRecord>>,
}

impl Partitions {
    fn of(&mut self, stream: Stream) -> &mut Vec<Vec<LogRecord>> {
        match stream {
            Stream::Events => &mut self.events,
            Stream::Control => &mut self.control,
        }
    }
}

impl MemoryLog {
    /// An empty log whose `events.v1` has this many partitions.
    ///
    /// # Errors
    /// [`OpenError::BadPartitions`] for none or too many.
    pub fn new(partitions: u32) -> Result<Self, OpenError> {
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(OpenError::BadPartitions { asked: partitions, limit: MAX_PARTITIONS });
        }
        let events = vec![Vec::new(); partitions as usize];
        let partitions_held = Partitions { events, control: vec![Vec::new()] };
        Ok(Self {
            closed: AtomicBool::new(false),
            partitions: Mutex::new(partitions_held),
            ends: Ends::new(partitions),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Partitions> {
        // Nothing in here panics half-way through a change.
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LogAppender for MemoryLog {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        let size = records.iter().try_for_each(|record| record.checked_size().map(drop));
        size.map_err(|source| AppendError::NotStored { source })?;
        if self.closed.load(Ordering::Relaxed) {
            return Err(AppendError::NotStored { source: Cause::Closed });
        }
        let count = self.ends.partitions(stream);
        let mut next = vec![None; count as usize];
        let mut held = self.lock();
        for record in records {
            let partition = partition_of(&record.key, count) as usize;
            let log = &mut held.of(stream)[partition];
            log.push(LogRecord { offset: log.len() as u64, key: record.key, value: record.value });
            next[partition] = Some(log.len() as u64);
        }
        let touched: Vec<(u32, u64)> = (0..).zip(next).filter_map(|(p, next)| Some((p, next?))).collect();
        for &(partition, end) in &touched {
            self.ends.raise(stream, partition, end);
        }
        Ok(touched)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl LogReader for MemoryLog {
    fn partitions(&self, stream: Stream) -> u32 {
        self.ends.partitions(stream)
    }

    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        Ok(Bounds { first: 0, end: self.ends.get(stream, partition)? })
    }

    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
        let end = self.ends.get(stream, partition)?;
        if from > end {
            return Err(ReadError::OutOfRange { stream, partition, from, first: 0, end });
        }
        let mut held = self.lock();
        let log = &held.of(stream)[partition as usize];
        let mut bytes = 0;
        let records: Vec<LogRecord> = log[from as usize..end as usize]
            .iter()
            .take_while(|record| {
                let fits = bytes < max_bytes.max(1);
                bytes += record.key.len() + record.value.len() + 1;
                fits
            })
            .cloned()
            .collect();
        Ok(Chunk { first: from, next: from + records.len() as u64, records })
    }

    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> {
        self.ends.beyond(stream, partition, offset).await
    }
}

#[async_trait]
impl Sharing for MemoryLog {
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError> {
        Ok(Alone::of(self.ends.partitions(Stream::Events)))
    }
}
