//! Which generations there are, and which is read.
//!
//! There is one path that fills tables: a generation is made, filled from the first offset by the same fold as live
//! traffic, and read from the moment that it stands where the one before it stands. A store without a generation that
//! is read gets its first one so; a definition that comes or changes gets the next one, and those that change meanwhile
//! share the one after it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_event::{Clock, Stream};
use weir_event_log::EventLog;
use weir_lifecycle::Component;
use weir_store::{Generation, GenerationId, Progress, Projection, Store};

use crate::definitions::Changes;
use crate::error::FoldError;
use crate::runner::Runner;

/// Records that a new generation may be behind the live one when the live one is asked to pause for it.
const NEARLY: u64 = 2_000;
/// How often others are told where the log ends.
const TELL: Duration = Duration::from_millis(250);
/// Between two tries after an error that may pass.
const RETRY: Duration = Duration::from_millis(500);
/// How old what they were told may get when nothing changes.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Keeps generations.
pub(crate) struct Generations {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) health: Component,
    live: Option<Runner>,
    filling: Option<Filling>,
    changes: Changes,
    told: Option<Told>,
}

/// What others were told last, and when.
struct Told {
    ends: Vec<(Stream, u32, u64)>,
    at: Instant,
}

/// A generation on its way.
struct Filling {
    runner: Runner,
    /// Where it must stand to be read, if there is no live one to catch up with: the log's end when it was begun.
    goal: Vec<Progress>,
}

impl Generations {
    pub(crate) fn new(log: Arc<dyn EventLog>, store: Arc<dyn Store>, clock: Clock, health: Component) -> Self {
        let changes = Changes::new(log.clone());
        Self { log, store, clock, health, live: None, filling: None, changes, told: None }
    }

    /// Runs until stopped; then every task has finished its batch.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), FoldError> {
        let ended = self.run_until(&stop).await;
        for runner in self.live.take().into_iter().chain(self.filling.take().map(|filling| filling.runner)) {
            runner.stop().await?;
        }
        ended
    }

    /// An error that may pass (a full disk, a store that is busy) holds generations up and is tried again.
    async fn run_until(&mut self, stop: &CancellationToken) -> Result<(), FoldError> {
        let mut resumed = false;
        loop {
            let error = match self.keep(stop, &mut resumed).await {
                Ok(()) => return Ok(()),
                Err(error) if error.may_pass() => error,
                Err(error) => return Err(error),
            };
            tracing::warn!(error = weir_lifecycle::causes(&error), "generations are held up; it is tried again");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn keep(&mut self, stop: &CancellationToken, resumed: &mut bool) -> Result<(), FoldError> {
        if !*resumed {
            self.resume().await?;
            *resumed = true;
        }
        let mut changed = self.store.changes();
        let mut tell = tokio::time::interval(TELL);
        tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let control_end = self.changes.catch_up().await?;
            if self.filling.is_none() {
                self.begin_if_needed(control_end).await?;
            }
            changed.mark_unchanged();
            if self.filling.is_some() && self.switch_if_ready().await? {
                continue;
            }
            let control = self.log.wait_beyond(Stream::Control, 0, control_end);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                error = failed(&mut self.live, &mut self.filling) => return Err(error),
                waited = control => waited?,
                _ = changed.changed(), if self.filling.is_some() => {}
                _ = tell.tick() => self.tell_ends().await?,
            }
        }
    }

    /// Goes on where the store was left.
    async fn resume(&mut self) -> Result<(), FoldError> {
        if self.live.is_some() || self.filling.is_some() {
            return Ok(());
        }
        for info in self.store.generations().await? {
            let generation = self.store.generation(info.id).await?;
            if info.live {
                self.live = Some(Runner::start(&self.log, &self.store, generation));
                self.health.ready();
            } else if self.filling.is_none() {
                self.fill(generation).await?;
            } else {
                self.store.remove(info.id).await?;
            }
        }
        Ok(())
    }

    async fn begin_if_needed(&mut self, control_end: u64) -> Result<(), FoldError> {
        let needed = match &self.live {
            None => true,
            Some(live) => self.changes.newest().is_some_and(|newest| newest >= live.generation.bound()),
        };
        if needed {
            let id = self.store.create(control_end, self.clock.now().micros()).await?;
            tracing::info!(generation = id.0, bound = control_end, "filling a generation");
            let generation = self.store.generation(id).await?;
            self.fill(generation).await?;
        }
        Ok(())
    }

    async fn fill(&mut self, generation: Arc<dyn Generation>) -> Result<(), FoldError> {
        let mut goal = Vec::new();
        for projection in Projection::ALL {
            for partition in 0..self.log.partitions(projection.stream()) {
                let next = self.log.bounds(projection.stream(), partition).await?.end;
                goal.push(Progress { projection, partition, next, newest_receipt: None });
            }
        }
        if self.live.is_none() {
            self.health.not_ready("the tables are being rebuilt from the log; /api/status shows the progress");
        }
        let runner = Runner::start(&self.log, &self.store, generation);
        self.filling = Some(Filling { runner, goal });
        Ok(())
    }

    /// Makes the generation on its way the one that is read, once it has come far enough. Answers whether it did.
    async fn switch_if_ready(&mut self) -> Result<bool, FoldError> {
        let Some(filling) = &self.filling else { return Ok(false) };
        let next = filling.runner.generation.clone();
        let goal = match &self.live {
            None => filling.goal.clone(),
            Some(live) => live.generation.progress().await?,
        };
        let behind = distance(&next.progress().await?, &goal);
        if behind > if self.live.is_some() { NEARLY } else { 0 } {
            return Ok(false);
        }
        let Some(live) = self.live.take() else {
            self.promote(next.id(), None).await?;
            return Ok(true);
        };
        // The live one pauses where it stands, the new one comes there, and nothing is missed in between.
        let left = live.generation.clone();
        live.stop().await?;
        if let Err(error) = self.hand_over(&left, &next).await {
            self.live = Some(Runner::start(&self.log, &self.store, left));
            return Err(error);
        }
        Ok(true)
    }

    async fn hand_over(&mut self, left: &Arc<dyn Generation>, next: &Arc<dyn Generation>) -> Result<(), FoldError> {
        let goal = left.progress().await?;
        self.reach(next, &goal).await?;
        self.promote(next.id(), Some(left.id())).await
    }

    /// Waits until the generation on its way stands at the goal or behind it.
    async fn reach(&mut self, generation: &Arc<dyn Generation>, goal: &[Progress]) -> Result<(), FoldError> {
        let mut changed = self.store.changes();
        loop {
            changed.mark_unchanged();
            if distance(&generation.progress().await?, goal) == 0 {
                return Ok(());
            }
            tokio::select! {
                error = failed(&mut self.live, &mut self.filling) => return Err(error),
                _ = changed.changed() => {}
            }
        }
    }

    async fn promote(&mut self, id: GenerationId, before: Option<GenerationId>) -> Result<(), FoldError> {
        self.store.promote(id).await?;
        self.live = self.filling.take().map(|filling| filling.runner);
        self.health.ready();
        tracing::info!(generation = id.0, "a generation is complete and is read from now on");
        if let Some(before) = before
            && let Err(error) = self.store.remove(before).await
        {
            // It is in nobody's way; the next start deletes it.
            tracing::warn!(generation = before.0, error = weir_lifecycle::causes(&error), "can't delete a generation");
        }
        Ok(())
    }

    /// Tells those who don't see the log where it ends.
    async fn tell_ends(&mut self) -> Result<(), FoldError> {
        let mut ends = Vec::new();
        for stream in Stream::ALL {
            for partition in 0..self.log.partitions(stream) {
                ends.push((stream, partition, self.log.bounds(stream, partition).await?.end));
            }
        }
        if self.told.as_ref().is_none_or(|told| told.ends != ends || told.at.elapsed() >= TELL_AGAIN) {
            if let Err(error) = self.store.tell_ends(&ends, self.clock.now().micros()).await {
                // Lag is shown as unknown until it succeeds; nothing depends on it.
                tracing::warn!(error = weir_lifecycle::causes(&error), "can't tell others where the log ends");
                return Ok(());
            }
            self.told = Some(Told { ends, at: Instant::now() });
        }
        Ok(())
    }
}

/// Waits for a task of any generation to fail.
async fn failed(live: &mut Option<Runner>, filling: &mut Option<Filling>) -> FoldError {
    let of = async |runner: Option<&mut Runner>| match runner {
        Some(runner) => runner.failed().await,
        None => std::future::pending().await,
    };
    tokio::select! {
        error = of(live.as_mut()) => error,
        error = of(filling.as_mut().map(|filling| &mut filling.runner)) => error,
    }
}

/// How many records a generation is behind a goal, over all projections and partitions.
fn distance(progress: &[Progress], goal: &[Progress]) -> u64 {
    let at = |goal: &Progress| {
        progress.iter().find(|p| (p.projection, p.partition) == (goal.projection, goal.partition)).map_or(0, |p| p.next)
    };
    goal.iter().map(|goal| goal.next.saturating_sub(at(goal))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u32, next: u64) -> Progress {
        Progress { projection: Projection::Membership, partition, next, newest_receipt: None }
    }

    #[test]
    fn distance_counts_what_is_missing_and_no_lead() {
        assert_eq!(distance(&[at(0, 5)], &[at(0, 7), at(1, 3)]), 5);
        assert_eq!(distance(&[at(0, 9), at(1, 3)], &[at(0, 7), at(1, 3)]), 0);
    }
}
