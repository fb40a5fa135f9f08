//! The tasks that fill one generation: each projection on each partition.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_event::Stream;
use weir_event_log::EventLog;
use weir_store::{Generation, Store, StoreError};

use crate::control::Control;
use crate::error::FoldError;
use crate::membership::Membership;
use crate::timeline::Timeline;

/// How long a projection that was held up waits before it tries again: twice as long each time, up to a limit.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The tasks of one generation.
pub(crate) struct Runner {
    pub(crate) generation: Arc<dyn Generation>,
    tasks: JoinSet<Result<(), FoldError>>,
    stop: CancellationToken,
}

impl Runner {
    /// Starts every projection on every partition.
    pub(crate) fn start(log: &Arc<dyn EventLog>, store: &Arc<dyn Store>, generation: Arc<dyn Generation>) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (held, tables) = (log.clone(), generation.clone());
        tasks.spawn(keep_on(stop.clone(), move || Control::take_over(held.clone(), tables.clone())));
        for partition in 0..log.partitions(Stream::Events) {
            let (held, tables) = (log.clone(), generation.clone());
            let take_over = move || Membership::take_over(held.clone(), tables.clone(), partition);
            tasks.spawn(keep_on(stop.clone(), take_over));
            let (held, kept, tables) = (log.clone(), store.clone(), generation.clone());
            let take_over = move || Timeline::take_over(held.clone(), kept.clone(), tables.clone(), partition);
            tasks.spawn(keep_on(stop.clone(), take_over));
        }
        Self { generation, tasks, stop }
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

fn settle(ended: Result<Result<(), FoldError>, tokio::task::JoinError>) -> Result<(), FoldError> {
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

/// A projection on a partition that it has taken over.
pub(crate) trait Owned: Send {
    /// What it is called in logs and metrics.
    const NAME: &'static str;
    /// Returns when there is something to do. May be dropped at any time.
    fn wait(&mut self) -> impl Future<Output = Result<(), FoldError>> + Send;
    /// Does it: one batch, one transaction. Never dropped half way, so that whoever stops a task knows that nothing of
    /// it is under way any more.
    fn work(&mut self) -> impl Future<Output = Result<(), FoldError>> + Send;
}

/// Takes a partition over and works until it is stopped. After an error that may pass everything in memory is thrown
/// away and the partition taken over anew at the offset that the tables say: whether a commit whose answer was lost did
/// happen is settled by that.
async fn keep_on<P, T>(stop: CancellationToken, mut take_over: impl FnMut() -> T) -> Result<(), FoldError>
where
    P: Owned,
    T: Future<Output = Result<P, FoldError>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match take_over().await {
            Ok(mut owned) => match work_until(&stop, &mut owned, &mut pause).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.may_pass() {
            return Err(error);
        }
        if !matches!(error, FoldError::Store(StoreError::Fenced { .. })) {
            let cause = weir_lifecycle::causes(&error);
            tracing::warn!(projection = P::NAME, error = cause, "a projection is held up; it goes on by itself");
        }
        metrics::counter!("weir_projector_held_up_total", "projection" => P::NAME).increment(1);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Works until it is stopped or fails; whatever succeeds makes the next pause a short one again.
async fn work_until(stop: &CancellationToken, owned: &mut impl Owned, pause: &mut Duration) -> Result<(), FoldError> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            waited = owned.wait() => waited?,
        }
        owned.work().await?;
        *pause = FIRST_PAUSE;
    }
}
