//! The points service.

use serde_json::json;

use crate::world::*;

#[tokio::test]
async fn counts_and_values_a_users_events() {
    let mut world = World::new().await;
    let who = user("13");
    world.event(&who, "profile.registered", TEN - 100, r#"{"name":"x"}"#);
    for (n, name) in ["LOGIN", "PURCHASE", "LOGIN", "browse"].into_iter().enumerate() {
        world.event(&who, name, TEN - 90 + i64::try_from(n).unwrap(), "");
    }
    world.event(&user("14"), "PURCHASE", TEN - 1, "");
    world.fold().await;
    let api = world.api().await;
    let answer = api.get("/v1/users/events?user_id=13").await.ok();
    let expected = json!({
        "user_id": "13", "points": 12,
        "by_type": [
            {"event_type": "LOGIN", "count": 2, "points": 2},
            {"event_type": "PURCHASE", "count": 1, "points": 10},
            {"event_type": "browse", "count": 1, "points": 0},
        ],
        "events": [
            {"id": "e4", "event_type": "browse", "timestamp": "2026-11-20T09:59:59.999913Z", "points": 0},
            {"id": "e3", "event_type": "LOGIN", "timestamp": "2026-11-20T09:59:59.999912Z", "points": 1},
            {"id": "e2", "event_type": "PURCHASE", "timestamp": "2026-11-20T09:59:59.999911Z", "points": 10},
            {"id": "e1", "event_type": "LOGIN", "timestamp": "2026-11-20T09:59:59.999910Z", "points": 1},
        ],
        "next_cursor": null,
    });
    assert_eq!(answer, expected);
    assert_eq!(api.get("/v1/users/events/?user_id=13").await.ok(), expected);
    let first = api.get("/v1/users/events?user_id=13&limit=3").await.ok();
    assert_eq!(first["by_type"], expected["by_type"], "a page counts everything");
    for limit in 1..5 {
        let paged = api.pages(&format!("/v1/users/events?user_id=13&limit={limit}"), "events").await;
        assert_eq!(json!(paged), expected["events"], "limit {limit}");
    }
    assert_eq!(api.get("/api/profiles/user:13").await.ok()["scores"]["points"], 12, "the same as the score");
}

#[tokio::test]
async fn counts_all_of_more_events_than_are_read_at_once() {
    let mut world = World::new().await;
    for n in 0..2_001 {
        world.event(&user("13"), "LOGIN", TEN - 5_000 + n, "");
    }
    world.fold().await;
    let api = world.api().await;
    let answer = api.get("/v1/users/events?user_id=13&limit=1000").await.ok();
    assert_eq!((&answer["points"], &answer["by_type"][0]["count"]), (&json!(2001), &json!(2001)));
    assert_eq!(answer["events"].as_array().unwrap().len(), 1_000);
    let paged = api.pages("/v1/users/events?user_id=13&limit=1000", "events").await;
    assert_eq!(paged.len(), 2_001);
}

#[tokio::test]
async fn a_user_who_is_not_there_and_one_without_events() {
    let mut world = World::new().await;
    world.event(&user("facts"), "profile.updated", TEN - 1, r#"{"name":"x"}"#);
    world.event(&email("a@b.c"), "LOGIN", TEN - 1, "");
    world.fold().await;
    let api = world.api().await;
    let answer = api.get("/v1/users/events?user_id=facts").await.ok();
    assert_eq!(answer, json!({"user_id": "facts", "points": 0, "by_type": [], "events": [], "next_cursor": null}));
    api.get("/v1/users/events?user_id=a@b.c").await.refused(404, "profile_not_found");
    api.get("/v1/users/events").await.refused(400, "parameter_missing");
    api.get("/v1/users/events?user_id=").await.refused(422, "identifier_invalid");
    api.get("/v1/users/events?user_id=%00").await.refused(422, "identifier_invalid");
}

#[tokio::test]
async fn points_are_those_of_the_score_that_is_read() {
    let mut world = World::new().await;
    world.event(&user("13"), "LOGIN", TEN - 1, "");
    world.fold().await;
    let api = world.api().await;
    world.command(&put_score("points", r#"{"rules":[{"event":"LOGIN","points":0.1}]}"#));
    world.fold().await;
    let path = "/v1/users/events?user_id=13";
    assert_eq!(api.get(path).await.ok()["points"], 1, "the old version until the new one is filled");
    world.switch().await;
    assert_eq!(api.get(path).await.ok()["points"], 0.1);
    world.command(&weir_control::Command::ScoreDeleted(delete("points")));
    world.fold().await;
    let answer = api.get(path).await.ok();
    assert_eq!((&answer["points"], &answer["by_type"][0]["count"]), (&json!(0), &json!(1)), "no rules, no points");
}
