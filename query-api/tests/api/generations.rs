//! Definitions that come, change, go or fail, and the generations that fill them.

use serde_json::{Value, json};
use weir_control::Command;

use crate::world::*;

const HOT: &str = r#"{"name":"Hot","when":{"event":"cart.added","within":"1h"}}"#;

async fn row(api: &Client, slug: &str) -> Value {
    let listed = api.get("/api/segments").await.ok();
    listed["segments"].as_array().unwrap().iter().find(|row| row["slug"] == slug).cloned().unwrap_or_default()
}

async fn world() -> World {
    let mut world = World::new().await;
    for n in 0..3 {
        world.event(&user(&n.to_string()), "cart.added", TEN - 10 + n, "");
    }
    world.fold().await;
    world
}

#[tokio::test]
async fn a_new_definition_is_never_answered_in_part() {
    let mut world = world().await;
    let api = world.api().await;
    world.command(&put_segment("hot", HOT));
    world.fold().await;
    let expected =
        json!({"slug": "hot", "name": "Hot", "version": 1, "state": "backfilling", "serving": null, "count": null});
    assert_eq!(row(&api, "hot").await, expected);
    for path in ["", "/count", "/members/user:1"] {
        let answer = api.get(&format!("/api/segments/hot{path}")).await;
        answer.refused(503, "segment_backfilling");
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(api.get("/api/segments/hot/definition").await.text, HOT);
    let of_profile = api.get("/api/profiles/user:1/segments").await.ok();
    assert_eq!(of_profile["pending"], json!(["hot"]));
    world.switch().await;
    let answer = api.get("/api/segments/hot/count").await;
    assert_eq!((&answer.ok()["count"], answer.generation()), (&json!(3), Some(2)));
    assert_eq!(row(&api, "hot").await["state"], "ready");
    assert_eq!(api.get("/api/profiles/user:1/segments").await.ok()["pending"], json!([]));
}

#[tokio::test]
async fn the_old_version_serves_until_the_new_one_is_filled() {
    let mut world = world().await;
    let api = world.api().await;
    let begun = api.get("/api/segments/abandoned-cart?limit=1").await.ok();
    let cursor = begun["next_cursor"].as_str().unwrap().to_owned();
    world.command(&put_segment("abandoned-cart", r#"{"name":"New","when":{"event":"never"}}"#));
    world.fold().await;
    let expected = json!({
        "slug": "abandoned-cart", "name": "New", "version": 2, "state": "backfilling", "serving": 1, "count": 3,
    });
    assert_eq!(row(&api, "abandoned-cart").await, expected);
    let definition = api.get("/api/segments/abandoned-cart/definition").await;
    assert_eq!(
        (definition.ok()["name"].clone(), &definition.headers["etag"]),
        (json!("New"), &"\"2\"".parse().unwrap())
    );
    let next = format!("/api/segments/abandoned-cart?cursor={cursor}");
    assert_eq!(api.get(&next).await.ok()["profiles"].as_array().unwrap().len(), 2);
    let named = api.get("/api/profiles/user:1/segments").await.ok();
    assert_eq!(named["segments"][0]["name"], "Abandoned cart", "the name of the version that is read");
    world.switch().await;
    api.get(&next).await.refused(409, "cursor_expired");
    assert_eq!(api.get("/api/segments/abandoned-cart/count").await.ok()["count"], 0);
}

#[tokio::test]
async fn a_deleted_definition_is_gone_at_once_and_lends_nothing_to_the_next() {
    let mut world = world().await;
    let api = world.api().await;
    world.command(&Command::SegmentDeleted(delete("abandoned-cart")));
    world.fold().await;
    api.get("/api/segments/abandoned-cart").await.refused(404, "segment_not_found");
    assert_eq!(row(&api, "abandoned-cart").await, Value::Null);
    let slugs = api.get("/api/profiles/user:1/segments").await.ok();
    assert_eq!(slugs["segments"].as_array().unwrap().len(), 1);
    world.command(&put_segment("abandoned-cart", HOT));
    world.fold().await;
    api.get("/api/segments/abandoned-cart").await.refused(503, "segment_backfilling");
    let again = row(&api, "abandoned-cart").await;
    assert_eq!((&again["version"], &again["serving"]), (&json!(2), &json!(null)));
}

#[tokio::test]
async fn what_cannot_be_compiled_is_failed_and_replaces_nothing() {
    let mut world = world().await;
    let api = world.api().await;
    let later = r#"{"name":"Later","when":{"form_of_a_later_release":1}}"#;
    world.command(&put_segment("abandoned-cart", later));
    world.command(&put_segment("new", later));
    world.fold().await;
    for _ in 0..2 {
        let changed = row(&api, "abandoned-cart").await;
        assert_eq!(
            (&changed["state"], &changed["serving"], &changed["count"]),
            (&json!("failed"), &json!(1), &json!(3))
        );
        assert_eq!((&changed["name"], &changed["version"]), (&json!("Later"), &json!(2)));
        assert_eq!(row(&api, "new").await["state"], "failed");
        for path in ["", "/count", "/members/user:1"] {
            api.get(&format!("/api/segments/new{path}")).await.refused(409, "segment_failed");
        }
        assert_eq!(api.get("/api/segments/new/definition").await.text, later);
        assert_eq!(api.get("/api/profiles/user:1/segments").await.ok()["pending"], json!([]));
        let status = api.get("/api/status").await.ok();
        let failed = status["segments"].as_array().unwrap().iter().find(|row| row["slug"] == "new").unwrap().clone();
        assert_eq!((&failed["state"], &failed["progress"]), (&json!("failed"), &json!(null)));
        assert!(failed["failed_reason"].as_str().unwrap().contains("form_of_a_later_release"), "{failed}");
        // Filling again doesn't change that.
        world.switch().await;
    }
}

#[tokio::test]
async fn a_score_that_changes_is_filled_like_a_segment_and_takes_its_segments_along() {
    let mut world = World::new().await;
    world.command(&put_segment("rich", r#"{"when":{"score":"points","at_least":10}}"#));
    world.command(&put_score("bonus", r#"{"rules":[{"event":"LOGIN","points":1}]}"#));
    world.switch().await;
    world.event(&user("13"), "PURCHASE", TEN - 1, "");
    world.fold().await;
    let api = world.api().await;
    assert_eq!(api.get("/api/segments/rich/count").await.ok()["count"], 1);
    let begun = format!("/api/scores/points/profiles?limit=1{}", "");
    assert_eq!(api.get(&begun).await.ok()["profiles"][0]["points"], 10);
    world.command(&put_score("points", r#"{"rules":[{"event":"PURCHASE","points":1}]}"#));
    world.command(&put_score("new", r#"{"rules":[{"event":"PURCHASE","points":1}]}"#));
    world.fold().await;
    let rich = row(&api, "rich").await;
    assert_eq!((&rich["state"], &rich["version"], &rich["serving"]), (&json!("backfilling"), &json!(1), &json!(1)));
    assert_eq!(api.get(&begun).await.ok()["profiles"][0]["points"], 10);
    api.get("/api/scores/new/profiles").await.refused(503, "score_backfilling");
    assert_eq!(api.get("/api/profiles/user:13").await.ok()["scores"], json!({"bonus": 0, "points": 10}));
    world.switch().await;
    assert_eq!(api.get(&begun).await.ok()["profiles"][0]["points"], 1);
    assert_eq!(row(&api, "rich").await["state"], "ready");
    assert_eq!(api.get("/api/segments/rich/count").await.ok()["count"], 0);
}

#[tokio::test]
async fn a_workspace_made_later_has_its_first_definitions_at_once() {
    let mut world = world().await;
    let api = world.api().await;
    let keys = [(weir_control::Role::Read, "third-read")];
    world.command(&workspace("third", uuid::Uuid::from_u128(0x4444), &keys, 50));
    world.fold().await;
    let listed = api.get_as("third-read", "/api/segments").await.ok();
    assert_eq!(listed["segments"][0]["state"], "ready");
    assert_eq!(listed["segments"][0]["count"], 0);
}

#[tokio::test]
async fn a_generation_that_is_removed_under_a_reader_is_left() {
    let mut world = world().await;
    let api = world.api().await;
    for expected in 2..6 {
        world.switch().await;
        let answers = futures_of(&api).await;
        assert!(answers.iter().all(|answer| *answer == (200, Some(expected))), "{answers:?}");
    }
}

/// Many readers at once, so that connections beyond the first are opened.
async fn futures_of(api: &Client) -> Vec<(u16, Option<u64>)> {
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { api.get("/api/segments/abandoned-cart/count").await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        answers.push((answer.status.as_u16(), answer.generation()));
    }
    answers
}
