//! Members of segments and places in scores.

use serde_json::{Value, json};

use crate::world::*;

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Thirty profiles, three entering at each instant.
async fn thirty() -> (World, Vec<String>) {
    let mut world = World::new().await;
    let mut expected = Vec::new();
    for n in 0..30_i64 {
        let who = user(&n.to_string());
        let at = TEN - 100 * SECOND + n / 3;
        world.event(&who, "cart.added", at, "");
        expected.push((at, id(&who).to_string()));
    }
    world.fold().await;
    expected.sort();
    (world, expected.into_iter().map(|(_, id)| id).collect())
}

#[tokio::test]
async fn members_come_by_entering_and_id_page_by_page() {
    let (world, expected) = thirty().await;
    let api = world.api().await;
    let whole = api.get("/api/segments/abandoned-cart").await.ok();
    assert_eq!(ids(whole["profiles"].as_array().unwrap()), expected);
    assert_eq!((&whole["segment"], &whole["next_cursor"]), (&json!("abandoned-cart"), &json!(null)));
    assert_eq!(whole["as_of"], "2026-11-20T10:00:00.000000Z");
    for limit in [1, 2, 3, 7, 29, 30, 31] {
        let paged = api.pages(&format!("/api/segments/abandoned-cart?limit={limit}"), "profiles").await;
        assert_eq!(ids(&paged), expected, "limit {limit}");
    }
    let count = api.get("/api/segments/abandoned-cart/count").await.ok();
    assert_eq!(count, json!({"segment": "abandoned-cart", "count": 30, "as_of": "2026-11-20T10:00:00.000000Z"}));
}

#[tokio::test]
async fn a_row_says_who_and_from_when_until_when() {
    let mut world = World::new().await;
    world.command(&put_segment("hot", r#"{"when":{"event":"cart.added","within":"1h"}}"#));
    world.switch().await;
    let ada = email("ada@example.com");
    world.event(&ada, "cart.added", TEN - HOUR / 2, "");
    world.event(&ada, "profile.updated", TEN - 1, r#"{"name":"Ada"}"#);
    world.fold().await;
    let api = world.api().await;
    let expected = json!({
        "id": id(&ada), "identifiers": [{"kind": "email", "value": "ada@example.com"}], "email": "ada@example.com",
        "name": "Ada", "entered_at": "2026-11-20T09:30:00.000000Z", "leaves_at": "2026-11-20T10:30:00.000000Z",
    });
    assert_eq!(api.get("/api/segments/hot").await.ok()["profiles"], json!([expected]));
    assert_eq!(api.get("/api/segments/abandoned-cart").await.ok()["profiles"][0]["leaves_at"], json!(null));
}

#[tokio::test]
async fn every_question_agrees_to_the_microsecond() {
    let mut world = World::new().await;
    world.command(&put_segment("hot", r#"{"when":{"event":"cart.added","within":"1h"}}"#));
    world.switch().await;
    world.event(&user("13"), "cart.added", TEN, "");
    world.fold().await;
    let api = world.api().await;
    for (as_of, member) in [
        ("2026-11-20T09:59:59.999999Z", false),
        ("2026-11-20T10:00:00Z", true),
        ("2026-11-20T12:00:00.5+01:30", true),
        ("2026-11-20T10:59:59.999999Z", true),
        ("2026-11-20T11:00:00Z", false),
        ("9999-12-31T23:59:59.999999Z", false),
    ] {
        let as_of = as_of.replace('+', "%2B");
        let listed = api.get(&format!("/api/segments/hot?as_of={as_of}")).await.ok();
        assert_eq!(listed["profiles"].as_array().unwrap().len(), usize::from(member), "{as_of}");
        let counted = api.get(&format!("/api/segments/hot/count?as_of={as_of}")).await.ok();
        assert_eq!((&counted["count"], &counted["as_of"]), (&json!(i32::from(member)), &listed["as_of"]), "{as_of}");
        let explained = api.get(&format!("/api/segments/hot/members/user:13?as_of={as_of}")).await.ok();
        assert_eq!(explained["member"], member, "{as_of}");
        let all = api.get(&format!("/api/segments?as_of={as_of}")).await.ok();
        let row = all["segments"].as_array().unwrap().iter().find(|row| row["slug"] == "hot").unwrap().clone();
        assert_eq!(row["count"], i32::from(member), "{as_of}");
    }
    // The same edges by the clock alone, with nothing folded in between.
    for (now, count) in [(TEN, 1), (TEN + HOUR - 1, 1), (TEN + HOUR, 0)] {
        world.at(now);
        assert_eq!(api.get("/api/segments/hot/count").await.ok()["count"], count);
        assert_eq!(api.get("/api/segments/hot/members/user:13").await.ok()["member"], count == 1);
    }
}

#[tokio::test]
async fn no_reading_lies_before_a_receipt_that_it_sees() {
    let mut world = World::new().await;
    world.event(&user("13"), "cart.added", TEN + SECOND, "");
    world.fold().await;
    let api = world.api().await;
    let path = "/api/segments/abandoned-cart/count";
    assert_eq!(
        api.get(path).await.ok(),
        json!({"segment": "abandoned-cart", "count": 1, "as_of": "2026-11-20T10:00:01.000000Z"})
    );
    world.event(&user("14"), "cart.added", TEN + HOUR, "");
    world.fold().await;
    assert_eq!(
        api.get(path).await.ok(),
        json!({"segment": "abandoned-cart", "count": 1, "as_of": "2026-11-20T10:00:02.000000Z"})
    );
}

#[tokio::test]
async fn a_cursor_pins_the_instant() {
    let mut world = World::new().await;
    world.command(&put_segment("hot", r#"{"when":{"event":"cart.added","within":"1h"}}"#));
    world.switch().await;
    for n in 0..3 {
        world.event(&user(&n.to_string()), "cart.added", TEN - 10 + n, "");
    }
    world.fold().await;
    let api = world.api().await;
    let first = api.get("/api/segments/hot?limit=1").await.ok();
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    world.at(TEN + 2 * HOUR);
    let rest = api.get(&format!("/api/segments/hot?cursor={cursor}")).await.ok();
    assert_eq!(rest["profiles"].as_array().unwrap().len(), 2, "as it was when the list was begun");
    assert_eq!(rest["as_of"], first["as_of"]);
    let path = format!("/api/segments/hot?cursor={cursor}");
    assert_eq!(api.get(&format!("{path}&as_of=2026-11-20T10:00:00Z")).await.status, 200);
    api.get(&format!("{path}&as_of=2026-11-20T10:00:01Z")).await.refused(400, "cursor_invalid");
    api.get(&format!("/api/segments/abandoned-cart?cursor={cursor}")).await.refused(400, "cursor_invalid");
    api.get_as("other-read", &format!("/api/segments/abandoned-cart?cursor={cursor}"))
        .await
        .refused(400, "cursor_invalid");
    for bad in ["", "x", "%00", &cursor[..20]] {
        api.get(&format!("/api/segments/hot?cursor={bad}")).await.refused(400, "cursor_invalid");
    }
}

#[tokio::test]
async fn segments_are_listed_with_their_counts() {
    let (world, _) = thirty().await;
    let listed = world.api().await.get("/api/segments").await.ok();
    let expected = json!({
        "slug": "abandoned-cart", "name": "Abandoned cart", "version": 1, "state": "ready", "serving": 1, "count": 30,
    });
    assert_eq!(listed["segments"][0], expected);
    assert_eq!(listed["segments"].as_array().unwrap().len(), 3);
    let other = world.api().await.get_as("other-read", "/api/segments").await.ok();
    assert_eq!(other["segments"][0]["count"], 0, "another workspace has members of its own");
}

#[tokio::test]
async fn definitions_are_shown_as_they_were_put() {
    let world = World::new().await;
    let api = world.api().await;
    let answer = api.get("/api/segments/abandoned-cart/definition").await;
    assert_eq!(answer.text, weir_control::builtin::ABANDONED_CART);
    assert_eq!(answer.headers["etag"], "\"1\"");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(api.get("/api/scores/points").await.text, weir_control::builtin::POINTS);
    for path in ["", "/count", "/definition", "/members/user:13"] {
        api.get(&format!("/api/segments/none{path}")).await.refused(404, "segment_not_found");
    }
    for path in ["", "/profiles"] {
        api.get(&format!("/api/scores/none{path}")).await.refused(404, "score_not_found");
    }
}

#[tokio::test]
async fn scores_list_the_most_points_first_then_by_id() {
    let mut world = World::new().await;
    let body = r#"{"rules":[{"event":"LOGIN","points":1},{"event":"LOSS","points":-0.5},{"event":"BIG","points":123456789012345678.123456789}]}"#;
    world.command(&put_score("points", body));
    world.switch().await;
    let mut expected = Vec::new();
    for n in 0..12_i64 {
        let who = user(&n.to_string());
        let name = ["LOGIN", "LOSS", "BIG", "unvalued"][usize::try_from(n % 4).unwrap()];
        world.event(&who, name, TEN - 100 + n, "");
        let points = ["1", "-0.5", "123456789012345678.123456789", ""][usize::try_from(n % 4).unwrap()];
        expected.push(([1, 2, 0, 3][usize::try_from(n % 4).unwrap()], id(&who).to_string(), points));
    }
    world.fold().await;
    expected.retain(|(_, _, points)| !points.is_empty());
    expected.sort();
    let api = world.api().await;
    let answer = api.get("/api/scores/points/profiles").await;
    let listed = answer.ok();
    let expected_ids: Vec<_> = expected.iter().map(|(_, id, _)| id.clone()).collect();
    assert_eq!(ids(listed["profiles"].as_array().unwrap()), expected_ids);
    assert_eq!((&listed["score"], &listed["next_cursor"]), (&json!("points"), &json!(null)));
    assert!(answer.text.contains("123456789012345678.123456789"), "exact digits: {}", answer.text);
    assert!(answer.text.contains("\"points\":-0.5"), "{}", answer.text);
    for limit in [1, 2, 3, 9] {
        let paged = api.pages(&format!("/api/scores/points/profiles?limit={limit}"), "profiles").await;
        assert_eq!(ids(&paged), expected_ids, "limit {limit}");
    }
    let cursor = api.get("/api/scores/points/profiles?limit=1").await.ok()["next_cursor"].as_str().unwrap().to_owned();
    api.get(&format!("/api/scores/points/profiles?cursor={}", &cursor[1..])).await.refused(400, "cursor_invalid");
}
