//! Profiles, their events and their segments.

use serde_json::json;

use crate::world::*;

const ADA: &str = "email:Ada@Example.com";

async fn ada() -> World {
    let mut world = World::new().await;
    let ada = email("ada@example.com");
    let facts = r#"{"name":"Ada","traits":{"plan":"pro","tags":["a",1.50],"gone":1}}"#;
    world.event(&ada, "profile.registered", TEN - 10 * SECOND, facts);
    world.event(&ada, "cart.added", TEN - 5 * SECOND, r#"{"sku":"x"}"#);
    world.received(&ada, "LOGIN", TEN - 9 * SECOND, TEN - 4 * SECOND, "");
    world.event(&ada, "profile.updated", TEN - 3 * SECOND, r#"{"traits":{"gone":null}}"#);
    world.fold().await;
    world
}

#[tokio::test]
async fn a_profile_is_what_its_facts_and_points_say() {
    let world = ada().await;
    let api = world.api().await;
    let answer = api.get(&format!("/api/profiles/{ADA}")).await;
    let expected = json!({
        "id": id(&email("ada@example.com")), "identifiers": [{"kind": "email", "value": "ada@example.com"}],
        "email": "ada@example.com", "name": "Ada", "traits": {"plan": "pro", "tags": ["a", 1.5]},
        "scores": {"points": 1}, "created_at": "2026-11-20T09:59:50.000000Z", "updated_at": "2026-11-20T09:59:57.000000Z",
    });
    assert_eq!(answer.ok(), expected);
    assert!(answer.text.contains("1.50"), "values stay as they were sent: {}", answer.text);
    assert_eq!(answer.headers["weir-clock"], "test");
    assert_eq!(answer.generation(), Some(1));
    assert_eq!(api.get(&format!("/api/profiles/{}", id(&email("ada@example.com")))).await.ok(), expected);
    for query in ["email=ADA@example.com", "email=%20ada%40example.com"] {
        assert_eq!(api.get(&format!("/api/profiles?{query}")).await.ok(), json!({"profiles": [expected]}));
    }
    assert_eq!(api.get("/api/profiles?user_id=nobody").await.ok(), json!({"profiles": []}));
}

#[tokio::test]
async fn a_profile_known_by_id_only_has_no_identifier_and_no_fact() {
    let mut world = World::new().await;
    let profile = id(&user("13"));
    let record = world.record("default", profile, None, "x", (TEN - 1, TEN - 1), "");
    world.append(record);
    world.fold().await;
    let shown = world.api().await.get(&format!("/api/profiles/{profile}")).await.ok();
    assert_eq!(shown["identifiers"], json!([]));
    assert_eq!((&shown["email"], &shown["name"], &shown["updated_at"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(shown["scores"], json!({"points": 0}));
}

#[tokio::test]
async fn a_name_that_is_no_text_is_none() {
    let mut world = World::new().await;
    world.event(&user("13"), "profile.updated", TEN - 1, r#"{"traits":{"name":5,"email":{"a":1}}}"#);
    world.fold().await;
    let shown = world.api().await.get("/api/profiles/user:13").await.ok();
    assert_eq!((&shown["email"], &shown["name"]), (&json!(null), &json!(null)));
    assert_eq!(shown["traits"], json!({"name": 5, "email": {"a": 1}}));
}

#[tokio::test]
async fn what_names_no_profile_is_refused() {
    let world = ada().await;
    let api = world.api().await;
    let unknown = uuid::Uuid::from_u128(5);
    for path in ["", "/events", "/segments"] {
        let answer = api.get(&format!("/api/profiles/{unknown}{path}")).await;
        answer.refused(404, "profile_not_found");
        assert_eq!(answer.generation(), Some(1), "a 404 says what it was read from");
        api.get(&format!("/api/profiles/user:no%2Fbody{path}")).await.refused(404, "profile_not_found");
        api.get(&format!("/api/profiles/13{path}")).await.refused(422, "profile_id_invalid");
        // Another workspace's profile.
        let ada = id(&email("ada@example.com"));
        api.get_as("other-read", &format!("/api/profiles/{ada}{path}")).await.refused(404, "profile_not_found");
    }
    api.get("/api/profiles/%ff").await.refused(400, "path_invalid");
    api.get("/api/profiles").await.refused(400, "parameter_missing");
    api.get("/api/profiles?email=a@b.c&user_id=1").await.refused(400, "parameter_conflict");
    api.get("/api/profiles?email=ada").await.refused(422, "identifier_invalid");
    api.get(&format!("/api/profiles/{ADA}?limit=1")).await.refused(400, "unknown_parameter");
    api.get("/api/profile").await.refused(404, "route_unknown");
}

#[tokio::test]
async fn events_come_newest_first_facts_too() {
    let world = ada().await;
    let api = world.api().await;
    let answer = api.get(&format!("/api/profiles/{ADA}/events")).await.ok();
    let names: Vec<_> = answer["events"].as_array().unwrap().iter().map(|event| event["name"].clone()).collect();
    assert_eq!(names, ["profile.updated", "cart.added", "LOGIN", "profile.registered"]);
    assert_eq!(answer["next_cursor"], json!(null));
    let expected = json!({
        "id": "e2", "profile_id": id(&email("ada@example.com")), "name": "LOGIN", "properties": {},
        "timestamp": "2026-11-20T09:59:51.000000Z", "received_at": "2026-11-20T09:59:56.000000Z",
        "at": "2026-11-20T09:59:51.000000Z",
    });
    assert_eq!(answer["events"][2], expected);
    assert_eq!(answer["events"][1]["properties"], json!({"sku": "x"}));
    let paged = api.pages(&format!("/api/profiles/{ADA}/events?limit=1"), "events").await;
    assert_eq!(json!(paged), answer["events"]);
}

#[tokio::test]
async fn a_clock_that_is_fast_is_clamped_to_the_receipt() {
    let mut world = World::new().await;
    world.received(&user("13"), "x", TEN + HOUR, TEN - SECOND, "");
    world.fold().await;
    let event = &world.api().await.get("/api/profiles/user:13/events").await.ok()["events"][0];
    assert_eq!(event["timestamp"], "2026-11-20T11:00:00.000000Z");
    assert_eq!(event["at"], "2026-11-20T09:59:59.000000Z");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_only() {
    let mut world = ada().await;
    let bob = user("bob");
    world.event(&bob, "x", TEN - 2, "");
    world.event(&bob, "x", TEN - 1, "");
    world.fold().await;
    let api = world.api().await;
    let of_bob = api.get("/api/profiles/user:bob/events?limit=1").await.ok();
    let cursor = of_bob["next_cursor"].as_str().unwrap();
    let ok = format!("/api/profiles/user:bob/events?cursor={cursor}");
    assert_eq!(api.get(&ok).await.ok()["events"].as_array().unwrap().len(), 1);
    for bad in [cursor, &cursor[1..], "", "x"] {
        let path = format!("/api/profiles/{ADA}/events?cursor={bad}");
        api.get(&path).await.refused(400, "cursor_invalid");
    }
    api.get(&format!("/v1/users/events?user_id=bob&cursor={cursor}")).await.refused(400, "cursor_invalid");
    for limit in ["0", "1001", "x", ""] {
        api.get(&format!("/api/profiles/{ADA}/events?limit={limit}")).await.refused(400, "limit_invalid");
    }
}

#[tokio::test]
async fn segments_of_a_profile_are_those_of_the_instant() {
    let mut world = World::new().await;
    world.command(&put_segment("hot", r#"{"name":"Hot","when":{"event":"cart.added","within":"1h"}}"#));
    world.switch().await;
    let ada = email("ada@example.com");
    world.event(&ada, "cart.added", TEN - HOUR / 2, "");
    world.fold().await;
    let api = world.api().await;
    let path = format!("/api/profiles/{ADA}/segments");
    let shown = api.get(&path).await.ok();
    assert_eq!(shown["pending"], json!([]));
    let slugs: Vec<_> = shown["segments"].as_array().unwrap().iter().map(|each| each["slug"].clone()).collect();
    assert_eq!(slugs, ["abandoned-cart", "abandoned-cart-never-ordered", "hot"]);
    let (entered, leaves) = ("2026-11-20T09:30:00.000000Z", "2026-11-20T10:30:00.000000Z");
    assert_eq!(shown["segments"][2], json!({"slug": "hot", "name": "Hot", "entered_at": entered, "leaves_at": leaves}));
    assert_eq!(shown["segments"][0]["leaves_at"], json!(null));
    for (as_of, count) in [
        ("2026-11-20T10:29:59.999999Z", 3),
        ("2026-11-20T10:30:00Z", 2),
        ("2026-11-20T09:30:00Z", 3),
        ("2026-11-20T09:29:59.999999Z", 0),
        ("0001-01-01T00:00:00Z", 0),
    ] {
        let shown = api.get(&format!("{path}?as_of={as_of}")).await.ok();
        assert_eq!(shown["segments"].as_array().unwrap().len(), count, "{as_of}");
    }
    api.get(&format!("{path}?as_of=now")).await.refused(400, "as_of_invalid");
    world.at(TEN + HOUR / 2);
    assert_eq!(api.get(&path).await.ok()["segments"].as_array().unwrap().len(), 2, "time alone ends it");
}
