//! The tasks that fill one generation: each projection on each partition that this process owns.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_event_log::{EventLog, Share};
use weir_store::{Generation, Store, StoreError};

use crate::control::Control;
use crate::error::FoldError;
use crate::held_up::{HeldUp, Line};
use crate::membership::Membership;
use crate::timeline::Timeline;

/// How long a projection that was held up waits before it tries again: twice as long each time, up to a limit.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a projection that reached a hold waits before it tries to go on.
const HELD_PAUSE: Duration = Duration::from_millis(50);
/// A projection that finds nothing to do for so long is held up by nothing.
const IDLE: Duration = Duration::from_secs(1);

/// What every task needs.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) share: Arc<dyn Share>,
    /// This process, in the fences of its batches.
    pub(crate) owner: Uuid,
    /// What of it is held up.
    pub(crate) held_up: Arc<HeldUp>,
}

/// The tasks of one generation.
pub(crate) struct Runner {
    pub(crate) generation: Arc<dyn Generation>,
    work: Work,
    tasks: JoinSet<Result<(), FoldError>>,
    owned: BTreeMap<u32, CancellationToken>,
    stop: CancellationToken,
}

impl Runner {
    /// A runner without any partition.
    pub(crate) fn new(work: &Work, generation: Arc<dyn Generation>) -> Self {
        let (tasks, owned, stop) = (JoinSet::new(), BTreeMap::new(), CancellationToken::new());
        Self { generation, work: work.clone(), tasks, owned, stop }
    }

    /// Starts every projection on the partitions that came, and lets those that went finish their batch. `control.v1`
    /// goes with the first partition.
    pub(crate) fn own(&mut self, partitions: &BTreeSet<u32>) {
        self.owned.retain(|partition, token| {
            let kept = partitions.contains(partition);
            if !kept {
                token.cancel();
            }
            kept
        });
        for &partition in partitions {
            if self.owned.contains_key(&partition) {
                continue;
            }
            let token = self.stop.child_token();
            self.owned.insert(partition, token.clone());
            self.take(partition, &token);
        }
    }

    fn take(&mut self, partition: u32, token: &CancellationToken) {
        let Work { log, store, share, owner, held_up } = self.work.clone();
        let line = |projection| Line::new(&held_up, self.generation.id(), partition, projection);
        let (held, kept, tables) = (log.clone(), store.clone(), self.generation.clone());
        let membership = move || Membership::take_over(held.clone(), kept.clone(), tables.clone(), partition, owner);
        self.tasks.spawn(keep_on(token.clone(), share.clone(), line(Membership::NAME), membership));
        let (held, kept, tables) = (log.clone(), store, self.generation.clone());
        let timeline = move || Timeline::take_over(held.clone(), kept.clone(), tables.clone(), partition, owner);
        self.tasks.spawn(keep_on(token.clone(), share.clone(), line(Timeline::NAME), timeline));
        if partition == 0 {
            let tables = self.generation.clone();
            let control = move || Control::take_over(log.clone(), tables.clone(), owner);
            self.tasks.spawn(keep_on(token.clone(), share, line(Control::NAME), control));
        }
    }

    /// Lets each task finish its batch, and waits until all have ended.
    pub(crate) async fn stop(mut self) -> Result<(), FoldError> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            settle(ended)?;
        }
        Ok(())
    }

    /// Waits for a task to fail; one that is stopped doesn't.
    pub(crate) async fn failed(&mut self) -> FoldError {
        loop {
            match self.tasks.join_next().await.map(settle) {
                Some(Err(error)) => return error,
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }
}

fn settle(ended: Result<Result<(), FoldError>, JoinError>) -> Result<(), FoldError> {
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

/// What a task comes to. One that was cancelled was so because the runtime ends, and with it whoever waits here.
pub(crate) async fn joined<T>(task: impl Future<Output = Result<T, JoinError>>) -> T {
    match task.await {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

/// How far a projection may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// The first offset that it may not take in.
    pub(crate) offset: u64,
}

/// As far as the log goes.
pub(crate) const UNLIMITED: Until = Until { offset: u64::MAX };

impl Until {
    /// Waits a moment where the limit is reached, and then lifts it: whether the hold has ended is seen by going on.
    pub(crate) async fn passed(&mut self, next: u64) {
        if next >= self.offset {
            tokio::time::sleep(HELD_PAUSE).await;
            *self = UNLIMITED;
        }
    }
}

/// A projection on a partition that it has taken over.
pub(crate) trait Owned: Send {
    /// What it is called in logs and metrics.
    const NAME: &'static str;
    /// Sets how far it may go.
    fn stop_at(&mut self, until: Until);
    /// Returns when there is something to do, and fails with what is under way. May be dropped at any time.
    fn wait(&mut self) -> impl Future<Output = Result<(), FoldError>> + Send;
    /// Does it: one batch, one transaction, which may still be under way when this returns. Never dropped half way.
    fn work(&mut self) -> impl Future<Output = Result<(), FoldError>> + Send;
    /// Waits until nothing is under way any more. Never dropped half way, so that whoever stops a task knows that.
    fn settle(&mut self) -> impl Future<Output = Result<(), FoldError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Takes a partition over and works until it is stopped. After an error that may pass everything in memory is thrown
/// away and the partition taken over anew at the offset that the tables say: whether a commit whose answer was lost did
/// happen is settled by that.
async fn keep_on<P, T>(
    stop: CancellationToken,
    share: Arc<dyn Share>,
    line: Line,
    mut take_over: impl FnMut() -> T,
) -> Result<(), FoldError>
where
    P: Owned,
    T: Future<Output = Result<P, FoldError>>,
{
    let (mut pause, mut until) = (FIRST_PAUSE, UNLIMITED);
    while !stop.is_cancelled() {
        let error = match take_over().await {
            Ok(mut owned) => {
                owned.stop_at(until);
                let ended = work_until(&stop, &mut owned, &mut pause, &line).await;
                match ended.and(owned.settle().await) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        until = UNLIMITED;
        match &error {
            FoldError::Store(StoreError::Held { at, .. }) => {
                until = Until { offset: *at };
                continue;
            }
            // Another process owns the partition. Either this one was told, or it was stopped for so long that it was
            // given up without knowing: then it may claim nothing before it is a member again.
            FoldError::Store(StoreError::Fenced { .. }) => {
                line.goes_on();
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = confirmed(share.as_ref()) => {}
                }
            }
            // This task is stopped soon, unless somebody took a table away from tables that are read.
            FoldError::Store(StoreError::NoGeneration(_)) => line.held_up(&error),
            error if error.may_pass() => {
                let cause = weir_lifecycle::causes(error);
                tracing::warn!(projection = P::NAME, error = cause, "a projection is held up; it goes on by itself");
                line.held_up(error);
            }
            _ => return Err(error),
        }
        metrics::counter!("weir_projector_held_up_total", "projection" => P::NAME).increment(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
    Ok(())
}

/// Returns when the process is known to be among those who share the partitions.
async fn confirmed(share: &dyn Share) {
    let mut pause = FIRST_PAUSE;
    while !share.confirm().await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Works until it is stopped or fails. Once it is known to go on, the next pause is a short one again: after two batches,
/// since the first may still be under way when it returns, or when there is nothing to do.
async fn work_until(
    stop: &CancellationToken,
    owned: &mut impl Owned,
    pause: &mut Duration,
    line: &Line,
) -> Result<(), FoldError> {
    let (mut worked, mut goes_on) = (false, false);
    loop {
        let idle = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            waited = owned.wait() => waited.map(|()| false)?,
            () = tokio::time::sleep(IDLE), if !goes_on => true,
        };
        if idle {
            owned.settle().await?;
        } else {
            owned.work().await?;
        }
        if !goes_on && (idle || worked) {
            (*pause, goes_on) = (FIRST_PAUSE, true);
            line.goes_on();
        }
        worked = true;
    }
}
