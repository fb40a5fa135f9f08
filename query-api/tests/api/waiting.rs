//! Reads that wait for what their callers know of.

use std::sync::Arc;
use std::time::Instant;

use weir_event::{Position, Stream};
use weir_query_api::Settings;

use crate::world::*;

const COUNT: &str = "/api/segments/abandoned-cart/count";

#[tokio::test]
async fn a_token_is_waited_for() {
    let mut world = World::new().await;
    let api = world.api().await;
    let token = world.event(&user("13"), "cart.added", TEN - 1, "");
    let (answer, ()) = tokio::join!(api.get_after(&token, "wait=30", COUNT), async {
        tokio::task::yield_now().await;
        world.tables.take_membership(&world.events).await;
    });
    assert_eq!(answer.ok()["count"], 1);
    let events = "/api/profiles/user:13/events";
    let (answer, ()) = tokio::join!(api.get_after(&token, "wait=30", events), async {
        tokio::task::yield_now().await;
        world.tables.take_timeline(&world.events).await;
    });
    assert_eq!(answer.ok()["events"].as_array().unwrap().len(), 1, "events wait for the timeline");
}

#[tokio::test]
async fn a_definitions_token_waits_for_control_and_no_fill() {
    let mut world = World::new().await;
    let api = world.api().await;
    let token = world.command(&put_segment("hot", r#"{"when":{"event":"x"}}"#));
    let (answer, ()) = tokio::join!(api.get_after(&token, "wait=30", "/api/segments/hot"), async {
        tokio::task::yield_now().await;
        world.tables.take_control(&world.control).await;
    });
    answer.refused(503, "segment_backfilling");
}

#[tokio::test]
async fn a_token_that_is_not_reached_is_503() {
    let mut world = World::new().await;
    let api = world.api().await;
    let token = world.event(&user("13"), "cart.added", TEN - 1, "");
    for wait in ["wait=0", "wait=1"] {
        let answer = api.get_after(&token, wait, COUNT).await;
        answer.refused(503, "position_not_reached");
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(answer.generation(), Some(1));
    }
    // Where the events aren't read, they aren't waited for.
    assert_eq!(api.get_after(&token, "wait=0", "/api/scores/points").await.status, 200);
    let far = position(Stream::Events, usize::MAX);
    api.get_after(&far, "wait=0", COUNT).await.refused(503, "position_not_reached");
}

#[tokio::test]
async fn several_tokens_are_all_waited_for() {
    let mut world = World::new().await;
    let api = world.api().await;
    let reached = world.event(&user("13"), "cart.added", TEN - 1, "");
    world.fold().await;
    let later = world.event(&user("14"), "cart.added", TEN - 1, "");
    let ask = |tokens: String| {
        let api = api.clone();
        async move {
            let headers = [("authorization", "Bearer read"), ("prefer", "wait=0"), ("weir-after", tokens.as_str())];
            api.ask(COUNT, &headers).await
        }
    };
    assert_eq!(ask(format!("{reached}, {reached}")).await.status, 200);
    ask(format!("{reached},{later}")).await.refused(503, "position_not_reached");
    ask(format!("{reached},")).await.refused(400, "position_invalid");
    ask("abc".to_owned()).await.refused(400, "position_invalid");
    let mut foreign = Position::new(uuid::Uuid::from_u128(77));
    foreign.raise(Stream::Events, 0, 1);
    ask(format!("{reached},{foreign}")).await.refused(409, "position_unknown");
}

#[tokio::test]
async fn a_token_stays_good_across_a_switch() {
    let mut world = World::new().await;
    let api = world.api().await;
    let token = world.event(&user("13"), "cart.added", TEN - 1, "");
    let filled = world.fill().await;
    let (answer, ()) = tokio::join!(api.get_after(&token, "wait=30", COUNT), async {
        tokio::task::yield_now().await;
        // The generation that the read began with never gets there.
        world.promote(filled).await;
    });
    assert_eq!((&answer.ok()["count"], answer.generation()), (&serde_json::json!(1), Some(2)));
}

#[tokio::test]
async fn without_a_token_what_was_acknowledged_is_waited_for() {
    let mut world = World::new().await;
    let told = Told::new(None);
    let settings = Settings { acknowledged: Some(Arc::new(told.clone())), ..world.settings() };
    let api = world.api_with(settings).await;
    assert_eq!(api.get(COUNT).await.ok()["count"], 0);
    *told.0.lock().unwrap() = Some(world.event(&user("13"), "cart.added", TEN - 1, ""));
    let at_once = [("authorization", "Bearer read"), ("prefer", "wait=0")];
    let begun = Instant::now();
    assert_eq!(api.ask(COUNT, &at_once).await.ok()["count"], 0, "turned off");
    assert!(begun.elapsed().as_millis() < 900);
    let begun = Instant::now();
    assert_eq!(api.get(COUNT).await.ok()["count"], 0, "after a second it answers with what there is");
    assert!((900..5_000).contains(&begun.elapsed().as_millis()));
    let (answer, ()) = tokio::join!(api.get(COUNT), async {
        tokio::task::yield_now().await;
        world.tables.take_membership(&world.events).await;
    });
    assert_eq!(answer.ok()["count"], 1);
}

#[tokio::test]
async fn many_who_wait_are_all_woken() {
    let mut world = World::new().await;
    let api = world.api().await;
    let tokens: Vec<_> = (0..20).map(|n| world.event(&user(&n.to_string()), "cart.added", TEN - 100 + n, "")).collect();
    let waiting: Vec<_> = tokens
        .into_iter()
        .enumerate()
        .map(|(n, token)| {
            let api = api.clone();
            tokio::spawn(async move { (n, api.get_after(&token, "wait=30", COUNT).await) })
        })
        .collect();
    for end in 1..=20 {
        world.tables.take_membership(&world.events[..end]).await;
        tokio::task::yield_now().await;
    }
    for task in waiting {
        let (n, answer) = task.await.unwrap();
        assert!(answer.ok()["count"].as_u64().unwrap() > n as u64, "its own write is in the answer");
    }
}
