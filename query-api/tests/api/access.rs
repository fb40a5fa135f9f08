//! Keys, roles and workspaces.

use serde_json::json;
use weir_control::{Command, KeyCreated, KeyRevoked, NewKey, Role, key_hash};
use weir_event::Timestamp;
use weir_query_api::Settings;

use crate::world::*;

const ROUTES: [&str; 19] = [
    "/api/profiles?user_id=13",
    "/api/profiles/user:13",
    "/api/profiles/user:13/events",
    "/api/profiles/user:13/segments",
    "/api/profiles/user:13/basket",
    "/api/segments",
    "/api/segments/abandoned-cart",
    "/api/segments/abandoned-cart?include=basket",
    "/api/segments/abandoned-cart/count",
    "/api/segments/abandoned-cart/definition",
    "/api/segments/abandoned-cart/members/user:13",
    "/api/scores/points",
    "/api/scores/points/profiles",
    "/api/baskets/removed-items",
    "/api/baskets/removed-items/summary",
    "/v1/users/events?user_id=13",
    "/v1/users/events/?user_id=13",
    "/api/keys",
    "/api/status",
];

async fn world() -> World {
    let mut world = World::new().await;
    world.event(&user("13"), "cart.added", TEN - 1, "");
    world.fold().await;
    world
}

#[tokio::test]
async fn each_role_may_ask_its_routes() {
    let world = world().await;
    let api = world.api().await;
    for route in ROUTES {
        for (key, allowed) in
            [("write", false), ("read", route != "/api/keys"), ("admin", true), ("operator", route == "/api/status")]
        {
            let answer = api.get_as(key, route).await;
            assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{key} {route}: {}", answer.text);
            assert_eq!(answer.generation(), Some(1), "{key} {route}");
            if !allowed {
                answer.refused(403, "role_insufficient");
            }
        }
        api.get_as("nonsense", route).await.refused(401, "key_unknown");
        api.ask(route, &[]).await.refused(401, "key_missing");
        api.ask(route, &[("authorization", "Basic cmVhZDo=")]).await.refused(401, "key_missing");
    }
}

#[tokio::test]
async fn the_version_asks_for_no_key_and_says_nothing_of_tables() {
    let world = World::unfilled().await;
    let answer = world.api().await.ask("/version", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str(), answer.generation()), (200, "v1", None));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_by_method_and_path() {
    let world = world().await;
    let router = weir_query_api::QueryApi::new(world.store.clone(), world.settings()).router();
    let router = weir_http::wrap(router, weir_http::WrapOptions::default());
    let request = axum::http::Request::delete("/api/status").body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status(), 405);
}

#[tokio::test]
async fn without_keys_everybody_is_admin_and_operator() {
    let world = world().await;
    let api = world.api_with(Settings { open: true, ..world.settings() }).await;
    for route in ROUTES {
        assert_eq!(api.ask(route, &[]).await.status, 200, "{route}");
        assert_eq!(api.ask(route, &[("authorization", "Bearer nonsense")]).await.status, 200, "{route}");
    }
    assert!(api.ask("/api/status", &[]).await.ok()["partitions"].is_array());
}

#[tokio::test]
async fn keys_are_listed_without_secrets_revoked_ones_too() {
    let mut world = world().await;
    let (made, revoked) = (Timestamp::from_micros(TEN), Timestamp::from_micros(TEN + SECOND));
    let id = weir_control::KeyId(uuid::Uuid::from_u128(99));
    let key = NewKey { id, role: Role::Read, name: None, sha256: key_hash("late") };
    let (workspace, by) = (Some("default".to_owned()), "test".to_owned());
    world.command(&Command::KeyCreated(KeyCreated { workspace: workspace.clone(), key, by: by.clone(), at: made }));
    world.fold().await;
    let api = world.api().await;
    assert_eq!(api.get_as("late", "/api/segments").await.status, 200);
    world.command(&Command::KeyRevoked(KeyRevoked { workspace, id, by, at: revoked }));
    world.fold().await;
    api.get_as("late", "/api/segments").await.refused(401, "key_unknown");
    let keys = api.get_as("admin", "/api/keys").await.ok();
    let keys = keys["keys"].as_array().unwrap();
    let roles: Vec<_> = keys.iter().map(|key| key["role"].clone()).collect();
    assert_eq!(roles, ["write", "read", "admin", "read"], "the operator's is the deployment's");
    let expected = json!({
        "id": "00000000-0000-0000-0000-000000000063", "role": "read", "name": null,
        "created_at": "2026-11-20T10:00:00.000000Z", "revoked_at": "2026-11-20T10:00:01.000000Z",
    });
    assert_eq!(keys[3], expected);
    assert_eq!((&keys[1]["name"], &keys[1]["revoked_at"]), (&json!("read of the test"), &json!(null)));
    assert_eq!(api.get_as("other-admin", "/api/keys").await.ok()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_that_is_new_is_waited_for() {
    let mut world = world().await;
    let id = weir_control::KeyId(uuid::Uuid::from_u128(99));
    let key = NewKey { id, role: Role::Read, name: None, sha256: key_hash("late") };
    let at = Timestamp::from_micros(TEN);
    let made = KeyCreated { workspace: Some("default".to_owned()), key, by: "test".to_owned(), at };
    let token = world.command(&Command::KeyCreated(made));
    let told = std::sync::Arc::new(Told::new(Some(token.clone())));
    let api = world.api_with(Settings { acknowledged: Some(told), ..world.settings() }).await;
    let alone = world.api().await;

    let with_token = {
        let token = token.to_string();
        let alone = alone.clone();
        async move {
            alone.ask("/api/segments", &[("authorization", "Bearer late"), ("weir-after", token.as_str())]).await.status
        }
    };
    let mut tables = world.fill().await;
    std::mem::swap(&mut tables, &mut world.tables);
    let commit = async {
        tokio::task::yield_now().await;
        tables.take_control(&world.control).await;
    };
    let (known, known_alone, ()) = tokio::join!(api.get_as("late", "/api/segments"), with_token, commit);
    assert_eq!((known.status.as_u16(), known_alone.as_u16()), (200, 200));
    api.get_as("never", "/api/segments").await.refused(401, "key_unknown");
}

#[tokio::test]
async fn a_key_is_not_refused_before_that_can_be_known() {
    let mut world = world().await;
    let token = world.command(&put_segment("later", r#"{"when":{"event":"x"}}"#));
    let told = std::sync::Arc::new(Told::new(Some(token.clone())));
    let api = world.api_with(Settings { acknowledged: Some(told), ..world.settings() }).await;
    let headers = [("authorization", "Bearer never"), ("prefer", "wait=0")];
    api.ask("/api/segments", &headers).await.refused(503, "position_not_reached");
    world.fold().await;
    api.ask("/api/segments", &headers).await.refused(401, "key_unknown");
}
