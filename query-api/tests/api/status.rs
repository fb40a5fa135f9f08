//! The status, and the time before there is anything to read.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_event::{Stream, Timestamp};
use weir_query_api::{QueryApi, Settings};
use weir_store::{LogEnds as _, Store as _};

use crate::world::*;

#[tokio::test]
async fn nothing_is_answered_in_part_while_the_tables_are_filled() {
    let mut world = World::unfilled().await;
    world.event(&user("13"), "cart.added", TEN - 1, "");
    let api = QueryApi::new(world.store.clone(), world.settings());
    assert!(api.not_ready().await.is_some_and(|reason| reason.contains("rebuilding")));
    let client = Client::of(&api);
    for key in ["read", "nonsense"] {
        let answer = client.get_as(key, "/api/profiles/user:13").await;
        answer.refused(503, "rebuilding");
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(answer.generation(), None);
    }
    client.ask("/api/segments", &[]).await.refused(503, "rebuilding");

    world.store.tell_ends(&[(Stream::Events, 0, 1)], TEN).await.unwrap();
    let status = client.ask("/api/status", &[]).await.ok();
    assert_eq!((&status["generation"], &status["segments"], &status["lag"]), (&json!(null), &json!([]), &json!(null)));
    assert_eq!(status["filling"], json!({"generation": 1, "progress": 0.0, "eta_seconds": null}));
    world.fold().await;
    let status = client.ask("/api/status", &[]).await.ok();
    assert_eq!(status["filling"]["progress"], 0.999, "complete is what is read");
    world.store.promote(world.tables.generation.id(), None).await.unwrap();
    assert_eq!(api.not_ready().await, None);
    assert_eq!(client.get("/api/profiles/user:13").await.status, 200);
    client.ask("/api/status", &[]).await.refused(401, "key_missing");
}

#[tokio::test]
async fn lag_is_what_is_on_the_log_and_not_in_the_tables() {
    let mut world = World::new().await;
    for n in 0..5 {
        world.event(&user("13"), "x", TEN - 10 + n, "");
    }
    world.tables.take_membership(&world.events[..4]).await;
    world.tables.take_timeline(&world.events[..3]).await;
    let api = world.api().await;
    let status = |key: &'static str| {
        let api = api.clone();
        async move { api.get_as(key, "/api/status").await.ok() }
    };
    assert_eq!(status("operator").await["lag"], json!(null), "nobody told where the log ends");
    world.store.tell_ends(&[(Stream::Events, 0, 5), (Stream::Control, 0, 3)], TEN).await.unwrap();
    let shown = status("operator").await;
    assert_eq!((&shown["lag"], &shown["generation"]), (&json!(2), &json!(1)));
    assert_eq!(shown["partitions"], json!([{"partition": 0, "position": 3, "end": 5, "lag": 2, "lag_seconds": 0.0}]));
    let shown = status("read").await;
    assert_eq!((&shown["lag"], shown.get("partitions"), shown.get("quarantine")), (&json!(2), None, None));
    world.at(TEN + 5 * SECOND);
    let shown = status("read").await;
    assert_eq!((&shown["lag"], &shown["lag_seconds"]), (&json!(2), &json!(5.0)));
    world.at(TEN + 5 * SECOND + 1);
    let shown = status("read").await;
    assert_eq!((&shown["lag"], &shown["lag_seconds"]), (&json!(null), &json!(null)), "who tells the end is away");
    world.fold().await;
    assert_eq!(status("read").await["lag"], json!(null));
    world.store.tell_ends(&[(Stream::Events, 0, 5)], TEN + 5 * SECOND).await.unwrap();
    let shown = status("read").await;
    assert_eq!((&shown["lag"], &shown["lag_seconds"]), (&json!(0), &json!(0.0)));
    world.store.tell_ends(&[(Stream::Events, 0, 9)], TEN + 7 * SECOND).await.unwrap();
    world.at(TEN + 8 * SECOND);
    let shown = status("read").await;
    assert_eq!((&shown["lag"], &shown["lag_seconds"]), (&json!(4), &json!(3.0)), "nothing more was there 3 s ago");
    world.at(TEN + 20 * SECOND);
    let told = Told::new(Some(position(Stream::Events, 6)));
    let settings = Settings { acknowledged: Some(Arc::new(told)), ..world.settings() };
    let headers = [("authorization", "Bearer read"), ("prefer", "wait=0")];
    assert_eq!(world.api_with(settings).await.ask("/api/status", &headers).await.ok()["lag"], 1);
}

#[tokio::test]
async fn counts_are_the_workspaces_own_and_the_operators_all() {
    let mut world = World::new().await;
    world.append(b"no event".to_vec());
    world.fold().await;
    let api = world.api().await;
    let of = |status: &Value| {
        ["duplicates", "conflicts", "quarantined", "set_aside"].map(|name| status[name].as_i64().unwrap())
    };
    let shown = api.get_as("operator", "/api/status").await.ok();
    assert_eq!(of(&shown), [0, 0, 1, 0]);
    let reason = shown["quarantine"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not an event"), "{reason}");
    assert_eq!(
        (&shown["quarantine"][0]["stream"], &shown["quarantine"][0]["offset"]),
        (&json!("events.v1"), &json!(0))
    );
    assert_eq!(of(&api.get("/api/status").await.ok()), [0, 0, 0, 0]);
    assert_eq!(shown["segments"].as_array().unwrap().len(), 6);
    assert_eq!(shown["segments"][0]["workspace"], "default");
    let own = api.get("/api/status").await.ok();
    let expected = json!({
        "slug": "abandoned-cart", "version": 1, "state": "ready", "serving": 1, "progress": 1.0, "eta_seconds": 0,
    });
    assert_eq!((&own["segments"][0], own["segments"].as_array().unwrap().len()), (&expected, 3));
}

#[tokio::test]
async fn a_fill_shows_how_far_it_is_and_never_that_it_is_done() {
    let mut world = World::new().await;
    for n in 0..10 {
        world.event(&user("13"), "x", TEN - 10 + n, "");
    }
    world.fold().await;
    let api = world.api().await;
    world.command(&put_segment("hot", r#"{"when":{"event":"x"}}"#));
    world.fold().await;
    let row =
        |status: &Value| status["segments"].as_array().unwrap().iter().find(|r| r["slug"] == "hot").unwrap().clone();
    let shown = api.get("/api/status").await.ok();
    assert_eq!(
        row(&shown),
        json!({"slug": "hot", "version": 1, "state": "backfilling", "serving": null, "progress": 0.0, "eta_seconds": null})
    );
    assert_eq!(shown["filling"], json!(null));
    let mut filling = Tables::create(&world.store, world.control.len() as u64).await;
    filling.take_control(&world.control).await;
    api.get("/api/status").await.ok();
    filling.take_membership(&world.events[..4]).await;
    filling.take_timeline(&world.events[..4]).await;
    let shown = api.get("/api/status").await.ok();
    assert_eq!((&row(&shown)["progress"], &shown["filling"]["generation"]), (&json!(0.4), &json!(2)));
    assert!(row(&shown)["eta_seconds"].is_u64());
    assert_eq!(shown["generation"], 1);
    filling.catch_up(&world.control, &world.events).await;
    assert_eq!(row(&api.get("/api/status").await.ok())["progress"], 0.999);
    // A definition that came after the fill began waits for the next one.
    world.command(&put_segment("next", r#"{"when":{"event":"x"}}"#));
    world.fold().await;
    let shown = api.get("/api/status").await.ok();
    let next = shown["segments"].as_array().unwrap().iter().find(|r| r["slug"] == "next").unwrap();
    assert_eq!(next["progress"], 0.0);
    world.promote(filling).await;
    let shown = api.get("/api/status").await.ok();
    assert_eq!((&row(&shown)["state"], &row(&shown)["progress"]), (&json!("ready"), &json!(1.0)));
}

#[tokio::test]
async fn health_follows_the_tables() {
    let world = World::unfilled().await;
    let settings = world.settings();
    let (health, shutdown) = (weir_lifecycle::Health::default(), settings.shutdown.clone());
    let api = QueryApi::new(world.store.clone(), settings);
    let component = health.component("tables");
    let task = tokio::spawn(async move { api.watch(component).await });
    while !health.report().reasons().contains("rebuilding") {
        tokio::task::yield_now().await;
    }
    world.store.promote(world.tables.generation.id(), None).await.unwrap();
    let begun = std::time::Instant::now();
    while !health.report().ready {
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() < std::time::Duration::from_millis(250), "the store's change is the sign, not a timer");
    shutdown.cancel();
    task.await.unwrap();
    assert!(!health.report().ready);
}

#[tokio::test]
async fn who_waits_does_not_hold_the_process_up() {
    let world = World::new().await;
    let settings = world.settings();
    let shutdown = settings.shutdown.clone();
    let client = world.api_with(settings).await;
    let begun = std::time::Instant::now();
    let token = position(Stream::Events, 1_000).to_string();
    let headers = [("authorization", "Bearer read"), ("weir-after", token.as_str()), ("prefer", "wait=60")];
    let waiting = client.ask("/api/segments", &headers);
    let stopping = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    answer.refused(503, "shutting_down");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn a_real_clock_is_not_mentioned() {
    let world = World::new().await;
    let api = world.api_with(Settings::new(weir_event::Clock::system())).await;
    let answer = api.get("/api/segments").await;
    assert!(!answer.headers.contains_key("weir-clock"));
    assert!(answer.ok()["as_of"].as_str().unwrap() > Timestamp::MIN.to_string().as_str());
}
