//! Carrying out what operators ask of rebuilds. Only the leader does.
//!
//! Every step reads the note, does one thing, and writes the note over the revision that it read; so a leader that dies
//! half-way leaves a request that the next one carries out.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;
use weir_store::{
    Comparison, GenerationId, GenerationInfo, NotedRebuild, Purpose, Rebuild, RebuildRefusal, RebuildRequest,
    RebuildState, StoreError,
};

use crate::error::FoldError;
use crate::generations::{Generations, NEARLY, distance};
use crate::verify;

/// How long a generation may take to come where the other one stands before the request is refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the leader has under way for rebuilds.
#[derive(Default)]
pub(crate) struct UnderWay {
    comparing: Option<(Uuid, JoinHandle<Result<Comparison, FoldError>>)>,
    tried_since: BTreeMap<Uuid, Instant>,
}

impl UnderWay {
    /// Ends a comparison that nobody waits for any more: its result must not answer a later request.
    fn forget_unasked(&mut self, noted: &NotedRebuild) {
        if noted.rebuild.asked != Some(RebuildRequest::Verify)
            && let Some((_, task)) = self.comparing.take_if(|(of, _)| *of == noted.id)
        {
            task.abort();
        }
    }

    /// Returns when a comparison has ended.
    pub(crate) async fn compared(&mut self) {
        match &mut self.comparing {
            // The result is taken by `verify`; here it only matters that there is one.
            Some((_, task)) if !task.is_finished() => {
                while !task.is_finished() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// Whether a rebuild needs the generation, while `live` is read.
pub(crate) fn needs(rebuilds: &[NotedRebuild], id: GenerationId, live: Option<GenerationId>) -> bool {
    // One that was refused, or is only asked for, never had a generation.
    let newest = rebuilds.iter().rfind(|noted| noted.rebuild.generation != 0).map(|noted| noted.id);
    rebuilds.iter().any(|noted| {
        let rebuild = &noted.rebuild;
        let left = rebuild.state == RebuildState::Promoted && rebuild.reason.is_none() && newest == Some(noted.id);
        // After a switch there is no way back to it.
        let left = left && live.is_some_and(|live| live.0 == rebuild.generation);
        (rebuild.state.is_open() && rebuild.generation == id.0) || (left && rebuild.before == id.0)
    })
}

/// Takes every rebuild one step further. Answers whether that changed which generations there are.
pub(crate) async fn lead(here: &mut Generations, generations: &[GenerationInfo]) -> Result<bool, FoldError> {
    let mut changed = false;
    for mut noted in NotedRebuild::all(here.work.store.as_ref()).await? {
        let before = noted.rebuild.clone();
        look_after(here, generations, &mut noted.rebuild).await?;
        here.under_way.forget_unasked(&noted);
        if let Some(request) = noted.rebuild.asked {
            changed |= carry_out(here, generations, &mut noted, request).await?;
        }
        if noted.rebuild != before && !noted.note(here.work.store.as_ref()).await? {
            // Somebody wrote it meanwhile; the next turn sees what.
            changed = true;
        }
    }
    Ok(changed)
}

/// Notes what became of a generation by itself.
async fn look_after(
    here: &Generations,
    generations: &[GenerationInfo],
    rebuild: &mut Rebuild,
) -> Result<(), FoldError> {
    if !rebuild.state.is_open() || rebuild.asked == Some(RebuildRequest::Start) {
        return Ok(());
    }
    let live = generations.iter().find(|info| info.live).map(|info| info.id.0);
    let id = GenerationId(rebuild.generation);
    let end = |rebuild: &mut Rebuild, state, reason: String| {
        (rebuild.state, rebuild.reason) = (state, Some(reason));
    };
    if live != Some(rebuild.before) && live != Some(rebuild.generation) {
        end(rebuild, RebuildState::Aborted, outdated(here));
    } else if let Some(cause) = here.broken.get(&id) {
        end(rebuild, RebuildState::Failed, cause.clone());
    } else if !generations.iter().any(|info| info.id == id) {
        end(rebuild, RebuildState::Failed, "its tables are gone; start another rebuild".to_owned());
    } else if rebuild.state == RebuildState::Filling && live != Some(rebuild.generation) {
        let filled = here.work.store.generation(id).await?.progress().await?;
        let goal = here.work.store.generation(GenerationId(rebuild.before)).await?.progress().await?;
        if !goal.is_empty() && distance(&filled, &goal) <= NEARLY {
            rebuild.state = RebuildState::Following;
        }
    }
    Ok(())
}

fn outdated(here: &Generations) -> String {
    let what = here.changes.newest().map_or("a definition", |change| change.what.as_str());
    format!("{what} changed since: the tables were filled by older definitions; start another rebuild")
}

/// What a request comes to.
enum Step {
    /// It is answered.
    Done,
    /// It is answered, and there are other generations now.
    Changed,
    /// It needs more time.
    Later,
    /// It can't be done.
    Refused(&'static str, String),
}

async fn carry_out(
    here: &mut Generations,
    generations: &[GenerationInfo],
    noted: &mut NotedRebuild,
    request: RebuildRequest,
) -> Result<bool, FoldError> {
    let rebuild = &mut noted.rebuild;
    let step = match request {
        RebuildRequest::Start => start(here, generations, noted.id, rebuild).await?,
        _ if here.changes.newest().is_some_and(|newest| newest.offset >= rebuild.bound)
            && request != RebuildRequest::Abort =>
        {
            Step::Refused("definitions_changed", outdated(here))
        }
        RebuildRequest::Verify => verify(here, noted.id, rebuild).await?,
        RebuildRequest::Promote { accept_differences } => {
            promote(here, generations, noted.id, rebuild, accept_differences).await?
        }
        RebuildRequest::Rollback => roll_back(here, generations, noted.id, rebuild).await?,
        RebuildRequest::Abort => abort(rebuild),
    };
    let (changed, refused) = match step {
        Step::Later => return Ok(false),
        Step::Refused(code, detail) => (false, Some(RebuildRefusal { code: code.to_owned(), detail })),
        Step::Done => (false, None),
        Step::Changed => (true, None),
    };
    here.under_way.tried_since.remove(&noted.id);
    (rebuild.asked, rebuild.answered, rebuild.refused) = (None, rebuild.answered + 1, refused);
    Ok(changed)
}

async fn start(
    here: &Generations,
    generations: &[GenerationInfo],
    id: Uuid,
    rebuild: &mut Rebuild,
) -> Result<Step, FoldError> {
    let refuse = |rebuild: &mut Rebuild, code, detail: &str| {
        (rebuild.state, rebuild.reason) = (RebuildState::Aborted, Some(detail.to_owned()));
        Ok(Step::Refused(code, detail.to_owned()))
    };
    let Some(live) = generations.iter().find(|info| info.live) else {
        return refuse(
            rebuild,
            "rebuilding",
            "the first tables are still being filled; there is nothing to compare with",
        );
    };
    if generations.iter().any(|info| info.purpose == Purpose::Switch && info.id > live.id) {
        let detail = "definitions changed, and tables for them are being filled; start the rebuild when they are read";
        return refuse(rebuild, "definitions_changed", detail);
    }
    let others = NotedRebuild::all(here.work.store.as_ref()).await?;
    if others.iter().any(|other| other.id != id && other.rebuild.state.is_open()) {
        return refuse(rebuild, "rebuild_open", "another rebuild is open; promote it or abort it first");
    }
    let made = here.work.store.create(live.bound, here.clock.now().micros(), Purpose::Rebuild).await?;
    tracing::info!(generation = made.0, "a rebuild begins");
    (rebuild.generation, rebuild.before, rebuild.bound) = (made.0, live.id.0, live.bound);
    Ok(Step::Changed)
}

async fn verify(here: &mut Generations, id: Uuid, rebuild: &mut Rebuild) -> Result<Step, FoldError> {
    match rebuild.state {
        RebuildState::Filling => return Ok(Step::Refused("rebuild_filling", filling())),
        state if !state.is_open() => return Ok(closed(rebuild)),
        _ => {}
    }
    match here.under_way.comparing.take() {
        Some((of, task)) if of == id => {
            if !task.is_finished() {
                here.under_way.comparing = Some((of, task));
                return Ok(Step::Later);
            }
            let compared = match task.await {
                Ok(compared) => compared,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Ok(Step::Later),
            };
            Ok(settle(rebuild, compared))
        }
        other => {
            if let Some((_, task)) = other {
                task.abort();
            }
            let task = verify::Task {
                store: here.work.store.clone(),
                live: GenerationId(rebuild.before),
                next: GenerationId(rebuild.generation),
                at: here.clock.now().micros(),
                window: here.changes.dedup_window(),
            };
            here.under_way.comparing = Some((id, tokio::spawn(task.run())));
            Ok(Step::Later)
        }
    }
}

fn settle(rebuild: &mut Rebuild, compared: Result<Comparison, FoldError>) -> Step {
    match compared {
        Ok(comparison) => {
            rebuild.state = if comparison.found == 0 { RebuildState::Verified } else { RebuildState::Differs };
            tracing::info!(generation = rebuild.generation, differences = comparison.found, "a rebuild was compared");
            rebuild.comparison = Some(comparison);
            Step::Done
        }
        Err(error) => {
            let cause = weir_lifecycle::causes(&error);
            Step::Refused("comparison_failed", format!("the generations could not be compared: {cause}; try again"))
        }
    }
}

async fn promote(
    here: &mut Generations,
    generations: &[GenerationInfo],
    id: Uuid,
    rebuild: &mut Rebuild,
    accept_differences: bool,
) -> Result<Step, FoldError> {
    match rebuild.state {
        RebuildState::Verified => {}
        RebuildState::Differs if accept_differences => {}
        RebuildState::Differs => {
            let found = rebuild.comparison.as_ref().map_or(0, |comparison| comparison.found);
            let detail = format!(
                "the rebuild differs from what is read in {found} places; look at its differences, and promote it with \
                 accept_differences (--accept-differences) if it is the live tables that are wrong"
            );
            return Ok(Step::Refused("rebuild_differs", detail));
        }
        RebuildState::Filling => return Ok(Step::Refused("rebuild_filling", filling())),
        RebuildState::Following | RebuildState::RolledBack => {
            return Ok(Step::Refused("rebuild_unverified", "verify the rebuild first".to_owned()));
        }
        _ => return Ok(closed(rebuild)),
    }
    // A leader that died between the two steps has moved the pointer already.
    let there = generations.iter().any(|info| info.live && info.id.0 == rebuild.generation);
    if !there && !change(here, rebuild.before, rebuild.generation).await? {
        return Ok(later(here, id));
    }
    tracing::info!(generation = rebuild.generation, "a rebuild was promoted and is read from now on");
    (rebuild.state, rebuild.reason) = (RebuildState::Promoted, None);
    Ok(Step::Changed)
}

async fn roll_back(
    here: &mut Generations,
    generations: &[GenerationInfo],
    id: Uuid,
    rebuild: &mut Rebuild,
) -> Result<Step, FoldError> {
    if rebuild.state != RebuildState::Promoted {
        let detail = "only a rebuild that was promoted can be rolled back".to_owned();
        return Ok(Step::Refused("rebuild_not_promoted", detail));
    }
    let before = generations.iter().find(|info| info.id.0 == rebuild.before);
    let (Some(before), None) = (before, &rebuild.reason) else {
        let detail = "the generation before it is gone".to_owned();
        return Ok(Step::Refused("rebuild_closed", detail));
    };
    if !before.live && !change(here, rebuild.generation, rebuild.before).await? {
        return Ok(later(here, id));
    }
    tracing::info!(generation = rebuild.before, "a rebuild was rolled back; the generation before it is read again");
    rebuild.state = RebuildState::RolledBack;
    Ok(Step::Changed)
}

/// Changes which generation is read; not while the other one is behind.
async fn change(here: &Generations, from: u64, to: u64) -> Result<bool, FoldError> {
    match here.take_over(GenerationId(from), GenerationId(to)).await {
        Err(FoldError::Store(StoreError::NoGeneration(_) | StoreError::LiveMoved)) => Ok(false),
        changed => changed,
    }
}

/// The next turn tries again, for a while.
fn later(here: &mut Generations, id: Uuid) -> Step {
    let since = here.under_way.tried_since.entry(id).or_insert_with(Instant::now);
    if since.elapsed() < PATIENCE {
        return Step::Later;
    }
    let detail = "the generation stays behind what is read; try again when `status` shows that it has caught up";
    Step::Refused("rebuild_behind", detail.to_owned())
}

fn abort(rebuild: &mut Rebuild) -> Step {
    match rebuild.state {
        state if state.is_open() => {
            (rebuild.state, rebuild.reason) = (RebuildState::Aborted, Some("an operator gave it up".to_owned()));
            Step::Changed
        }
        RebuildState::Promoted if rebuild.reason.is_none() => {
            rebuild.reason = Some("the generation before it was let go".to_owned());
            Step::Changed
        }
        _ => closed(rebuild),
    }
}

fn filling() -> String {
    "the rebuild has not caught up with the log yet; wait until its state is `following`".to_owned()
}

fn closed(rebuild: &Rebuild) -> Step {
    let reason = rebuild.reason.as_deref().unwrap_or("it is read already");
    Step::Refused("rebuild_closed", format!("nothing more can be done with this rebuild: {reason}"))
}
