//! Why somebody is a member, now and at any other instant.

use serde_json::json;
use weir_query_api::Settings;

use crate::world::*;

const PATH: &str = "/api/segments/abandoned-cart/members/user:13";

#[tokio::test]
async fn explains_by_the_tree_of_the_definition() {
    let mut world = World::new().await;
    world.event(&user("13"), "cart.added", TEN - SECOND, "");
    world.fold().await;
    let api = world.api().await;
    let explained = api.get(PATH).await.ok();
    assert_eq!((&explained["member"], &explained["next_flip"]), (&json!(true), &json!(null)));
    assert_eq!(explained["conditions"]["condition"], "event");
    assert_eq!(explained["conditions"]["found"]["latest"]["id"], "e0");
    assert_eq!(explained["conditions"]["found"]["followed_by"], json!(null));
    assert_eq!((&explained["segment"], &explained["version"]), (&json!("abandoned-cart"), &json!(1)));
    world.event(&user("13"), "order.completed", TEN, "");
    world.fold().await;
    let explained = api.get(PATH).await.ok();
    assert_eq!(
        (&explained["member"], &explained["conditions"]["found"]["followed_by"]["id"]),
        (&json!(false), &json!("e1"))
    );
    api.get("/api/segments/abandoned-cart/members/user:14").await.refused(404, "profile_not_found");
    api.get("/api/segments/abandoned-cart/members/x").await.refused(422, "profile_id_invalid");
    api.get("/api/segments/none/members/user:13").await.refused(404, "segment_not_found");
}

#[tokio::test]
async fn says_when_it_flips_next() {
    let mut world = World::new().await;
    world.command(&put_segment("hot", r#"{"when":{"event":"cart.added","within":"1h"}}"#));
    world.switch().await;
    world.event(&user("13"), "cart.added", TEN, "");
    world.fold().await;
    let explained = world.api().await.get("/api/segments/hot/members/user:13").await.ok();
    assert_eq!(explained["next_flip"], "2026-11-20T11:00:00.000000Z");
}

#[tokio::test]
async fn the_past_is_explained_by_what_was_known_then() {
    let mut world = World::new().await;
    let who = user("13");
    world.event(&who, "cart.added", TEN, "");
    world.event(&who, "order.completed", TEN + 10 * SECOND, "");
    // It happened before the order, but was heard of later.
    world.received(&who, "cart.added", TEN + 20 * SECOND, TEN + 40 * SECOND, "");
    world.event(&who, "order.completed", TEN + 50 * SECOND, "");
    world.at(TEN + 60 * SECOND);
    world.fold().await;
    let api = world.api().await;
    for (second, member, latest) in [
        ("09:59:59.999999", false, json!(null)),
        ("10:00:00", true, json!("e0")),
        ("10:00:09.999999", true, json!("e0")),
        ("10:00:10", false, json!("e0")),
        ("10:00:39.999999", false, json!("e0")),
        ("10:00:40", true, json!("e2")),
        ("10:00:50", false, json!("e2")),
    ] {
        let as_of = format!("2026-11-20T{second}Z");
        let explained = api.get(&format!("{PATH}?as_of={as_of}")).await.ok();
        assert_eq!(explained["member"], member, "{as_of}");
        assert_eq!(explained["conditions"]["found"]["latest"]["id"], latest, "{as_of}");
        let count = api.get(&format!("/api/segments/abandoned-cart/count?as_of={as_of}")).await.ok();
        assert_eq!(count["count"], i32::from(member), "{as_of}");
    }
}

#[tokio::test]
async fn a_reason_never_contradicts_the_membership() {
    let mut world = World::new().await;
    world.event(&user("13"), "cart.added", TEN - 2, "");
    world.fold().await;
    let api = world.api().await;
    world.event(&user("13"), "order.completed", TEN - 1, "");
    world.tables.take_membership(&world.events).await;
    let at_once = [("authorization", "Bearer read"), ("prefer", "wait=0")];
    api.ask(PATH, &at_once).await.refused(503, "position_not_reached");
    world.event(&user("13"), "unrelated", TEN, "");
    let (explained, ()) = tokio::join!(api.get(PATH), async {
        tokio::task::yield_now().await;
        world.tables.take_timeline(&world.events[..2]).await;
    });
    assert_eq!(explained.ok()["member"], false, "waits for the timeline");
    world.tables.take_membership(&world.events).await;
    assert_eq!(api.ask(PATH, &at_once).await.ok()["member"], false, "what is missing changes nothing");
}

#[tokio::test]
async fn a_switch_while_it_waits_does_no_harm() {
    let mut world = World::new().await;
    world.event(&user("13"), "cart.added", TEN - 2, "");
    world.fold().await;
    world.event(&user("13"), "order.completed", TEN - 1, "");
    let mut filled = world.fill().await;
    filled.catch_up(&world.control, &world.events).await;
    world.tables.take_membership(&world.events).await;
    let api = world.api_with(Settings::new(world.clock.clone())).await;
    let (explained, ()) = tokio::join!(api.get(PATH), async {
        tokio::task::yield_now().await;
        world.promote(filled).await;
    });
    assert_eq!((&explained.ok()["member"], explained.generation()), (&json!(false), Some(2)));
}
