//! Asking the projector that leads to do something with a rebuild, and waiting until it has answered.
//!
//! A request is written into the rebuild's note and stands there until the leader answers it: so it outlives this
//! process, its client, and a leader that dies half-way. What must not happen is that it is carried out long after the
//! caller was told that nobody does: therefore a request is withdrawn, by the same compare-and-set, before that is said.
//! A client that hangs up neither cancels a request nor leaves one behind that nobody would withdraw.
//! When this process is stopped nobody waits here any more; the request stands, and that is what is said.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::Instant;
use uuid::Uuid;
use weir_http::Problem;
use weir_store::{NotedRebuild, Rebuild, RebuildRefusal, RebuildRequest, RebuildState, Store, StoreError};

use crate::failure;
use crate::service::Api;
use crate::task::to_the_end;

/// For how long nothing may be heard of the leader before a request is withdrawn.
const AWAY: Duration = Duration::from_secs(5);
/// Between two looks at a note while nothing changes.
const POLL: Duration = Duration::from_millis(250);
/// The same while live traffic changes the store all the time.
const PAUSE: Duration = Duration::from_millis(20);
/// What a client should wait where nobody carries out requests, in seconds.
const RETRY_AFTER: u32 = 5;

/// What a leader may refuse with; codes of answers are known when this is compiled.
const REFUSALS: [&str; 10] = [
    "rebuilding",
    "definitions_changed",
    "rebuild_open",
    "rebuild_filling",
    "rebuild_unverified",
    "rebuild_differs",
    "rebuild_behind",
    "rebuild_closed",
    "rebuild_not_promoted",
    "comparison_failed",
];

/// Whether a leader is heard of.
struct Pulse {
    seen_at: Option<i64>,
    heard: Instant,
}

impl Pulse {
    fn new() -> Self {
        Self { seen_at: None, heard: Instant::now() }
    }

    /// Looks at what the leader told others last. Its clock may not be this process's: so one that told something since
    /// the last look is heard of too, whatever instant it says.
    async fn is_away(&mut self, api: &Api) -> Result<bool, StoreError> {
        let told = api.tables.store.ends().await?.iter().map(|end| end.seen_at).max();
        let age = told.map(|told| api.settings.clock.now().micros().saturating_sub(told));
        let late = age.is_none_or(|age| u128::try_from(age).is_ok_and(|age| age > AWAY.as_micros()));
        if told != self.seen_at && self.seen_at.is_some() || !late {
            self.heard = Instant::now();
        }
        self.seen_at = told;
        Ok(self.heard.elapsed() >= AWAY)
    }
}

/// Notes a new rebuild and waits until its generation is made.
///
/// # Errors
/// 409 with the leader's code; 503 `projector_away`, `shutting_down`, `tables_unavailable`.
pub(crate) async fn start(api: Arc<Api>) -> Result<NotedRebuild, Problem> {
    to_the_end(async move {
        let mut noted = NotedRebuild::asked_for(Uuid::now_v7(), api.settings.clock.now().micros());
        if !noted.note(api.tables.store.as_ref()).await.map_err(failure::store)? {
            return Err(Problem::internal(&Twice));
        }
        answered(&api, noted.id, RebuildRequest::Start, 0).await
    })
    .await
}

/// An id was given out twice.
#[derive(Debug, thiserror::Error)]
#[error("the id of a new rebuild is taken")]
struct Twice;

/// Notes a request and waits until it is answered. One that is the same as the one under way joins it.
///
/// # Errors
/// 404 `rebuild_not_found`; 409 `rebuild_busy`, or with the leader's code; 503 `projector_away`, `shutting_down`,
/// `tables_unavailable`.
pub(crate) async fn ask(api: Arc<Api>, id: Uuid, request: RebuildRequest) -> Result<NotedRebuild, Problem> {
    to_the_end(async move {
        let store = api.tables.store.as_ref();
        loop {
            let mut noted = find(store, id).await?;
            let before = noted.rebuild.answered;
            match noted.rebuild.asked {
                Some(other) if other != request => return Err(busy(other)),
                Some(_) => {}
                None => {
                    (noted.rebuild.asked, noted.rebuild.refused) = (Some(request), None);
                    if !noted.note(store).await.map_err(failure::store)? {
                        continue;
                    }
                }
            }
            return answered(&api, id, request, before).await;
        }
    })
    .await
}

/// Waits until the request is answered; `before` is how many were before it.
async fn answered(api: &Api, id: Uuid, request: RebuildRequest, before: u64) -> Result<NotedRebuild, Problem> {
    let mut changes = api.tables.store.changes();
    let mut pulse = Pulse::new();
    loop {
        changes.mark_unchanged();
        match outcome(api, &mut pulse, id, request, before).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return outcome,
            // The store is away: the request stands, and what becomes of it is seen when it is back.
            Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE && pulse.heard.elapsed() < AWAY => {}
            Err(problem) => return Err(problem),
        }
        let changed = async {
            let changed = changes.changed().await;
            tokio::time::sleep(PAUSE).await;
            changed
        };
        let waiting = async {
            if let Ok(Err(_)) = tokio::time::timeout(POLL, changed).await {
                // The store is closed: there is nothing that could wake this any more.
                tokio::time::sleep(POLL).await;
            }
        };
        if api.settings.shutdown.run_until_cancelled(waiting).await.is_none() {
            return Err(stopping(request));
        }
    }
}

/// What became of the request; `None` while it is under way.
async fn outcome(
    api: &Api,
    pulse: &mut Pulse,
    id: Uuid,
    request: RebuildRequest,
    before: u64,
) -> Result<Option<Result<NotedRebuild, Problem>>, Problem> {
    let store = api.tables.store.as_ref();
    let mut noted = find_noted(store, id).await?;
    let rebuild = &noted.rebuild;
    if rebuild.answered > before {
        // Where more was answered meanwhile, what is refused there was another's.
        let refused = rebuild.refused.as_ref().filter(|_| rebuild.answered == before + 1);
        return Ok(Some(refused.map(refusal).map_or(Ok(noted), Err)));
    }
    if rebuild.asked != Some(request) {
        // Somebody else who waited for it has withdrawn it.
        return Ok(Some(Err(away())));
    }
    if !pulse.is_away(api).await.map_err(failure::store)? {
        return Ok(None);
    }
    withdraw(&mut noted.rebuild, request);
    // If it was not that note any more, it may have been answered this moment: the next look tells.
    let withdrawn = noted.note(store).await.map_err(failure::store)?;
    Ok(withdrawn.then(|| Err(away())))
}

fn withdraw(rebuild: &mut Rebuild, request: RebuildRequest) {
    rebuild.asked = None;
    if request == RebuildRequest::Start {
        let reason = "no projector was there to begin it".to_owned();
        (rebuild.state, rebuild.reason) = (RebuildState::Aborted, Some(reason));
    }
}

/// The rebuilds that came to have a generation, the oldest first. The others were refused, and were none.
pub(crate) async fn all(store: &dyn Store) -> Result<Vec<NotedRebuild>, Problem> {
    let mut noted = NotedRebuild::all(store).await.map_err(failure::store)?;
    noted.retain(|noted| noted.rebuild.generation != 0);
    Ok(noted)
}

/// A rebuild that came to have a generation.
///
/// # Errors
/// 404 `rebuild_not_found`.
pub(crate) async fn find(store: &dyn Store, id: Uuid) -> Result<NotedRebuild, Problem> {
    all(store).await?.into_iter().find(|noted| noted.id == id).ok_or_else(not_found)
}

async fn find_noted(store: &dyn Store, id: Uuid) -> Result<NotedRebuild, Problem> {
    let mut noted = NotedRebuild::all(store).await.map_err(failure::store)?.into_iter();
    noted.find(|noted| noted.id == id).ok_or_else(not_found)
}

/// 404 `rebuild_not_found`.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("rebuild_not_found", "there is no such rebuild; GET /api/rebuilds lists them")
}

/// What a request is called.
pub(crate) const fn name(request: RebuildRequest) -> &'static str {
    match request {
        RebuildRequest::Start => "start",
        RebuildRequest::Verify => "verify",
        RebuildRequest::Promote { .. } => "promote",
        RebuildRequest::Rollback => "rollback",
        RebuildRequest::Abort => "abort",
    }
}

fn busy(other: RebuildRequest) -> Problem {
    let what = name(other);
    Problem::conflict("rebuild_busy", format!("`{what}` of this rebuild is under way; ask again when it is done"))
}

fn away() -> Problem {
    let detail = "no projector answers; nothing was done, and nothing will be. Start a projector and ask again";
    Problem::unavailable("projector_away", detail, RETRY_AFTER)
}

/// Whatever becomes of a request that stands, this process will not see it.
fn stopping(request: RebuildRequest) -> Problem {
    let (what, code) = (name(request), "shutting_down");
    let detail = format!(
        "this process is being stopped and waits no longer. `{what}` stands: the projector goes on with it, or the next one \
         does; GET /api/rebuilds/latest shows what comes of it, and the same request again waits for it"
    );
    Problem::unavailable(code, detail, RETRY_AFTER)
}

fn refusal(refused: &RebuildRefusal) -> Problem {
    let code = REFUSALS.into_iter().find(|code| *code == refused.code).unwrap_or("rebuild_refused");
    Problem::conflict(code, refused.detail.clone())
}
