//! The log in a file of SQLite.
//!
//! The file is the log's own: were the tables in it too, their commits would stall appends. One writer task owns the
//! connection that writes; reads go through a few connections that can't.

mod blob;
#[cfg(test)]
mod failpoints;
mod link;
mod pieces;
mod reader;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use metrics::counter;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::sync::{mpsc, oneshot};
use weir_event::Stream;

use self::link::Link;
use self::schema::Tables;
use self::writer::{Append, Task, Writer};
use crate::ends::Ends;
use crate::queue::Queue;
use crate::sharing::Alone;
use crate::{
    AppendError, Bounds, Cause, Chunk, LogAppender, LogReader, OpenError, OpenOptions, ReadError, Record, Share,
    Sharing, Source,
};

/// A log in a file, durable and for one process at a time.
///
/// Nothing here stops a second process from opening the file: whoever opens a directory locks it. (Two writers would
/// find each other out, since a batch's first offset is unique, and one of them would be told `NotStored`.)
#[derive(Debug)]
pub struct SqliteLog {
    ends: Arc<Ends>,
    tables: Arc<Tables>,
    readers: SqlitePool,
    queue: Arc<Queue>,
    tasks: mpsc::UnboundedSender<Task>,
}

/// What tests turn.
#[derive(Debug)]
struct Settings {
    /// The bound on bytes that wait to be written.
    queue_bytes: usize,
    /// Pages in the WAL before they are moved into the file.
    wal_pages: u32,
    #[cfg(test)]
    failpoints: Arc<failpoints::Failpoints>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_bytes: 64 * 1024 * 1024,
            wal_pages: 4_000,
            #[cfg(test)]
            failpoints: Arc::default(),
        }
    }
}

/// Connections that read: the projections' scans and whoever follows `control.v1`.
const READERS: u32 = 6;

impl SqliteLog {
    /// Opens the log in this file; one that doesn't exist is made. Its directory must be there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(path, options, Settings::default()).await
    }

    async fn open_with(path: &Path, options: OpenOptions, settings: Settings) -> Result<Self, OpenError> {
        let failed = |source| schema::open_error(path, source);
        // The writer opens the file again after a failure, wherever the process stands by then.
        let absolute = std::path::absolute(path).map_err(|source| failed(sqlx::Error::Io(source)))?;
        let path = absolute.as_path();
        check_wal(path).await?;
        let writing = schema::writer_options(path, settings.wal_pages);
        let mut conn = writing.connect().await.map_err(failed)?;
        let tables = Arc::new(schema::prepare(&mut conn, path, options.partitions).await?);
        let link = Link::over(conn, &tables).await.map_err(|source| open_error(path, source))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(schema::reader_options(path));
        let ends = Arc::new(Ends::new(tables.partitions()));
        let queue = Queue::new(settings.queue_bytes);
        let mut writer = Writer {
            options: writing,
            tables: Arc::clone(&tables),
            ends: Arc::clone(&ends),
            queue: Arc::clone(&queue),
            readers: readers.clone(),
            link: None,
            #[cfg(test)]
            failpoints: settings.failpoints,
        };
        writer.keep(link);
        let (tasks, received) = mpsc::unbounded_channel();
        tokio::spawn(writer.run(received));
        Ok(Self { ends, tables, readers, queue, tasks })
    }
}

async fn check_wal(path: &Path) -> Result<(), OpenError> {
    let log = path.to_owned();
    let io = |source: Source| OpenError::Io { path: path.to_owned(), source };
    let checked = tokio::task::spawn_blocking(move || wal::check(&log)).await;
    let found = checked.map_err(|source| io(Arc::new(source)))?.map_err(|source| io(Arc::new(source)))?;
    found.map_err(|source| OpenError::Damaged { path: path.to_owned(), source: Arc::new(source) })
}

fn open_error(path: &Path, source: ReadError) -> OpenError {
    let path = path.to_owned();
    match source {
        ReadError::Io { source, .. } => OpenError::Io { path, source },
        source => OpenError::Damaged { path, source: Arc::new(source) },
    }
}

#[async_trait]
impl LogAppender for SqliteLog {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let not_stored = |source| AppendError::NotStored { source };
        let pieces = pieces::encode(&records, self.ends.partitions(stream)).map_err(not_stored)?;
        drop(records);
        let bytes = pieces.iter().map(|piece| piece.bytes.len()).sum();
        let place = self.queue.enter(bytes).map_err(|full| {
            counter!("weir_log_appends_refused_total").increment(1);
            not_stored(full)
        })?;
        let (answer, answered) = oneshot::channel();
        let task = Task::Append(Append { stream, pieces, place, answer });
        self.tasks.send(task).map_err(|_| not_stored(Cause::Closed))?;
        // Without an answer the writer is gone in the middle of its work.
        answered.await.unwrap_or(Err(AppendError::Unknown { source: Cause::Closed }))
    }

    async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.tasks.send(Task::Close(answer)).is_ok() {
            answered.await.ok();
        }
    }
}

#[async_trait]
impl LogReader for SqliteLog {
    fn partitions(&self, stream: Stream) -> u32 {
        self.ends.partitions(stream)
    }

    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        Ok(Bounds { first: 0, end: self.ends.get(stream, partition)? })
    }

    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
        let end = self.ends.get(stream, partition)?;
        match from.cmp(&end) {
            std::cmp::Ordering::Greater => Err(ReadError::OutOfRange { stream, partition, from, first: 0, end }),
            std::cmp::Ordering::Equal => Ok(Chunk::empty(from)),
            std::cmp::Ordering::Less => {
                let table = &self.tables.of(stream)[partition as usize];
                reader::read(&self.readers, table, from, end, max_bytes).await
            }
        }
    }

    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> {
        self.ends.beyond(stream, partition, offset).await
    }
}

#[async_trait]
impl Sharing for SqliteLog {
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError> {
        Ok(Alone::of(self.ends.partitions(Stream::Events)))
    }
}
