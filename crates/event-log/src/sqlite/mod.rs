//! stub
use std::path::Path;
use async_trait::async_trait;
use weir_event::Stream;
use crate::{AppendError, Bounds, Chunk, LogAppender, LogReader, OpenError, OpenOptions, ReadError, Record, MemoryLog};
/// A log in a file.
#[derive(Debug)]
pub struct SqliteLog(MemoryLog);
impl SqliteLog {
    /// Opens.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(_path: &Path, options: OpenOptions) -> Result<Self, OpenError> { Ok(Self(MemoryLog::new(options.partitions.unwrap_or(1))?)) }
}
#[async_trait]
impl LogAppender for SqliteLog {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> { self.0.append(stream, records).await }
}
#[async_trait]
impl LogReader for SqliteLog {
    fn partitions(&self, stream: Stream) -> u32 { self.0.partitions(stream) }
    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> { self.0.bounds(stream, partition).await }
    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> { self.0.read(stream, partition, from, max_bytes).await }
    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> { self.0.wait_beyond(stream, partition, offset).await }
}
