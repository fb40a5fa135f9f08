//! Reading: from the slot that stands where the reader is.
//!
//! Invariant: whether a record exists at an offset is known before the offset is read or waited for, from the brokers or
//! from an acknowledgement; nothing is ever read at an offset that the log doesn't hold, and nobody is moved elsewhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use weir_event::Stream;

use super::fetcher::{FETCHERS, Pool};
use super::settings::{Clients, PATIENCE};
use super::slot::{Slot, Stuck};
use super::topics::Topics;
use super::watermarks::Watermarks;
use crate::ends::Ends;
use crate::{Bounds, Chunk, ReadError};

/// Bytes of all partitions of a stream that wait in the client, and that are kept after they were read, for each position.
const BUFFERS: usize = 32 * 1024 * 1024;
/// What one partition has of that, at least and at most.
const BUFFER: (usize, usize) = (256 * 1024, 4 * 1024 * 1024);
/// A position that nobody read for so long may be taken from its reader.
const RESTING: Duration = Duration::from_secs(2);
/// A position that nobody read for so long is given up.
const LEFT: Duration = Duration::from_secs(30);
/// How often somebody who waits looks by himself, in case that nobody tells him.
const LOOK: Duration = Duration::from_millis(250);
/// How often he asks the brokers: for records at an offset where nobody reads yet.
const ASK: Duration = Duration::from_secs(5);

/// The reading side.
pub(super) struct Reader {
    ends: Arc<Ends>,
    watermarks: Watermarks,
    events: Vec<Arc<Partition>>,
    control: Vec<Arc<Partition>>,
}

/// A partition, and the positions at which it is read.
struct Partition {
    stream: Stream,
    number: u32,
    topic: String,
    pool: Arc<Pool>,
    buffer: usize,
    /// By fetcher.
    slots: Mutex<Vec<Option<Slot>>>,
    /// Told when records come to a slot whose queue was empty, or when a slot changes.
    changed: Arc<Notify>,
}

impl Reader {
    pub(super) fn start(clients: &Clients, topics: &Arc<Topics>, ends: &Arc<Ends>) -> Result<Self, KafkaError> {
        describe();
        let buffer = (BUFFERS / topics.partitions() as usize).clamp(BUFFER.0, BUFFER.1);
        let pool = Arc::new(Pool::new(clients, buffer / 1_024));
        let partitions = |stream: Stream| -> Vec<Arc<Partition>> {
            let partition = |number| Partition {
                stream,
                number,
                topic: topics.name(stream).to_owned(),
                pool: Arc::clone(&pool),
                buffer,
                slots: Mutex::default(),
                changed: Arc::default(),
            };
            (0..ends.partitions(stream)).map(|number| Arc::new(partition(number))).collect()
        };
        let (events, control) = (partitions(Stream::Events), partitions(Stream::Control));
        sweep(events.iter().chain(&control).map(Arc::downgrade).collect());
        let watermarks = Watermarks::start(clients, topics, ends)?;
        Ok(Self { ends: Arc::clone(ends), watermarks, events, control })
    }

    fn partition(&self, stream: Stream, partition: u32) -> Result<&Arc<Partition>, ReadError> {
        let partitions = match stream {
            Stream::Events => &self.events,
            Stream::Control => &self.control,
        };
        let none = ReadError::NoSuchPartition { stream, partition, partitions: partitions.len() as u32 };
        partitions.get(partition as usize).ok_or(none)
    }

    pub(super) async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        self.partition(stream, partition)?;
        let Bounds { first, .. } = self.watermarks.ask(stream, partition).await?;
        // A broker that has just become leader may not know yet what its predecessor acknowledged.
        Ok(Bounds { first, end: self.ends.get(stream, partition)? })
    }

    pub(super) async fn read(
        &self,
        stream: Stream,
        number: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let partition = self.partition(stream, number)?;
        if let Some(chunk) = self.ready(partition, from, max_bytes)? {
            return Ok(chunk);
        }
        if from >= self.ends.get(stream, number)? {
            let Bounds { first, end } = self.watermarks.ask(stream, number).await?;
            if from < first || from > end {
                return Err(ReadError::OutOfRange { stream, partition: number, from, first, end });
            }
            if from == end {
                return Ok(Chunk::empty(from));
            }
        }
        self.fetch(partition, from, max_bytes).await
    }

    /// What a slot has at `from`, if one stands there.
    fn ready(&self, partition: &Partition, from: u64, max_bytes: usize) -> Result<Option<Chunk>, ReadError> {
        match partition.take(from, max_bytes) {
            Some(Ok(chunk)) if !chunk.records.is_empty() => {
                self.ends.raise(partition.stream, partition.number, chunk.next);
                Ok(Some(chunk))
            }
            Some(Err(Stuck::Damaged(what))) => Err(partition.damaged(from, what)),
            // Tried again from the beginning, by whoever goes on.
            Some(Ok(_) | Err(_)) | None => Ok(None),
        }
    }

    /// Reads at an offset where a record is known to be.
    async fn fetch(&self, partition: &Arc<Partition>, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
        let deadline = Instant::now() + 2 * PATIENCE;
        let mut failure = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        loop {
            let mut changed = std::pin::pin!(partition.changed.notified());
            changed.as_mut().enable();
            partition.stand_at(from).await?;
            match partition.take(from, max_bytes) {
                Some(Ok(chunk)) if !chunk.records.is_empty() => {
                    self.ends.raise(partition.stream, partition.number, chunk.next);
                    return Ok(chunk);
                }
                Some(Err(Stuck::Damaged(what))) => return Err(partition.damaged(from, what)),
                Some(Err(Stuck::NotHeld)) => self.check_held(partition, from).await?,
                Some(Err(Stuck::Failed(error))) => failure = error,
                Some(Ok(_)) | None => {}
            }
            if timeout_at(deadline.min(Instant::now() + LOOK), changed).await.is_err() && Instant::now() >= deadline {
                return Err(partition.failed(failure));
            }
        }
    }

    /// A broker refused the offset: either rightly, or it was one that had just become leader.
    async fn check_held(&self, partition: &Partition, from: u64) -> Result<(), ReadError> {
        let Bounds { first, end } = self.watermarks.ask(partition.stream, partition.number).await?;
        if (first..end).contains(&from) {
            return Ok(());
        }
        Err(ReadError::OutOfRange { stream: partition.stream, partition: partition.number, from, first, end })
    }

    /// A broker refused the end as it is known here: records that were acknowledged may be gone.
    async fn check_reached(&self, partition: &Partition, known: u64) -> Result<(), ReadError> {
        let Bounds { first, end } = self.watermarks.ask(partition.stream, partition.number).await?;
        if end >= known {
            return Ok(());
        }
        Err(ReadError::OutOfRange { stream: partition.stream, partition: partition.number, from: known, first, end })
    }

    pub(super) async fn wait_beyond(&self, stream: Stream, number: u32, offset: u64) -> Result<(), ReadError> {
        let partition = self.partition(stream, number)?;
        let mut ends = self.ends.subscribe(stream, number)?;
        let mut ask_at = Instant::now();
        loop {
            let end = *ends.borrow_and_update();
            if end > offset {
                return Ok(());
            }
            if ask_at <= Instant::now() {
                ask_at = Instant::now() + ASK;
                self.watermarks.ask(stream, number).await?;
                continue;
            }
            let mut changed = std::pin::pin!(partition.changed.notified());
            changed.as_mut().enable();
            partition.stand_at(end).await?;
            match partition.take(end, 1) {
                Some(Ok(chunk)) => self.ends.raise(stream, number, chunk.next),
                // Something lies there; a read will tell what.
                Some(Err(Stuck::Damaged(_))) => return Ok(()),
                Some(Err(Stuck::NotHeld)) => self.check_reached(partition, end).await?,
                Some(Err(Stuck::Failed(_))) | None => {}
            }
            tokio::select! {
                _ = ends.wait_for(|now| *now > end) => {}
                () = changed => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

impl Partition {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self, offset: u64, what: String) -> ReadError {
        ReadError::Damaged { stream: self.stream, partition: self.number, offset, what }
    }

    fn failed(&self, error: KafkaError) -> ReadError {
        ReadError::Io { stream: self.stream, partition: self.number, source: Arc::new(error) }
    }

    /// What the slot that serves `from` has, which may be nothing yet; none if no slot serves it. A slot that is stuck is
    /// given up.
    fn take(&self, from: u64, max_bytes: usize) -> Option<Result<Chunk, Stuck>> {
        let mut slots = self.lock();
        // One that has the record already, before one that stands there.
        let serves = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.serves(from));
        let ahead = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.serves(from) && slot.next() > from);
        let number = slots.iter().position(ahead).or_else(|| slots.iter().position(serves))?;
        let taken = slots[number].as_mut()?.take(from, max_bytes, self.buffer);
        if taken.is_err() {
            self.give_up(&mut slots[number]);
        }
        Some(taken)
    }

    fn give_up(&self, slot: &mut Option<Slot>) {
        let Some(slot) = slot.take() else { return };
        if let Err(error) = slot.fetcher.unassign(&self.topic, self.number) {
            tracing::warn!(%error, topic = self.topic, partition = self.number, "a position could not be given up");
        }
    }

    /// Makes sure that a slot serves `from`. The client does it on a thread of its own and waits for it, so do we.
    async fn stand_at(self: &Arc<Self>, from: u64) -> Result<(), ReadError> {
        if self.lock().iter().flatten().any(|slot| slot.serves(from)) {
            return Ok(());
        }
        let partition = Arc::clone(self);
        let stood = tokio::task::spawn_blocking(move || partition.claim(from)).await;
        stood.unwrap_or(Err(KafkaError::Canceled)).map_err(|error| self.failed(error))
    }

    fn claim(&self, from: u64) -> Result<(), KafkaError> {
        let mut slots = self.lock();
        if slots.iter().flatten().any(|slot| slot.serves(from)) {
            return Ok(());
        }
        let number = self.choose(&slots);
        if slots.len() <= number {
            slots.resize_with(number + 1, || None);
        }
        self.give_up(&mut slots[number]);
        let fetcher = self.pool.get(number)?;
        let changed = Arc::clone(&self.changed);
        let queue = fetcher.assign(&self.topic, self.number, from, move || changed.notify_waiters())?;
        slots[number] = Some(Slot::new(fetcher, queue, from));
        counter!("weir_log_positions_taken_total").increment(1);
        gauge!("weir_log_fetchers").set(self.pool.len() as f64);
        Ok(())
    }

    /// The number of the fetcher to read a new position: one that doesn't read this partition, or whose reader rests; one
    /// more; or, when there are enough, the one not read for the longest.
    fn choose(&self, slots: &[Option<Slot>]) -> usize {
        let free = (0..self.pool.len()).find(|number| slots.get(*number).is_none_or(Option::is_none));
        let oldest = || {
            let slots = slots.iter().enumerate().filter_map(|(number, slot)| Some((number, slot.as_ref()?.idle())));
            slots.max_by_key(|(_, idle)| *idle)
        };
        match (free, oldest()) {
            (Some(free), _) => free,
            (None, Some((oldest, idle))) if idle > RESTING || self.pool.len() >= FETCHERS => oldest,
            (None, _) => self.pool.len(),
        }
    }
}

/// Gives up positions that nobody reads any more, for as long as the partitions are there.
fn sweep(partitions: Vec<Weak<Partition>>) {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LEFT / 6);
        loop {
            tick.tick().await;
            let there: Vec<Arc<Partition>> = partitions.iter().filter_map(Weak::upgrade).collect();
            if there.is_empty() {
                return;
            }
            let swept = tokio::task::spawn_blocking(move || {
                for partition in there {
                    let mut slots = partition.lock();
                    for slot in slots.iter_mut().filter(|slot| slot.as_ref().is_some_and(|slot| slot.idle() > LEFT)) {
                        partition.give_up(slot);
                    }
                }
            });
            if swept.await.is_err() {
                return;
            }
        }
    });
}

fn describe() {
    describe_counter!("weir_log_positions_taken_total", "Positions on a partition that a consumer was put to.");
    describe_gauge!("weir_log_partitions_owned", Unit::Count, "Partitions that this process projects.");
    describe_gauge!("weir_log_fetchers", Unit::Count, "Consumers that fetch from the log.");
}
