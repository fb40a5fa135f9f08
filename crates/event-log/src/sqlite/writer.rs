//! The one task that writes the file.
//!
//! It takes everything that is queued, packs it into record batches, commits them in one transaction and answers every
//! caller. While a commit waits for the disk the next group gathers, so the groups grow with the load and a lone append
//! waits for nobody. A timer that waits for company was rejected: it adds its wait to every append of a quiet log.
//!
//! Invariant: `Ok` is answered after the commit returned, `NotStored` only when the records can't be in the file, not
//! even after a crash. What can't be told is settled: look whether the batch is there, and commit a write that changes
//! nothing. Until that has happened, a commit that failed in its last step may lie whole in the WAL, invisible to the
//! process, and would come back when the WAL is recovered. Only if this fails too, `Unknown` is answered.
//!
//! After any failure the connection is given up, whatever state it is in, and the ends are read from the file again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use metrics::{counter, gauge, histogram};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use weir_event::Stream;

use super::pieces::Piece;
use super::queue::{Place, Queue};
use super::rows::{self, Packed, Row};
use super::schema::{self, Tables};
use crate::ends::Ends;
use crate::{AppendError, Cause, ReadError};

/// A group takes on no more appends once it has this many bytes, so that no commit takes long.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// What the writer is asked to do.
pub(super) enum Task {
    /// Append this.
    Append(Append),
    /// Answer when everything queued before is answered and the file is closed.
    Close(oneshot::Sender<()>),
}

/// An append, and where its answer goes.
pub(super) struct Append {
    pub(super) stream: Stream,
    pub(super) pieces: Vec<Piece>,
    /// Held until the append is answered.
    pub(super) place: Place,
    pub(super) answer: oneshot::Sender<Answer>,
}

pub(super) type Answer = Result<Vec<(u32, u64)>, AppendError>;

/// The ends of the partitions as the file has them.
pub(super) type Tails = BTreeMap<(Stream, u32), u64>;

/// The connection, and the ends that were read from it.
pub(super) struct Link {
    conn: SqliteConnection,
    tails: Tails,
}

/// The state of the task.
pub(super) struct Writer {
    pub(super) options: SqliteConnectOptions,
    pub(super) tables: Arc<Tables>,
    pub(super) ends: Arc<Ends>,
    pub(super) queue: Arc<Queue>,
    /// Closed before the writer's own connection, which is then the last one and leaves no WAL behind.
    pub(super) readers: SqlitePool,
    /// None after a failure.
    pub(super) link: Option<Link>,
    #[cfg(test)]
    pub(super) failpoints: Arc<super::failpoints::Failpoints>,
}

impl Writer {
    /// Serves until it is told to close, or until nobody is left who could ask for anything.
    pub(super) async fn run(mut self, mut tasks: UnboundedReceiver<Task>) {
        let mut closed = None;
        while let Some(task) = tasks.recv().await {
            let (group, flow) = gather(task, &mut tasks);
            if !group.is_empty() {
                self.serve(group).await;
            }
            if let ControlFlow::Break(answer) = flow {
                closed = Some(answer);
                break;
            }
        }
        tasks.close();
        while let Ok(task) = tasks.try_recv() {
            if let Task::Append(append) = task {
                append.answer.send(Err(AppendError::NotStored { source: Cause::Closed })).ok();
            }
        }
        self.readers.close().await;
        if let Some(link) = self.link.take() {
            give_up(link.conn).await;
        }
        if let Some(answer) = closed {
            answer.send(()).ok();
        }
    }

    /// Commits a group and answers it. A caller that is gone is no reason to stop.
    async fn serve(&mut self, group: Vec<Append>) {
        gauge!("weir_log_queued_bytes").set(self.queue.held() as f64);
        let begun = Instant::now();
        match self.store(&group).await {
            Ok(answers) => {
                histogram!("weir_log_commit_seconds").record(begun.elapsed().as_secs_f64());
                for (append, answer) in group.into_iter().zip(answers) {
                    append.answer.send(Ok(answer)).ok();
                }
            }
            Err(error) => {
                let outcome = if error.is_determinate() { "not_stored" } else { "unknown" };
                counter!("weir_log_commits_failed_total", "outcome" => outcome).increment(1);
                for append in group {
                    append.answer.send(Err(error.clone())).ok();
                }
            }
        }
        gauge!("weir_log_queued_bytes").set(self.queue.held() as f64);
    }

    /// Writes a group in one transaction. Answers what each of its appends is to be told.
    async fn store(&mut self, group: &[Append]) -> Result<Vec<Vec<(u32, u64)>>, AppendError> {
        let Link { mut conn, tails } = match self.link.take() {
            Some(link) => link,
            None => self.connect().await.map_err(|source| AppendError::NotStored { source })?,
        };
        let appends = group.iter().map(|append| (append.stream, append.pieces.as_slice()));
        let Packed { mut rows, answers, tails } = rows::pack(appends, tails);
        measure(&rows);
        if let Err(error) = self.insert(&mut conn, &mut rows).await {
            give_up(conn).await;
            return Err(AppendError::NotStored { source: cause(error) });
        }
        self.link = match self.end_transaction(&mut conn, "COMMIT").await {
            Ok(()) => Some(Link { conn, tails }),
            Err(error) => {
                give_up(conn).await;
                // For want of room SQLite gives up before it writes the mark that makes the transaction count.
                if schema::is_full(&error) {
                    return Err(AppendError::NotStored { source: cause(error) });
                }
                Some(self.settle(&rows, cause(error)).await?)
            }
        };
        self.announce();
        Ok(answers)
    }

    /// Everything of a transaction but its end.
    async fn insert(&self, conn: &mut SqliteConnection, rows: &mut [Row]) -> Result<(), sqlx::Error> {
        #[cfg(test)]
        self.failpoints.limit_pages(conn).await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
        for row in rows {
            let table = &self.tables.of(row.stream)[row.partition as usize];
            sqlx::query(table.insert.clone())
                .bind(row.first as i64)
                .bind(row.count)
                .bind(row.checksum)
                .bind(std::mem::take(&mut row.bytes))
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }

    async fn end_transaction(&self, conn: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        #[cfg(test)]
        return self.failpoints.run(conn, sql).await;
        #[cfg(not(test))]
        sqlx::query(sql).execute(conn).await.map(drop)
    }

    /// Finds out whether a commit that failed has happened, and makes that final.
    ///
    /// # Errors
    /// It has not, or that can't be told.
    async fn settle(&mut self, rows: &[Row], source: Cause) -> Result<Link, AppendError> {
        tracing::warn!(error = %source, "a commit of the log failed in its last step; finding out whether it happened");
        let unknown = |source| AppendError::Unknown { source };
        let Ok(mut link) = self.connect().await else { return Err(unknown(source)) };
        let happened = self.is_there(&mut link.conn, rows).await;
        match (happened, self.end_transaction(&mut link.conn, schema::SETTLE).await) {
            (Ok(true), Ok(())) => Ok(link),
            (Ok(false), Ok(())) => {
                self.link = Some(link);
                Err(AppendError::NotStored { source })
            }
            _ => {
                give_up(link.conn).await;
                Err(unknown(source))
            }
        }
    }

    /// Whether the rows, all or none of which are in the file, are.
    async fn is_there(&self, conn: &mut SqliteConnection, rows: &[Row]) -> Result<bool, sqlx::Error> {
        let Some(row) = rows.first() else { return Ok(true) };
        let table = &self.tables.of(row.stream)[row.partition as usize];
        let found: Option<(i64, i64)> =
            sqlx::query_as(table.find.clone()).bind(row.first as i64).fetch_optional(conn).await?;
        Ok(found == Some((i64::from(row.count), i64::from(row.checksum))))
    }

    /// Opens the file and reads the ends. They can't lie before those announced.
    async fn connect(&self) -> Result<Link, Cause> {
        let mut conn = self.options.connect().await.map_err(cause)?;
        let tails = tails(&mut conn, &self.tables).await.map_err(Cause::Damaged)?;
        for (&(stream, partition), &tail) in &tails {
            let announced = self.ends.get(stream, partition).map_err(Cause::Damaged)?;
            if tail < announced {
                let what = format!("the file ends there, but {announced} was acknowledged");
                return Err(Cause::Damaged(ReadError::Damaged { stream, partition, offset: tail, what }));
            }
        }
        Ok(Link { conn, tails })
    }

    /// Tells readers how far the file reaches.
    pub(super) fn announce(&self) {
        for (&(stream, partition), &tail) in self.link.iter().flat_map(|link| &link.tails) {
            self.ends.raise(stream, partition, tail);
        }
    }
}

impl Link {
    /// Reads the ends over a connection just opened.
    ///
    /// # Errors
    /// The last batch of a partition is damaged, or can't be read.
    pub(super) async fn over(mut conn: SqliteConnection, tables: &Tables) -> Result<Self, ReadError> {
        let tails = tails(&mut conn, tables).await?;
        Ok(Self { conn, tails })
    }
}

async fn tails(conn: &mut SqliteConnection, tables: &Tables) -> Result<Tails, ReadError> {
    let mut tails = Tails::new();
    for table in tables.all() {
        tails.insert((table.stream, table.partition), schema::tail(conn, table).await?);
    }
    Ok(tails)
}

/// The first task with all that wait behind it, up to the size of a group.
fn gather(first: Task, tasks: &mut UnboundedReceiver<Task>) -> (Vec<Append>, ControlFlow<oneshot::Sender<()>>) {
    let (mut group, mut bytes) = (Vec::new(), 0);
    let mut task = Some(first);
    while let Some(next) = task {
        match next {
            Task::Close(answer) => return (group, ControlFlow::Break(answer)),
            Task::Append(append) => {
                bytes += append.place.bytes();
                group.push(append);
            }
        }
        task = if bytes < GROUP_BYTES { tasks.try_recv().ok() } else { None };
    }
    (group, ControlFlow::Continue(()))
}

/// Closes a connection; what it had begun is rolled back by that.
async fn give_up(conn: SqliteConnection) {
    if let Err(error) = conn.close().await {
        tracing::warn!(%error, "closing the log's connection failed");
    }
}

fn measure(rows: &[Row]) {
    let (records, bytes) =
        rows.iter().fold((0, 0), |(records, bytes), row| (records + u64::from(row.count), bytes + row.bytes.len()));
    histogram!("weir_log_commit_records").record(records as f64);
    histogram!("weir_log_commit_bytes").record(bytes as f64);
}

fn cause(error: sqlx::Error) -> Cause {
    if schema::is_room(&error) { Cause::DiskFull(Arc::new(error)) } else { Cause::Io(Arc::new(error)) }
}
