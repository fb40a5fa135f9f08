//! The control state, kept up with `control.v1`.
//!
//! Invariant: the state is that of a prefix of the stream, and an outcome is what the fold decided at its offset. A
//! command's answer is looked up there, never guessed from the state: between the append and the look another command
//! may have been folded.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_control::{Outcome, State};
use weir_event::Stream;
use weir_event_log::{Chunk, EventLog, LogReader, ReadError};
use weir_lifecycle::Component;

use crate::writable::Writable;

/// `control.v1` has one partition.
pub(crate) const PARTITION: u32 = 0;
const READ_BYTES: usize = 1_000_000;
const RETRY: Duration = Duration::from_millis(100);
/// How long a request waits for the follower.
const PATIENCE: Duration = Duration::from_secs(10);

/// The follower didn't get there in time; it has said why.
#[derive(Debug, thiserror::Error)]
#[error("control.v1 was not followed to offset {0} in time")]
pub(crate) struct NotFollowed(u64);

/// `control.v1` can't be followed any further; without it no key can be judged, so the process must stop.
#[derive(Debug, thiserror::Error)]
#[error("control.v1 can't be followed")]
pub struct FollowError(#[from] ReadError);

#[derive(Debug)]
pub(crate) struct Control {
    folded: RwLock<Folded>,
    next: watch::Sender<u64>,
    /// How many tickets are out, for who waits for the last one.
    tickets: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Folded {
    state: State,
    /// Commands whose outcome somebody here waits for, or will.
    tickets: usize,
    outcomes: BTreeMap<u64, Outcome>,
}

impl Control {
    /// Folds the stream up to the end that it has now.
    pub(crate) async fn open(log: &dyn LogReader) -> Result<Self, ReadError> {
        let state = read_state(log).await?;
        let next = watch::Sender::new(state.next());
        let folded = RwLock::new(Folded { state, ..Folded::default() });
        Ok(Self { folded, next, tickets: watch::Sender::new(0) })
    }

    /// Asks the state. Nothing may block in `ask`: the fold waits for it.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&State) -> T) -> T {
        ask(&self.shared().state)
    }

    /// Waits until all records below `end` are folded.
    pub(crate) async fn reach(&self, end: u64) -> Result<(), NotFollowed> {
        let mut next = self.next.subscribe();
        let reached = tokio::time::timeout(PATIENCE, next.wait_for(|next| *next >= end)).await;
        if matches!(reached, Ok(Ok(_))) { Ok(()) } else { Err(NotFollowed(end)) }
    }

    /// From now on outcomes are kept, until the ticket is dropped. Take it before the append.
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        let mut folded = self.exclusive();
        folded.tickets += 1;
        self.tickets.send_replace(folded.tickets);
        Ticket(Arc::clone(self))
    }

    /// Waits until nobody waits for a command's outcome.
    async fn unasked(&self) {
        // The sender lives as long as `self`.
        let _ = self.tickets.subscribe().wait_for(|tickets| *tickets == 0).await;
    }

    fn fold(&self, chunk: &Chunk) {
        let mut folded = self.exclusive();
        for record in &chunk.records {
            let outcome = folded.state.evolve(record.offset, &record.value);
            if let Outcome::Poison(reason) = &outcome {
                tracing::warn!(
                    offset = record.offset,
                    reason,
                    "a record of control.v1 can't be read; it is passed over"
                );
            }
            if folded.tickets > 0 {
                folded.outcomes.insert(record.offset, outcome);
            }
        }
        drop(folded);
        self.next.send_replace(chunk.next);
    }

    fn shared(&self) -> RwLockReadGuard<'_, Folded> {
        // The fold never panics, so the state is whole whenever the lock is free.
        self.folded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Folded> {
        self.folded.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to hear the outcome of one command.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Control>);

impl Ticket {
    /// What the fold decided at `offset`, which was appended after the ticket was taken.
    pub(crate) async fn outcome(self, offset: u64) -> Result<Outcome, NotFollowed> {
        self.0.reach(offset.saturating_add(1)).await?;
        self.0.exclusive().outcomes.remove(&offset).ok_or(NotFollowed(offset))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut folded = self.0.exclusive();
        folded.tickets -= 1;
        self.0.tickets.send_replace(folded.tickets);
        if folded.tickets == 0 {
            folded.outcomes.clear();
        }
    }
}

/// The fold of `control.v1` up to the end that it has now.
pub(crate) async fn read_state(log: &dyn LogReader) -> Result<State, ReadError> {
    let bounds = log.bounds(Stream::Control, PARTITION).await?;
    let mut state = State::default();
    let mut next = bounds.first;
    while next < bounds.end {
        let chunk = log.read(Stream::Control, PARTITION, next, READ_BYTES).await?;
        for record in &chunk.records {
            state.evolve(record.offset, &record.value);
        }
        next = chunk.next;
    }
    Ok(state)
}

/// The task that keeps the control state up with the log. Whoever runs the service supervises it.
#[must_use = "without the follower no command is ever answered"]
pub struct Follower {
    pub(crate) control: Arc<Control>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) component: Component,
    pub(crate) writable: Arc<Writable>,
    /// Whether the log takes appends.
    pub(crate) writing: Component,
}

impl Follower {
    /// Follows the stream until `shutdown`, and on until no command under way waits for its outcome. A read that fails for
    /// now is repeated; meanwhile the service isn't ready, nor is it while the log takes no appends.
    ///
    /// # Errors
    /// What no repetition mends, such as damage on the log.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), FollowError> {
        let watched = self.writable.watch(self.log.as_ref(), &self.writing, &shutdown);
        let (followed, ()) = tokio::join!(self.follow(&shutdown), watched);
        followed
    }

    async fn follow(&self, shutdown: &CancellationToken) -> Result<(), FollowError> {
        self.component.ready();
        let last = async {
            shutdown.cancelled().await;
            self.control.unasked().await;
        };
        let mut last = std::pin::pin!(last);
        let mut held_up = false;
        loop {
            let step = async { if held_up { self.catch_up().await } else { self.step().await.map(|()| true) } };
            let step = tokio::select! {
                biased;
                () = last.as_mut() => return Ok(()),
                step = step => step,
            };
            match step {
                Ok(at_the_end) => held_up = !at_the_end,
                Err(error @ ReadError::Io { .. }) => {
                    tracing::warn!(cause = weir_lifecycle::causes(&error), "reading control.v1 failed, trying again");
                    self.component.not_ready("control.v1 can't be read at the moment");
                    held_up = true;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error.into()),
            }
            if !held_up {
                self.component.ready();
            }
        }
    }

    /// After a failure it isn't known how far the stream reaches: waiting for a record would leave that open. Answers
    /// whether everything is folded.
    async fn catch_up(&self) -> Result<bool, ReadError> {
        let end = self.log.bounds(Stream::Control, PARTITION).await?.end;
        let next = *self.control.next.borrow();
        if next >= end {
            return Ok(true);
        }
        let chunk = self.log.read(Stream::Control, PARTITION, next, READ_BYTES).await?;
        self.control.fold(&chunk);
        Ok(chunk.next >= end)
    }

    async fn step(&self) -> Result<(), ReadError> {
        let next = *self.control.next.borrow();
        self.log.wait_beyond(Stream::Control, PARTITION, next).await?;
        let chunk = self.log.read(Stream::Control, PARTITION, next, READ_BYTES).await?;
        self.control.fold(&chunk);
        Ok(())
    }
}
