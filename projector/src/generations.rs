//! Which generations there are, and which is read.
//!
//! There is one path that fills tables: a generation is made, filled from the first offset by the same fold as live
//! traffic, and read from the moment that it stands where the one before it stands. A store without a generation that
//! is read gets its first one so; a definition that comes or changes gets the next one, and those that change meanwhile
//! share the one after it. A rebuild is filled the same way and waits for an operator (`rebuilds.rs`).
//!
//! Each process fills, in every generation, the partitions that it owns. One of them leads, the owner of the first
//! partition: it makes generations, changes which is read, and deletes those that nobody needs. That two may believe to
//! lead for a moment does no harm: which generation is read changes by compare-and-set, and what one of them makes too
//! many the other takes away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_event::{Clock, Stream};
use weir_event_log::EventLog;
use weir_lifecycle::Component;
use weir_store::{
    Generation, GenerationId, GenerationInfo, NotedRebuild, Progress, Projection, Purpose, Store, StoreError,
};

use crate::definitions::Changes;
use crate::error::FoldError;
use crate::rebuilds::{self, UnderWay};
use crate::runner::{Runner, Work};

/// Records that a new generation may be behind the live one when the live one is asked to pause for it.
pub(crate) const NEARLY: u64 = 2_000;
/// How long the live one is paused for it at most.
const PAUSE: Duration = Duration::from_millis(800);
/// How often others are told where the log ends, and what others did is looked at.
const TELL: Duration = Duration::from_millis(250);
/// Between two tries after an error that may pass.
const RETRY: Duration = Duration::from_millis(500);
/// How old what they were told may get when nothing changes.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Keeps generations.
pub(crate) struct Generations {
    pub(crate) work: Work,
    pub(crate) clock: Clock,
    health: Component,
    owned: watch::Receiver<BTreeSet<u32>>,
    runners: BTreeMap<GenerationId, Runner>,
    /// Generations whose tables can't be folded into any more, and why.
    pub(crate) broken: BTreeMap<GenerationId, String>,
    pub(crate) changes: Changes,
    /// Where a first generation must stand to be read: the log's end when it was first seen.
    goal: Option<(GenerationId, Vec<Progress>)>,
    pub(crate) under_way: UnderWay,
    told: Option<Told>,
}

/// What others were told last, and when.
struct Told {
    ends: Vec<(Stream, u32, u64)>,
    at: Instant,
}

impl Generations {
    /// Joins those who share the partitions.
    pub(crate) async fn join(
        log: Arc<dyn EventLog>,
        store: Arc<dyn Store>,
        clock: Clock,
        health: Component,
    ) -> Result<Self, FoldError> {
        let share = log.join().await?;
        let (changes, owned) = (Changes::new(log.clone()), share.owned());
        let work = Work { log, store, share, owner: Uuid::new_v4(), held_up: Arc::default() };
        let (runners, broken) = (BTreeMap::new(), BTreeMap::new());
        let under_way = UnderWay::default();
        Ok(Self { work, clock, health, owned, runners, broken, changes, goal: None, under_way, told: None })
    }

    /// Runs until stopped; then every task has finished its batch.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), FoldError> {
        let ended = self.run_until(&stop).await;
        for (_, runner) in std::mem::take(&mut self.runners) {
            runner.stop().await?;
        }
        self.work.share.leave().await;
        ended
    }

    /// An error that may pass (a full disk, a store that is busy or away) holds generations up and is tried again.
    async fn run_until(&mut self, stop: &CancellationToken) -> Result<(), FoldError> {
        loop {
            let error = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                kept = self.keep() => match kept {
                    Ok(never) => match never {},
                    Err(error) if error.may_pass() => error,
                    Err(error) => return Err(error),
                },
            };
            let cause = weir_lifecycle::causes(&error);
            tracing::warn!(error = cause, "generations are held up; it is tried again");
            self.health.not_ready(format!("held up: {cause}"));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// May be dropped at any time: tasks run by themselves, and each step can be done again.
    async fn keep(&mut self) -> Result<std::convert::Infallible, FoldError> {
        let mut changed = self.work.store.changes();
        let mut tell = tokio::time::interval(TELL);
        tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let control_end = self.changes.catch_up().await?;
            changed.mark_unchanged();
            let generations = self.work.store.generations().await?;
            self.fill(&generations).await?;
            self.say_health(&generations);
            if self.leads() && self.lead(&generations, control_end).await? {
                continue;
            }
            // Only who waits for a generation to come far enough looks at every commit.
            let eager = self.leads() && generations.iter().any(|info| !info.live);
            tokio::select! {
                error = failed(&mut self.runners) => self.note_broken(error)?,
                waited = self.work.log.wait_beyond(Stream::Control, 0, control_end) => waited?,
                _ = self.owned.changed() => {}
                () = self.under_way.compared() => {}
                _ = changed.changed(), if eager => {}
                _ = tell.tick() => if self.leads() { self.tell_ends().await? },
            }
        }
    }

    /// Whether this process makes, promotes and deletes generations.
    fn leads(&self) -> bool {
        self.owned.borrow().contains(&0)
    }

    /// Fills every generation that there is, on the partitions owned; stops filling those that are gone.
    async fn fill(&mut self, generations: &[GenerationInfo]) -> Result<(), FoldError> {
        let gone: Vec<GenerationId> =
            self.runners.keys().filter(|id| !generations.iter().any(|info| info.id == **id)).copied().collect();
        for id in gone {
            self.stop_filling(id).await?;
        }
        for info in generations {
            if !self.runners.contains_key(&info.id) && !self.broken.contains_key(&info.id) {
                match self.work.store.generation(info.id).await {
                    Ok(generation) => drop(self.runners.insert(info.id, Runner::new(&self.work, generation))),
                    // Removed since it was listed.
                    Err(StoreError::NoGeneration(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let owned = self.owned.borrow_and_update().clone();
        self.runners.values_mut().for_each(|runner| runner.own(&owned));
        Ok(())
    }

    async fn stop_filling(&mut self, id: GenerationId) -> Result<(), FoldError> {
        match self.runners.remove(&id) {
            Some(runner) => runner.stop().await,
            None => Ok(()),
        }
    }

    /// What can't be folded into one generation leaves the others alone; what is wrong with the log stops everything.
    fn note_broken(&mut self, (id, error): (GenerationId, FoldError)) -> Result<(), FoldError> {
        if !error.is_of_tables() {
            return Err(error);
        }
        let cause = weir_lifecycle::causes(&error);
        tracing::error!(generation = id.0, error = cause, "a generation is damaged and is not filled any further");
        self.broken.insert(id, cause);
        self.runners.remove(&id);
        Ok(())
    }

    fn say_health(&self, generations: &[GenerationInfo]) {
        match generations.iter().find(|info| info.live) {
            None => self.health.not_ready("the tables are being rebuilt from the log; /api/status shows the progress"),
            Some(live) => match self.broken.get(&live.id) {
                Some(cause) => self.health.not_ready(format!("the tables that are read are damaged: {cause}")),
                None => match self.work.held_up.reason(live.id, Instant::now()) {
                    Some(reason) => self.health.not_ready(reason),
                    None => self.health.ready(),
                },
            },
        }
    }

    /// One step of what the leader does. Answers whether it changed which generations there are.
    async fn lead(&mut self, generations: &[GenerationInfo], control_end: u64) -> Result<bool, FoldError> {
        let live = generations.iter().find(|info| info.live);
        let next = generations
            .iter()
            .find(|info| !info.live && info.purpose == Purpose::Switch && live.is_none_or(|live| live.id < info.id));
        match (live, next) {
            (None, None) => self.create(control_end).await?,
            (Some(live), None) if self.changes.newest().is_some_and(|newest| newest.offset >= live.bound) => {
                self.create(control_end).await?;
            }
            (live, Some(next)) if self.switch(live.map(|info| info.id), next.id).await? => {}
            _ => return Ok(rebuilds::lead(self, generations).await? || self.tidy(generations).await?),
        }
        Ok(true)
    }

    async fn create(&self, bound: u64) -> Result<(), FoldError> {
        let id = self.work.store.create(bound, self.clock.now().micros(), Purpose::Switch).await?;
        tracing::info!(generation = id.0, bound, "filling a generation");
        Ok(())
    }

    /// Makes the generation on its way the one that is read, once it has come far enough. Answers whether it did.
    async fn switch(&mut self, live: Option<GenerationId>, next: GenerationId) -> Result<bool, FoldError> {
        let filled = self.work.store.generation(next).await?;
        let Some(live) = live else {
            let goal = self.first_goal(next).await?;
            if distance(&filled.progress().await?, &goal) > 0 {
                return Ok(false);
            }
            self.work.store.promote(next, None).await?;
            tracing::info!(generation = next.0, "the first tables are complete and are read from now on");
            return Ok(true);
        };
        if !self.take_over(live, next).await? {
            return Ok(false);
        }
        tracing::info!(generation = next.0, "a generation with the newest definitions is read from now on");
        Ok(true)
    }

    /// Makes a generation the one that is read, if it stands where the live one stands. The live one pauses meanwhile,
    /// so that no answer goes back in time. Answers whether it is read now.
    pub(crate) async fn take_over(&self, live: GenerationId, next: GenerationId) -> Result<bool, FoldError> {
        let (left, filled) = (self.work.store.generation(live).await?, self.work.store.generation(next).await?);
        if distance(&filled.progress().await?, &left.progress().await?) > NEARLY {
            return Ok(false);
        }
        let paused = left.pause().await?;
        let reached = self.reach(&filled, paused.progress());
        if !matches!(tokio::time::timeout(PAUSE, reached).await, Ok(reached) if reached.is_ok()) {
            return Ok(false);
        }
        self.work.store.promote(next, Some(live)).await?;
        Ok(true)
    }

    async fn first_goal(&mut self, id: GenerationId) -> Result<Vec<Progress>, FoldError> {
        if let Some((of, goal)) = &self.goal
            && *of == id
        {
            return Ok(goal.clone());
        }
        let mut goal = Vec::new();
        for projection in Projection::ALL {
            for partition in 0..self.work.log.partitions(projection.stream()) {
                let next = self.work.log.bounds(projection.stream(), partition).await?.end;
                goal.push(Progress { projection, partition, next, newest_receipt: None });
            }
        }
        self.goal = Some((id, goal.clone()));
        Ok(goal)
    }

    /// Waits until the generation stands at the goal or behind it.
    pub(crate) async fn reach(&self, generation: &Arc<dyn Generation>, goal: &[Progress]) -> Result<(), FoldError> {
        let mut changed = self.work.store.changes();
        loop {
            changed.mark_unchanged();
            if distance(&generation.progress().await?, goal) == 0 {
                return Ok(());
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Deletes the generations that nobody needs any more. Answers whether there were any.
    async fn tidy(&mut self, generations: &[GenerationInfo]) -> Result<bool, FoldError> {
        let noted = NotedRebuild::all(self.work.store.as_ref()).await?;
        let live = generations.iter().find(|info| info.live).map(|info| info.id);
        let needed = |info: &GenerationInfo| {
            info.live
                || (info.purpose == Purpose::Switch && live.is_none_or(|live| live < info.id))
                || rebuilds::needs(&noted, info.id, live)
        };
        let unneeded: Vec<GenerationId> = generations.iter().filter(|info| !needed(info)).map(|info| info.id).collect();
        for id in &unneeded {
            self.stop_filling(*id).await?;
            self.broken.remove(id);
            if let Err(error) = self.work.store.remove(*id).await {
                // It is in nobody's way, and is tried again.
                tracing::warn!(generation = id.0, error = weir_lifecycle::causes(&error), "can't delete a generation");
                return Ok(false);
            }
            tracing::info!(generation = id.0, "a generation that nobody needs any more is gone");
        }
        Ok(!unneeded.is_empty())
    }

    /// Tells those who don't see the log where it ends.
    async fn tell_ends(&mut self) -> Result<(), FoldError> {
        let mut ends = Vec::new();
        for stream in Stream::ALL {
            for partition in 0..self.work.log.partitions(stream) {
                ends.push((stream, partition, self.work.log.bounds(stream, partition).await?.end));
            }
        }
        if self.told.as_ref().is_none_or(|told| told.ends != ends || told.at.elapsed() >= TELL_AGAIN) {
            if let Err(error) = self.work.store.tell_ends(&ends, self.clock.now().micros()).await {
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
async fn failed(runners: &mut BTreeMap<GenerationId, Runner>) -> (GenerationId, FoldError) {
    let failing = runners.iter_mut().map(|(id, runner)| Box::pin(async move { (*id, runner.failed().await) }));
    let failing: Vec<_> = failing.collect();
    if failing.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(failing).await.0
}

/// How many records a generation is behind a goal, over all projections and partitions.
pub(crate) fn distance(progress: &[Progress], goal: &[Progress]) -> u64 {
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
