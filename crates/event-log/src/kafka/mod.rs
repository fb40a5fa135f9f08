//! The log on Kafka: a topic a stream.
//!
//! Two roles are kept apart. *Reading* is done by consumers that nobody coordinates, at explicit offsets; *sharing* by a
//! member of a group that reads nothing. All of Kafka's client that blocks, polls or calls back does so on threads of its
//! own.

mod appender;
mod completion;
mod context;
mod fetcher;
mod member;
mod outstanding;
mod pulse;
mod reader;
mod settings;
mod slot;
mod topics;
mod watermarks;

use std::sync::Arc;

use async_trait::async_trait;
use weir_event::Stream;

use self::appender::Appender;
use self::completion::Stored;
use self::member::Member;
use self::reader::Reader;
use self::settings::Clients;
pub use self::settings::{ClientSettings, ClientSettingsRefused};
use self::topics::Topics;
use crate::ends::Ends;
use crate::{
    AppendError, Bounds, Cause, Chunk, LogAppender, LogReader, OpenError, OpenOptions, ReadError, Record, Share,
    Sharing,
};

/// A log in the topics `PREFIX.events.v1` and `PREFIX.control.v1`, for any number of processes.
pub struct KafkaLog {
    clients: Clients,
    topics: Arc<Topics>,
    ends: Arc<Ends>,
    appender: Arc<Appender>,
    reader: Reader,
}

impl KafkaLog {
    /// Opens the log on the topics with this prefix, and makes them if the options say so.
    ///
    /// # Errors
    /// See [`OpenError`]: topics that aren't there, that would lose records or acknowledge them weakly, or that have
    /// another number of partitions; brokers that don't answer.
    pub async fn open(brokers: &[String], prefix: &str, options: OpenOptions) -> Result<Self, OpenError> {
        let clients = Clients::new(brokers, prefix, options.client.clone());
        let topics = Arc::new(topics::open(&clients, prefix, &options).await?);
        let ends = Arc::new(Ends::new(topics.partitions()));
        let failed = topics::failed(&clients, "starting the client");
        let appender = Appender::start(&clients, &topics, &ends).map_err(&failed)?;
        let reader = Reader::start(&clients, &topics, &ends).map_err(&failed)?;
        Ok(Self { clients, topics, ends, appender, reader })
    }
}

#[async_trait]
impl LogAppender for KafkaLog {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let answered = self.appender.begin(stream, &records)?;
        drop(records);
        let Stored { nexts, unplaced } = self.appender.outcome(answered).await?;
        if unplaced { self.placed_by_the_end(stream, nexts).await } else { Ok(nexts) }
    }

    async fn close(&self) {
        self.appender.outstanding.close().await;
    }
}

impl KafkaLog {
    /// The places of records that are stored, the broker didn't tell where: before the end.
    async fn placed_by_the_end(&self, stream: Stream, nexts: Vec<(u32, u64)>) -> Result<Vec<(u32, u64)>, AppendError> {
        let mut placed = Vec::with_capacity(nexts.len());
        for (partition, next) in nexts {
            let bounds = self.reader.bounds(stream, partition).await;
            let bounds = bounds.map_err(|error| AppendError::Unknown { source: Cause::Io(Arc::new(error)) })?;
            placed.push((partition, next.max(bounds.end)));
        }
        Ok(placed)
    }
}

#[async_trait]
impl LogReader for KafkaLog {
    fn partitions(&self, stream: Stream) -> u32 {
        self.ends.partitions(stream)
    }

    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        self.reader.bounds(stream, partition).await
    }

    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
        self.reader.read(stream, partition, from, max_bytes).await
    }

    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> {
        self.reader.wait_beyond(stream, partition, offset).await
    }
}

#[async_trait]
impl Sharing for KafkaLog {
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError> {
        let member = Member::join(&self.clients, self.topics.name(Stream::Events));
        let failed = |source| ReadError::Io { stream: Stream::Events, partition: 0, source: Arc::new(source) };
        Ok(Arc::new(member.map_err(failed)?))
    }
}
