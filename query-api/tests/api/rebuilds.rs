//! Rebuilds, with a task of the test in the place of the projector that leads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;
use weir_event::Stream;
use weir_query_api::Settings;
use weir_store::{
    Comparison, Difference, GenerationId, LogEnds as _, NotedRebuild, Purpose, Rebuild, RebuildRefusal, RebuildRequest,
    RebuildState, SqliteStore, Store as _,
};

use crate::world::*;

/// What the leader of a test does with a request.
enum Step {
    Done,
    Later,
    Refused(&'static str),
}

/// Answers requests until it is dropped.
struct Leader {
    task: tokio::task::JoinHandle<()>,
    asked: Arc<Mutex<Vec<RebuildRequest>>>,
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leader {
    fn of(world: &World, carry_out: impl FnMut(&mut Rebuild, RebuildRequest) -> Step + Send + 'static) -> Self {
        let (store, clock, asked) = (world.store.clone(), world.clock.clone(), Arc::<Mutex<Vec<_>>>::default());
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            let (mut changes, mut carry_out) = (store.changes(), carry_out);
            loop {
                store.tell_ends(&[(Stream::Events, 0, 10)], clock.now().micros()).await.unwrap();
                changes.mark_unchanged();
                for noted in NotedRebuild::all(store.as_ref()).await.unwrap() {
                    answer(&store, noted, &mut carry_out, &seen).await;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
            }
        });
        Self { task, asked }
    }

    /// One that does everything at once, and finds no differences.
    fn willing(world: &World) -> Self {
        Self::of(world, willing)
    }

    fn asked(&self) -> Vec<RebuildRequest> {
        self.asked.lock().unwrap().clone()
    }
}

fn willing(rebuild: &mut Rebuild, request: RebuildRequest) -> Step {
    rebuild.state = match request {
        RebuildRequest::Start => RebuildState::Filling,
        RebuildRequest::Verify => RebuildState::Verified,
        RebuildRequest::Promote { .. } => RebuildState::Promoted,
        RebuildRequest::Rollback => RebuildState::RolledBack,
        RebuildRequest::Abort => RebuildState::Aborted,
    };
    Step::Done
}

async fn answer(
    store: &SqliteStore,
    mut noted: NotedRebuild,
    carry_out: &mut impl FnMut(&mut Rebuild, RebuildRequest) -> Step,
    seen: &Mutex<Vec<RebuildRequest>>,
) {
    let Some(request) = noted.rebuild.asked else { return };
    let refused = match carry_out(&mut noted.rebuild, request) {
        Step::Later => return,
        Step::Done => None,
        Step::Refused(code) => Some(RebuildRefusal { code: code.to_owned(), detail: format!("told: {code}") }),
    };
    if request == RebuildRequest::Start && refused.is_none() {
        let live = store.live().await.unwrap().unwrap().id();
        let made = store.create(3, TEN, Purpose::Rebuild).await.unwrap();
        (noted.rebuild.generation, noted.rebuild.before) = (made.0, live.0);
    } else if request == RebuildRequest::Start {
        noted.rebuild.state = RebuildState::Aborted;
    }
    noted.rebuild.asked = None;
    noted.rebuild.answered += 1;
    noted.rebuild.refused = refused;
    seen.lock().unwrap().push(request);
    noted.note(store).await.unwrap();
}

async fn world() -> World {
    let mut world = World::new().await;
    for n in 0..10 {
        world.event(&user("13"), "x", TEN - 10 + n, "");
    }
    world.fold().await;
    world
}

/// Writes into the newest note.
async fn note(world: &World, change: impl Fn(&mut Rebuild)) {
    loop {
        let mut noted = NotedRebuild::all(world.store.as_ref()).await.unwrap().pop().unwrap();
        change(&mut noted.rebuild);
        if noted.note(world.store.as_ref()).await.unwrap() {
            return;
        }
    }
}

async fn show(api: &Client) -> serde_json::Value {
    api.get_as("operator", "/api/rebuilds/latest").await.ok()
}

async fn ask(api: &Client, step: &str) -> Answer {
    api.post_as("operator", &format!("/api/rebuilds/latest/{step}"), "").await
}

#[tokio::test]
async fn a_rebuild_shows_how_far_it_is_and_is_not_done_before_it_follows() {
    let world = world().await;
    let api = world.api().await;
    assert_eq!(api.get_as("operator", "/api/rebuilds").await.ok(), json!({"rebuilds": []}));
    api.get_as("operator", "/api/rebuilds/latest").await.refused(404, "rebuild_not_found");
    let _leader = Leader::willing(&world);
    let begun = api.post_as("operator", "/api/rebuilds", "{}").await;
    assert_eq!((begun.status.as_u16(), begun.generation()), (201, None), "{}", begun.text);
    let started = begun.json();
    let id = started["id"].as_str().unwrap().to_owned();
    assert_eq!(started, json!({"id": id, "generation": 2, "state": "filling"}));
    assert_eq!(begun.headers["location"], format!("/api/rebuilds/{id}"));

    let mut filling = Tables::of(world.store.generation(GenerationId(2)).await.unwrap());
    filling.take_control(&world.control).await;
    filling.take_membership(&world.events[..8]).await;
    filling.take_timeline(&world.events[..2]).await;
    let shown = api.get_as("operator", &format!("/api/rebuilds/{id}")).await;
    assert_eq!(shown.generation(), None, "notes are of no generation");
    let shown = shown.ok();
    assert_eq!((&shown["state"], &shown["progress"], &shown["before"]), (&json!("filling"), &json!(0.5), &json!(1)));
    assert!(shown["rate"].as_f64().unwrap() > 0.0 && shown["eta_seconds"].is_u64(), "{shown}");
    assert_eq!(shown["started_at"], "2026-11-20T10:00:00.000000Z");
    assert_eq!((&shown["differences"], &shown["differences_total"]), (&json!([]), &json!(0)));
    assert_eq!((&shown["compared"], &shown["reason"], &shown["asked"]), (&json!(null), &json!(null), &json!(null)));
    filling.catch_up(&world.control, &world.events).await;
    assert_eq!(show(&api).await["progress"], 0.999);
    assert_eq!(api.get_as("operator", "/api/status").await.ok()["filling"], json!(null), "that is another thing");
    note(&world, |rebuild| rebuild.state = RebuildState::Following).await;
    let shown = show(&api).await;
    assert_eq!((&shown["progress"], &shown["eta_seconds"]), (&json!(1.0), &json!(0)));
    note(&world, |rebuild| rebuild.state = RebuildState::Failed).await;
    let shown = show(&api).await;
    assert_eq!((&shown["progress"], &shown["rate"]), (&json!(null), &json!(null)), "its tables go");

    let second = api.post_as("operator", "/api/rebuilds", "").await.json();
    let listed = api.get_as("operator", "/api/rebuilds").await.ok();
    let ids: Vec<_> = listed["rebuilds"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [second["id"].clone(), json!(id)], "the newest first");
}

#[tokio::test]
async fn each_step_answers_when_it_is_done() {
    let world = world().await;
    let api = world.api().await;
    let mut answers = [5, 0].into_iter();
    let leader = Leader::of(&world, move |rebuild, request| {
        let step = willing(rebuild, request);
        if request == RebuildRequest::Verify {
            let found: u64 = answers.next().unwrap();
            let person = Difference { table: "profiles".to_owned(), profile_id: Some(Uuid::nil()), row: None };
            let count = Difference { table: "counts".to_owned(), profile_id: None, row: Some("a row".to_owned()) };
            let differences = if found == 0 { Vec::new() } else { vec![count, person] };
            let rows = BTreeMap::from([("profiles".to_owned(), 1)]);
            rebuild.comparison = Some(Comparison { at: TEN, rows, found, differences });
            rebuild.state = if found == 0 { RebuildState::Verified } else { RebuildState::Differs };
        }
        step
    });
    api.post_as("operator", "/api/rebuilds", "").await;
    let compared = ask(&api, "verify").await.ok();
    assert_eq!((&compared["state"], &compared["differences_total"]), (&json!("differs"), &json!(5)));
    let expected = json!([
        {"table": "counts", "profile_id": null, "row": "a row"},
        {"table": "profiles", "profile_id": "00000000-0000-0000-0000-000000000000"},
    ]);
    assert_eq!(compared["differences"], expected);
    assert_eq!(compared["compared"], json!({"at": "2026-11-20T10:00:00.000000Z", "rows": {"profiles": 1}}));
    assert_eq!(show(&api).await, compared);
    assert_eq!(ask(&api, "verify").await.ok()["state"], "verified");
    let path = "/api/rebuilds/latest/promote";
    for body in ["", "{}", r#"{"accept_differences": false}"#, r#"{"accept_differences": true}"#] {
        assert_eq!(api.post_as("operator", path, body).await.ok()["state"], "promoted");
    }
    assert_eq!(ask(&api, "rollback").await.ok()["state"], "rolled_back");
    assert_eq!(ask(&api, "abort").await.ok()["state"], "aborted");
    let promote = |accept_differences| RebuildRequest::Promote { accept_differences };
    let (verify, start) = (RebuildRequest::Verify, RebuildRequest::Start);
    let (plain, accept) = (promote(false), promote(true));
    let expected =
        [start, verify, verify, plain, plain, plain, accept, RebuildRequest::Rollback, RebuildRequest::Abort];
    assert_eq!(leader.asked(), expected);
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let world = world().await;
    let api = world.api().await;
    let mut codes = ["rebuild_open", "definitions_changed"].into_iter();
    let leader = Leader::of(&world, move |_, _| Step::Refused(codes.next().unwrap()));
    let refused = api.post_as("operator", "/api/rebuilds", "").await;
    refused.refused(409, "rebuild_open");
    assert_eq!(refused.json()["detail"], "told: rebuild_open");
    api.post_as("operator", "/api/rebuilds", "").await.refused(409, "definitions_changed");
    assert_eq!(api.get_as("operator", "/api/rebuilds").await.ok(), json!({"rebuilds": []}), "they were none");
    drop(leader);
    let mut codes = ["rebuild_differs", "rebuild_unverified", "of a later release"].into_iter();
    let _leader = Leader::of(&world, move |rebuild, request| match request {
        RebuildRequest::Start => willing(rebuild, request),
        _ => Step::Refused(codes.next().unwrap()),
    });
    api.post_as("operator", "/api/rebuilds", "").await;
    ask(&api, "promote").await.refused(409, "rebuild_differs");
    ask(&api, "promote").await.refused(409, "rebuild_unverified");
    ask(&api, "rollback").await.refused(409, "rebuild_refused");
    assert_eq!(show(&api).await["state"], "filling");
}

#[tokio::test]
async fn of_several_requests_one_is_under_way_and_the_same_ones_share_it() {
    let world = world().await;
    let api = world.api().await;
    let ready = Arc::new(Mutex::new(false));
    let go = ready.clone();
    let leader = Leader::of(&world, move |rebuild, request| match request {
        RebuildRequest::Verify if !*go.lock().unwrap() => Step::Later,
        request => willing(rebuild, request),
    });
    api.post_as("operator", "/api/rebuilds", "").await;
    let asking = || {
        let api = api.clone();
        tokio::spawn(async move { ask(&api, "verify").await })
    };
    let first = asking();
    while show(&api).await["asked"] != "verify" {
        tokio::task::yield_now().await;
    }
    let second = asking();
    ask(&api, "promote").await.refused(409, "rebuild_busy");
    ask(&api, "abort").await.refused(409, "rebuild_busy");
    // The first one's client hangs up.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    *ready.lock().unwrap() = true;
    assert_eq!(second.await.unwrap().ok()["state"], "verified");
    assert_eq!(leader.asked(), [RebuildRequest::Start, RebuildRequest::Verify]);
    let shown = show(&api).await;
    assert_eq!((&shown["state"], &shown["asked"]), (&json!("verified"), &json!(null)));
}

#[tokio::test]
async fn what_nobody_carries_out_is_withdrawn() {
    let world = world().await;
    let api = world.api().await;
    let begun = Instant::now();
    let answer = api.post_as("operator", "/api/rebuilds", "").await;
    answer.refused(503, "projector_away");
    assert!(answer.headers.contains_key("retry-after"));
    assert!((4..9).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // The projector comes: there is nothing to do for it.
    let leader = Leader::willing(&world);
    api.post_as("operator", "/api/rebuilds", "").await;
    assert_eq!(leader.asked(), [RebuildRequest::Start], "not the one before");
    drop(leader);
    // It goes, without a word; what it told last grows old.
    let both = tokio::join!(ask(&api, "verify"), ask(&api, "verify"), async { world.at(TEN + 6 * SECOND) });
    both.0.refused(503, "projector_away");
    both.1.refused(503, "projector_away");
    let shown = show(&api).await;
    assert_eq!((&shown["state"], &shown["asked"]), (&json!("filling"), &json!(null)));
}

#[tokio::test]
async fn who_waits_for_a_step_is_told_that_it_stands_when_the_process_stops() {
    let world = world().await;
    let settings = world.settings();
    let shutdown = settings.shutdown.clone();
    let (api, next) = (world.api_with(settings).await, world.api().await);
    let ready = Arc::new(Mutex::new(false));
    let go = ready.clone();
    let leader = Leader::of(&world, move |rebuild, request| match request {
        RebuildRequest::Verify if !*go.lock().unwrap() => Step::Later,
        request => willing(rebuild, request),
    });
    api.post_as("operator", "/api/rebuilds", "").await;
    let begun = Instant::now();
    let stopping = async {
        while show(&next).await["asked"] != "verify" {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(ask(&api, "verify"), stopping) });
    let (answer, ()) = answer.await.expect("it is answered");
    answer.refused(503, "shutting_down");
    assert!(answer.headers.contains_key("retry-after") && answer.text.contains("`verify` stands"), "{}", answer.text);
    assert!(begun.elapsed() < Duration::from_secs(4), "not when nobody is heard of any more: {:?}", begun.elapsed());
    // Another process waits for the same one.
    assert_eq!(show(&next).await["asked"], "verify");
    let (answer, ()) = tokio::join!(ask(&next, "verify"), async { *ready.lock().unwrap() = true });
    assert_eq!(answer.ok()["state"], "verified");
    assert_eq!(leader.asked(), [RebuildRequest::Start, RebuildRequest::Verify]);
}

#[tokio::test]
async fn a_projector_that_is_there_may_take_its_time() {
    let world = world().await;
    let api = world.api().await;
    let mut begun = None;
    let _leader = Leader::of(&world, move |rebuild, request| {
        let begun = *begun.get_or_insert_with(Instant::now);
        if begun.elapsed() < Duration::from_secs(6) { Step::Later } else { willing(rebuild, request) }
    });
    let answer = api.post_as("operator", "/api/rebuilds", "").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn only_the_operator_asks_and_in_a_form_that_is_known() {
    let world = world().await;
    let api = world.api().await;
    let _leader = Leader::willing(&world);
    for key in ["write", "read", "admin", "other-admin"] {
        api.get_as(key, "/api/rebuilds").await.refused(403, "role_insufficient");
        api.get_as(key, "/api/rebuilds/latest").await.refused(403, "role_insufficient");
        api.post_as(key, "/api/rebuilds", "").await.refused(403, "role_insufficient");
        api.post_as(key, "/api/rebuilds/latest/verify", "").await.refused(403, "role_insufficient");
    }
    api.post_as("nonsense", "/api/rebuilds", "").await.refused(401, "key_unknown");
    let open = world.api_with(Settings { open: true, ..world.settings() }).await;
    assert_eq!(open.post_as("none", "/api/rebuilds", "").await.status, 201);
    for id in ["latest1", "1", &Uuid::nil().to_string()] {
        api.get_as("operator", &format!("/api/rebuilds/{id}")).await.refused(404, "rebuild_not_found");
        let path = format!("/api/rebuilds/{id}/abort");
        api.post_as("operator", &path, "").await.refused(404, "rebuild_not_found");
    }
    let promote = "/api/rebuilds/latest/promote";
    for (path, body, status, code) in [
        ("/api/rebuilds", "{", 400, "json_invalid"),
        ("/api/rebuilds", r#"{"wait": true}"#, 422, "unknown_field"),
        ("/api/rebuilds?wait=1", "", 400, "unknown_parameter"),
        ("/api/rebuilds/latest/abort", "[]", 422, "field_invalid"),
        (promote, r#"{"accept_difference": true}"#, 422, "unknown_field"),
        (promote, r#"{"accept_differences": "yes"}"#, 422, "field_invalid"),
    ] {
        api.post_as("operator", path, body).await.refused(status, code);
    }
    assert_eq!(show(&api).await["state"], "filling", "nothing was done");
}
