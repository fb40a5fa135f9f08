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
//! After any failure the connection is given up and the next append opens another: nothing needs a restart.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use weir_event::Stream;

use super::link::Link;
use super::pieces::Piece;
use super::rows::{self, Packed, Row};
use super::schema::{self, Tables};
use crate::ends::Ends;
use crate::queue::{Place, Queue};
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
    /// Says what the metrics are.
    fn describe() {
        describe_histogram!("weir_log_commit_seconds", Unit::Seconds, "Time that a commit of the log took.");
        describe_histogram!("weir_log_commit_records", Unit::Count, "Records in a commit of the log.");
        describe_histogram!(
            "weir_log_commit_bytes",
            Unit::Bytes,
            "Bytes of the record batches in a commit of the log."
        );
        describe_gauge!("weir_log_queued_bytes", Unit::Bytes, "Bytes that wait to be written to the log.");
        describe_counter!("weir_log_commits_failed_total", "Commits of the log that failed, by what is known of them.");
        describe_counter!("weir_log_appends_refused_total", "Appends refused because too much was queued.");
    }

    /// Serves until it is told to close, or until nobody is left who could ask for anything.
    pub(super) async fn run(mut self, mut tasks: UnboundedReceiver<Task>) {
        Self::describe();
        let mut closed = None;
        while let Some(task) = tasks.recv().await {
            // Whoever was just answered may have the next append ready: let them queue it, so that it joins this group.
            tokio::task::yield_now().await;
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
            link.finish().await;
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
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await.map_err(|source| AppendError::NotStored { source })?,
        };
        #[cfg(test)]
        self.failpoints.limit_pages(&mut link.conn).await;
        let appends = group.iter().map(|append| (append.stream, append.pieces.as_slice()));
        let Packed { mut rows, answers, tails } = rows::pack(appends, link.tails.clone());
        measure(&rows);
        if let Err(error) = link.insert(&self.tables, &mut rows, &tails).await {
            link.give_up().await;
            return Err(AppendError::NotStored { source: cause(error) });
        }
        match self.end_transaction(&mut link, "COMMIT").await {
            Ok(()) => {
                link.advance(tails);
                self.keep(link);
                Ok(answers)
            }
            Err(error) => {
                link.give_up().await;
                self.settle(&rows, error).await.map(|()| answers)
            }
        }
    }

    async fn end_transaction(&self, link: &mut Link, sql: &'static str) -> Result<(), sqlx::Error> {
        #[cfg(test)]
        return self.failpoints.run(&mut link.conn, sql).await;
        #[cfg(not(test))]
        sqlx::query(sql).execute(&mut link.conn).await.map(drop)
    }

    /// Finds out whether a commit that failed has happened, and makes that final.
    ///
    /// # Errors
    /// It has not, or that can't be told.
    async fn settle(&mut self, rows: &[Row], error: sqlx::Error) -> Result<(), AppendError> {
        // For want of room SQLite gives up before it writes the mark that makes the transaction count.
        let never = schema::is_full(&error);
        let source = cause(error);
        if never {
            return Err(AppendError::NotStored { source });
        }
        tracing::warn!(error = %source, "a commit of the log failed in its last step; finding out whether it happened");
        let Ok(mut link) = self.connect().await else { return Err(AppendError::Unknown { source }) };
        let happened = match rows.first() {
            Some(row) => link.holds(&self.tables, row).await,
            None => Ok(true),
        };
        match (happened, self.end_transaction(&mut link, schema::SETTLE).await) {
            (Ok(happened), Ok(())) => {
                self.keep(link);
                if happened { Ok(()) } else { Err(AppendError::NotStored { source }) }
            }
            _ => {
                link.give_up().await;
                Err(AppendError::Unknown { source })
            }
        }
    }

    /// Opens the file and reads the ends. They can't lie before those announced.
    async fn connect(&self) -> Result<Link, Cause> {
        let conn = self.options.connect().await.map_err(cause)?;
        let link = Link::over(conn, &self.tables).await.map_err(|error| match error {
            ReadError::Io { source, .. } => Cause::Io(source),
            damaged => Cause::Damaged(damaged),
        })?;
        for (&(stream, partition), &tail) in &link.tails {
            let announced = self.ends.get(stream, partition).map_err(Cause::Damaged)?;
            if tail < announced {
                let what = format!("the file ends there, but {announced} was acknowledged");
                return Err(Cause::Damaged(ReadError::Damaged { stream, partition, offset: tail, what }));
            }
        }
        Ok(link)
    }

    /// Keeps a link whose ends are those of the file, and tells readers how far the file reaches.
    pub(super) fn keep(&mut self, link: Link) {
        for (&(stream, partition), &tail) in &link.tails {
            self.ends.raise(stream, partition, tail);
        }
        self.link = Some(link);
    }
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

fn measure(rows: &[Row]) {
    let (records, bytes) =
        rows.iter().fold((0, 0), |(records, bytes), row| (records + u64::from(row.count), bytes + row.bytes.len()));
    histogram!("weir_log_commit_records").record(records as f64);
    histogram!("weir_log_commit_bytes").record(bytes as f64);
}

fn cause(error: sqlx::Error) -> Cause {
    if schema::is_room(&error) { Cause::DiskFull(Arc::new(error)) } else { Cause::Io(Arc::new(error)) }
}
