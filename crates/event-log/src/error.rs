//! Errors, sorted by what the caller should do.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use rdkafka::error::KafkaError;
use weir_event::Stream;

/// An error of the layer below, or a [`ReadError`]. One failed commit answers every append in it, so it is shared.
pub type Source = Arc<dyn Error + Send + Sync + 'static>;

/// An append that was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing of the append is on the log, nor will be: it is safe to send it again.
    #[error("nothing was stored")]
    NotStored {
        /// Why.
        #[source]
        source: Cause,
    },
    /// The records may be on the log, or may still come to be there: all of them or none. Over Kafka, which takes each
    /// record by itself, it may also be a part of them. Sending them again may store them twice.
    #[error("the outcome is unknown, the records may have been stored")]
    Unknown {
        /// Why.
        #[source]
        source: Cause,
    },
}

impl AppendError {
    /// Whether the device under the log has no room. The log takes appends again as soon as there is room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.cause(), Cause::DiskFull(_))
    }

    /// Whether more was queued than the log takes on; a retry after a moment is the remedy.
    pub fn is_busy(&self) -> bool {
        matches!(self.cause(), Cause::Busy { .. })
    }

    /// Whether it is certain that nothing was stored.
    pub fn is_determinate(&self) -> bool {
        matches!(self, Self::NotStored { .. })
    }

    /// Why the append failed.
    pub fn cause(&self) -> &Cause {
        match self {
            Self::NotStored { source } | Self::Unknown { source } => source,
        }
    }
}

/// Why an append failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The device has no room.
    #[error("the disk is full")]
    DiskFull(#[source] Source),
    /// More bytes wait to be written than the log takes on.
    #[error("{queued} bytes are waiting to be written, more than the {bound} that may")]
    Busy {
        /// Bytes waiting.
        queued: usize,
        /// The bound on them.
        bound: usize,
    },
    /// Nobody takes records at the moment: no broker answers. A retry after a moment is the remedy.
    #[error("no broker of the log answers")]
    Away,
    /// The log was closed, or the task that writes it has ended.
    #[error("the log is closed")]
    Closed,
    /// A record that the log can't hold.
    #[error("a record of {bytes} bytes; the log holds records up to {limit}")]
    TooLarge {
        /// Bytes of its key and value.
        bytes: usize,
        /// The limit on them.
        limit: usize,
    },
    /// The log is damaged where the records would go.
    #[error("the log is damaged")]
    Damaged(#[source] ReadError),
    /// The layer below failed.
    #[error("writing the log failed")]
    Io(#[source] Source),
    /// [`FaultyLog`](crate::FaultyLog) made it up.
    #[error("a fault made on purpose")]
    Injected,
}

/// A read that failed. No variant is ever answered by leaving records out.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset asked for is not within the partition's bounds (its end is: there the read is empty).
    #[error("{stream} partition {partition} holds offsets from {first} to {end}; {from} was asked for")]
    OutOfRange {
        /// The stream read.
        stream: Stream,
        /// The partition read.
        partition: u32,
        /// The offset asked for.
        from: u64,
        /// The first offset held.
        first: u64,
        /// The first offset not written yet.
        end: u64,
    },
    /// The stream has no such partition.
    #[error("{stream} has {partitions} partitions; {partition} was asked for")]
    NoSuchPartition {
        /// The stream read.
        stream: Stream,
        /// The partition asked for.
        partition: u32,
        /// How many there are, counted from 0.
        partitions: u32,
    },
    /// What lies on the log is not what was written there. Reading on would mean skipping records, so nobody may.
    #[error("{stream} partition {partition} is damaged at offset {offset}: {what}")]
    Damaged {
        /// The stream read.
        stream: Stream,
        /// The partition read.
        partition: u32,
        /// The first offset that can't be read.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// The layer below failed; reading again may help.
    #[error("reading {stream} partition {partition} failed")]
    Io {
        /// The stream read.
        stream: Stream,
        /// The partition read.
        partition: u32,
        /// Why.
        #[source]
        source: Source,
    },
}

/// A log that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The number of partitions can't be.
    #[error("events.v1 can have 1 to {limit} partitions, {asked} were asked for")]
    BadPartitions {
        /// What was asked for.
        asked: u32,
        /// The most that there can be.
        limit: u32,
    },
    /// The log was made with another number of partitions, and that never changes.
    #[error(
        "{}: events.v1 was made with {made} partitions, {asked} were asked for; leave the option out, or copy the log \
         into one with more partitions", path.display()
    )]
    PartitionsDiffer {
        /// The log's file.
        path: PathBuf,
        /// What it was made with.
        made: u32,
        /// What was asked for.
        asked: u32,
    },
    /// A topic isn't there.
    #[error("the topic {topic} doesn't exist: `weir init` makes it")]
    TopicMissing {
        /// The topic's name.
        topic: String,
    },
    /// A topic has another number of partitions than it may have, and more of them would part a key's records.
    #[error("the topic {topic} has {made} partitions, not {asked}: {remedy}")]
    TopicPartitionsDiffer {
        /// The topic's name.
        topic: String,
        /// What it has.
        made: u32,
        /// What it must have.
        asked: u32,
        /// What can be done.
        remedy: String,
    },
    /// A topic whose records would be dropped some day, so that the tables couldn't be made from it again.
    #[error("the topic {topic} {loses} ({setting}={found}), and Weir keeps every record: {remedy}")]
    TopicForgets {
        /// The topic's name.
        topic: String,
        /// What it does with records: compacts them, lets them expire.
        loses: &'static str,
        /// The setting that does it.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What can be done.
        remedy: String,
    },
    /// A topic that acknowledges records which a broker's failure may take away again.
    #[error(
        "the topic {topic} acknowledges records that the failure of one broker may lose ({setting}={found}): {remedy}; \
         or --accept-weak-acks"
    )]
    TopicAcknowledgesWeakly {
        /// The topic's name.
        topic: String,
        /// The setting that does it.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What can be done.
        remedy: String,
    },
    /// A topic that doesn't take records as large as Weir's may be.
    #[error("the topic {topic} takes messages up to {found} bytes, fewer than {least}: {remedy}")]
    TopicTakesLittle {
        /// The topic's name.
        topic: String,
        /// What it takes, in bytes.
        found: u64,
        /// What it has to take.
        least: u64,
        /// What can be done.
        remedy: String,
    },
    /// The brokers don't answer, or refuse.
    #[error("Kafka at {brokers}: {what} failed")]
    Kafka {
        /// `host:port` of the brokers named.
        brokers: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Source,
    },
    /// The file is something else.
    #[error("{}: not a log of Weir: {what}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What tells.
        what: String,
    },
    /// The log was written by a later release.
    #[error("{}: the log has format {found}, this release reads up to {known}", path.display())]
    FormatUnknown {
        /// The log's file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format known.
        known: u32,
    },
    /// The end of a partition is damaged, so nothing can be put after it.
    #[error("{}: the log is damaged", path.display())]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// Where, and what was found.
        #[source]
        source: Source,
    },
    /// The layer below failed.
    #[error("{}: the log could not be opened", path.display())]
    Io {
        /// The log's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
}

impl OpenError {
    /// Whether what was asked for doesn't fit what is there: somebody has to change one of them, and the program exits
    /// with 64.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Damaged { .. } => false,
            Self::Kafka { source, .. } => is_setting(source),
            _ => true,
        }
    }

    /// Whether the log may be opened by trying again: those who hold it don't answer at the moment.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Kafka { source, .. } if !is_setting(source))
    }
}

/// Whether the client of Kafka complains about what it was told rather than about the brokers.
fn is_setting(source: &Source) -> bool {
    let error = source.downcast_ref::<KafkaError>();
    matches!(error, Some(KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)))
}
