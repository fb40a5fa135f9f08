//! The seam: what a log is, for those who write it and those who read it.

use std::sync::Arc;

use async_trait::async_trait;
use weir_event::{Position, Stream};

use crate::{
    AppendError, Bounds, Chunk, ClientSettings, KafkaLog, LogUrl, MemoryLog, OpenError, ReadError, Record, Sharing,
    SqliteLog,
};

/// The writing side of a log.
#[async_trait]
pub trait LogAppender: Send + Sync + 'static {
    /// Appends `records` to `stream` and returns when they are durable.
    ///
    /// - Each record goes to the partition of its key ([`partition_of`](crate::partition_of)); `control.v1` has one.
    /// - All of them become durable or none (over Kafka a failure may leave a part: see
    ///   [`AppendError::Unknown`]); on each partition they lie in the order given, and, over
    ///   the embedded logs, one after the other.
    /// - Of two appends, one of which was called after the other had answered, the later one's records have the larger
    ///   offsets on every partition that both touch.
    /// - Dropping the future doesn't take the records back: they are stored as if it had been awaited, and what came of it
    ///   nobody is told.
    ///
    /// Answers, for each partition touched and ordered by it, the offset after the append's last record there. Nothing
    /// to append is answered at once with nothing.
    ///
    /// # Errors
    /// [`AppendError::NotStored`] when nothing of it is on the log, [`AppendError::Unknown`] when that can't be told.
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError>;

    /// Takes no more appends, waits until those under way are answered, and lets go of the log. Reads may fail from then
    /// on. For an orderly end: nothing acknowledged depends on it.
    async fn close(&self) {}
}

/// The reading side of a log. Every method may be cancelled by dropping its future.
#[async_trait]
pub trait LogReader: Send + Sync + 'static {
    /// How many partitions the stream has. Fixed when the log is made.
    fn partitions(&self, stream: Stream) -> u32;

    /// How far the partition reaches. The end never goes back, and whatever was acknowledged before the call lies
    /// before it.
    ///
    /// # Errors
    /// [`ReadError::NoSuchPartition`], [`ReadError::Io`].
    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError>;

    /// The records from `from` on: at least one if there is one, and about `max_bytes` at most (a reader must be ready
    /// for several times that, since batches are read whole). At the partition's end the chunk is empty. Only durable
    /// records are seen, and a record seen once is seen by every later read.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] for an offset before the first or after the end; [`ReadError::Damaged`] when what
    /// lies there is not what was written; [`ReadError::NoSuchPartition`]; [`ReadError::Io`].
    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError>;

    /// Returns when the partition has a record at `offset`, at once if it has one: so after a chunk wait for
    /// `chunk.next`, then read from there.
    ///
    /// # Errors
    /// [`ReadError::NoSuchPartition`], [`ReadError::Io`].
    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError>;
}

/// Moves a position on this log to the end that every partition of every stream has now.
///
/// # Errors
/// [`ReadError::Io`].
pub async fn to_end(log: &dyn LogReader, mut position: Position) -> Result<Position, ReadError> {
    for stream in Stream::ALL {
        for partition in 0..log.partitions(stream) {
            position.raise(stream, partition, log.bounds(stream, partition).await?.end);
        }
    }
    Ok(position)
}

/// A log that is written and read, and whose partitions are shared out.
pub trait EventLog: LogAppender + LogReader + Sharing {}

impl<L: LogAppender + LogReader + Sharing + ?Sized> EventLog for L {}

/// What may be said about a log when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Partitions of `events.v1`: for a new log how many it gets (without: 1, over Kafka 8), for one that exists how many
    /// it must have.
    pub partitions: Option<u32>,
    /// Whether topics that don't exist are made (as without it; a service by itself only opens what `weir init` made). A
    /// file and a log in memory are made in any case.
    pub create: bool,
    /// Whether topics are opened that three brokers or more hold, but that acknowledge what only one of them has.
    pub accept_weak_acks: bool,
    /// TLS, SASL and what else the connection to Kafka takes.
    pub client: ClientSettings,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { partitions: None, create: true, accept_weak_acks: false, client: ClientSettings::default() }
    }
}

/// Opens the log that the URL names; one that doesn't exist is made, unless the options say otherwise.
///
/// # Errors
/// See [`OpenError`]: another number of partitions than the log was made with, a file that is no log or is damaged,
/// topics that would lose records, a failure of the system.
pub async fn open(url: &LogUrl, options: OpenOptions) -> Result<Arc<dyn EventLog>, OpenError> {
    match url {
        LogUrl::Memory => Ok(Arc::new(MemoryLog::new(options.partitions.unwrap_or(1))?)),
        LogUrl::Sqlite(path) => Ok(Arc::new(SqliteLog::open(path, options).await?)),
        LogUrl::Kafka { brokers, prefix } => Ok(Arc::new(KafkaLog::open(brokers, prefix, options).await?)),
    }
}
