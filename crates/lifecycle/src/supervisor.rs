//! The tasks of a process, and its end.
//!
//! Invariant: a task that must run for as long as the process does never ends unnoticed. If it ends early, by an
//! error, a panic or for no reason, that is logged once and the whole process stops in order with exit code 1: a
//! restart by whoever supervises the process is the one way of recovery. Restarting single tasks here was rejected,
//! because it would be a second way, and the one less tested.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::Signal;

type BoxError = Box<dyn Error + Send + Sync>;

/// Runs the tasks of a process until a signal, or until one of them ends early.
#[derive(Debug)]
pub struct Supervisor {
    shutdown: CancellationToken,
    deadline: Duration,
    tasks: JoinSet<Result<(), BoxError>>,
    names: BTreeMap<Id, Task>,
    /// A task failed while the process was still starting.
    failed: bool,
}

#[derive(Debug)]
struct Task {
    name: String,
    /// It may end by itself.
    finite: bool,
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code: 0 in order, 1 after a failure or past the deadline, 130 or 143 by a second signal.
    pub code: u8,
    /// The tasks that were still running.
    pub running: Vec<String>,
}

impl Exit {
    /// Ends the process at once, without waiting for threads that are still at work.
    pub fn leave(&self) -> ! {
        std::process::exit(i32::from(self.code))
    }
}

impl Supervisor {
    /// A supervisor whose tasks have `deadline` to end when they are told to.
    pub fn new(deadline: Duration) -> Self {
        let (shutdown, tasks) = (CancellationToken::new(), JoinSet::new());
        Self { shutdown, deadline, tasks, names: BTreeMap::new(), failed: false }
    }

    /// The token that tells every task to end in order. Cancelling it stops the process with exit code 0.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task that runs until the shutdown; ending before is a failure, also without an error.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        self.start(Task { name: name.into(), finite: false }, task);
    }

    /// Starts a task that may end by itself, but not with an error.
    pub fn spawn_finite<F, E>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        self.start(Task { name: name.into(), finite: true }, task);
    }

    fn start<F, E>(&mut self, task: Task, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let handle = self.tasks.spawn(async move { future.await.map_err(Into::into) });
        self.names.insert(handle.id(), task);
    }

    /// Does a part of the start that may take long, such as waiting for somebody who is away; `None` if the process should
    /// end before it is done. [`run`](Self::run) then ends it.
    pub async fn starting<T>(
        &mut self,
        signals: &mut mpsc::UnboundedReceiver<Signal>,
        start: impl Future<Output = T>,
    ) -> Option<T> {
        let mut start = pin!(start);
        tokio::select! {
            biased;
            failed = self.until_shutdown(signals) => {
                self.failed |= failed;
                self.shutdown.cancel();
                None
            }
            started = start.as_mut() => Some(started),
        }
    }

    /// Runs until the process should end: pass [`signals`](crate::signals()), and [`leave`](Exit::leave) with the answer.
    pub async fn run(mut self, mut signals: mpsc::UnboundedReceiver<Signal>) -> Exit {
        let mut failed = self.failed;
        if !self.shutdown.is_cancelled() {
            failed |= self.until_shutdown(&mut signals).await;
            self.shutdown.cancel();
        }
        let mut deadline = pin!(tokio::time::sleep(self.deadline));
        loop {
            tokio::select! {
                biased;
                Some(signal) = signals.recv() => {
                    tracing::warn!(?signal, running = ?self.running(), "second signal, leaving now");
                    return Exit { code: signal.exit_code(), running: self.running() };
                }
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => failed |= self.ended(ended, true),
                    None => return Exit { code: u8::from(failed), running: Vec::new() },
                },
                () = deadline.as_mut() => {
                    tracing::error!(running = ?self.running(), "tasks did not end before the deadline, leaving");
                    return Exit { code: 1, running: self.running() };
                }
            }
        }
    }

    /// Waits for a reason to stop; answers whether it is a failure.
    async fn until_shutdown(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) -> bool {
        loop {
            tokio::select! {
                biased;
                Some(signal) = signals.recv() => {
                    tracing::info!(?signal, "stopping");
                    return false;
                }
                () = self.shutdown.cancelled() => {
                    tracing::info!("stopping");
                    return false;
                }
                Some(ended) = self.tasks.join_next_with_id() => if self.ended(ended, false) {
                    return true;
                },
            }
        }
    }

    /// Takes note of a task's end; answers whether it is a failure, which is then logged.
    fn ended(&mut self, ended: Result<(Id, Result<(), BoxError>), JoinError>, stopping: bool) -> bool {
        let (id, why) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(causes(error.as_ref()))),
            Err(error) => (error.id(), Some("it panicked".to_owned())),
        };
        let Some(task) = self.names.remove(&id) else { return false };
        let why = match why {
            None if stopping || task.finite => return false,
            None => "it ended before the process did".to_owned(),
            Some(why) => why,
        };
        tracing::error!(task = task.name, why, "a task failed, stopping");
        true
    }

    fn running(&self) -> Vec<String> {
        self.names.values().map(|task| task.name.clone()).collect()
    }
}

/// An error and its causes in one line, outermost first.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
