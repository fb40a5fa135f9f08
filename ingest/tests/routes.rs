//! Every route's happy path: the answer to the letter, and what lies on the log then.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod house;

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use house::House;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_event::{Clock, Identifier, IdentifierKind, Position, Stream, Timestamp};
use weir_event_log::MemoryLog;

const NOW: &str = "2026-11-20T10:00:00.120000Z";

/// A house whose clock stands at [`NOW`].
async fn held() -> House {
    let house = House::under_test_clock().await;
    house.clock.hold(Some(Timestamp::parse(NOW).unwrap())).unwrap();
    house
}

fn namespace_of(control: &[weir_event_log::LogRecord]) -> Uuid {
    let made: Value = serde_json::from_slice(&control[1].value).unwrap();
    made["namespace"].as_str().unwrap().parse().unwrap()
}

async fn id_of(house: &House, kind: IdentifierKind, value: &str) -> String {
    let namespace = namespace_of(&house.records(Stream::Control).await);
    Identifier::new(kind, value).unwrap().profile_id(namespace).to_string()
}

#[tokio::test]
async fn registering_a_profile() {
    let house = held().await;
    let id = id_of(&house, IdentifierKind::Email, "ada@example.com").await;
    let body = r#"{"email":" Ada@Example.com ","name":"Ada","traits":{"plan" : "pro","n":1.50},"timestamp":"2026-11-19T10:00:00+01:00"}"#;
    let answer = house.call("POST", "/api/profiles", &house.write, body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.body,
        json!({"id": id, "email": "ada@example.com", "name": "Ada", "traits": {"plan": "pro", "n": 1.5}, "received_at": NOW})
    );
    let events = house.events().await;
    let mut expected = json!({
        "specversion": "1.0", "source": "/default", "type": "profile.registered", "subject": id,
        "time": "2026-11-19T09:00:00.000000Z", "receivedtime": NOW, "profilekind": "email",
        "profilevalue": "ada@example.com",
        "data": {"email": "ada@example.com", "name": "Ada", "traits": {"plan": "pro", "n": 1.5}},
    });
    expected["id"] = events[0]["id"].clone();
    assert_eq!(events, [expected]);
    assert_eq!(answer.position().next.values().copied().max(), Some(1));

    // The same again is the same profile; without more than its name it says no more.
    let answer = house.call("POST", "/api/profiles", &house.write, r#"{"user_id":"13","name":null}"#).await;
    let id = id_of(&house, IdentifierKind::User, "13").await;
    assert_eq!(
        answer.body,
        json!({"id": id, "email": null, "user_id": "13", "name": null, "traits": {}, "received_at": NOW})
    );
    let answer = house.call("POST", "/api/profiles", &house.write, r#"{"anonymous_id":"v-1"}"#).await;
    assert_eq!((answer.status, &answer.body["anonymous_id"]), (201, &json!("v-1")));
    let last = house.events().await.into_iter().find(|event| event["profilevalue"] == "v-1").unwrap();
    assert_eq!((&last["profilekind"], &last["data"]), (&json!("anonymous"), &json!({})));
}

#[tokio::test]
async fn changing_a_profile_by_id_or_name() {
    let house = held().await;
    let id = Uuid::from_u128(5).to_string();
    let path = format!("/api/profiles/{id}");
    let answer = house.call("PATCH", &path, &house.write, r#"{"traits":{"plan":null}}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({"id": id, "email": null, "name": null, "traits": {"plan": null}, "received_at": NOW})
    );
    let event = house.events().await.remove(0);
    assert_eq!((&event["type"], &event["subject"]), (&json!("profile.updated"), &json!(id)));
    assert_eq!((&event["data"], &event["profilekind"]), (&json!({"traits": {"plan": null}}), &Value::Null));

    let id = id_of(&house, IdentifierKind::Email, "ada@example.com").await;
    let answer = house.call("PATCH", "/api/profiles/email:Ada%40example.com", &house.write, r#"{"name":"Ada"}"#).await;
    assert_eq!(
        answer.body,
        json!({"id": id, "email": "ada@example.com", "name": "Ada", "traits": {}, "received_at": NOW})
    );
    let event = house.events().await.into_iter().find(|event| event["subject"] == *id).unwrap();
    assert_eq!(event["data"], json!({"email": "ada@example.com", "name": "Ada"}));
}

#[tokio::test]
async fn one_event_for_a_profile() {
    let house = held().await;
    let id = Uuid::from_u128(5).to_string();
    let body = r#"{"name":"cart.added","properties":{"product_id":"sku-1","n":1.0},"timestamp":"2026-11-20T09:00:00.1234569Z","id":"e-1"}"#;
    let answer = house.call("POST", &format!("/api/profiles/{id}/events"), &house.write, body).await;
    assert_eq!(answer.status, 201);
    let time = "2026-11-20T09:00:00.123456Z";
    assert_eq!(
        answer.body,
        json!({"id": "e-1", "profile_id": id, "name": "cart.added", "properties": {"product_id": "sku-1", "n": 1.0},
            "timestamp": time, "received_at": NOW})
    );
    let records = house.records(Stream::Events).await;
    let expected = format!(
        r#"{{"specversion":"1.0","id":"e-1","source":"/default","type":"cart.added","subject":"{id}","time":"{time}","receivedtime":"{NOW}","data":{{"product_id":"sku-1","n":1.0}}}}"#
    );
    assert_eq!(records[0].value, expected.as_bytes());

    let answer =
        house.call("POST", "/api/profiles/user:13/events", &house.write, r#"{"name":"x","properties":null}"#).await;
    assert_eq!((answer.status, &answer.body["properties"], &answer.body["timestamp"]), (201, &json!({}), &json!(NOW)));
    assert_eq!(Uuid::parse_str(answer.body["id"].as_str().unwrap()).unwrap().get_version_num(), 7);
    let event = house.events().await.into_iter().find(|event| event["type"] == "x").unwrap();
    assert_eq!((&event["profilevalue"], &event["data"]), (&json!("13"), &json!({})));
}

const MIXED: [&str; 7] = [
    r#"{"name":"a","email":"ada@example.com","properties":{"n":1}}"#,
    r#"{"name":"b"}"#,
    r#"{"name":"c","user_id":"13","id":"same"}"#,
    r#"{"name":"profile.erased","user_id":"13"}"#,
    r#"{"name":"d","anonymous_id":"v","propertes":{}}"#,
    r#"7"#,
    r#"{"name":"e","profile_id":"00000000-0000-0000-0000-000000000005"}"#,
];

fn check_mixed(answer: &house::Answer) {
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(3)));
    let rejected: Vec<_> =
        answer.body["rejected"].as_array().unwrap().iter().map(|r| (r["index"].clone(), r["code"].clone())).collect();
    let expected = [(1, "identifier_missing"), (3, "reserved_event_name"), (4, "unknown_field"), (5, "field_invalid")];
    assert_eq!(rejected, expected.map(|(index, code)| (json!(index), json!(code))));
    assert!(answer.body["rejected"][2]["message"].as_str().unwrap().contains("did you mean `properties`?"));
    assert_eq!(answer.body["position"], answer.headers["weir-position"].to_str().unwrap());
    assert_eq!(answer.body.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn a_bad_item_is_refused_alone() {
    let house = held().await;
    let answer = house.call("POST", "/api/events", &house.write, format!("[{}]", MIXED.join(" ,"))).await;
    check_mixed(&answer);
    let mut names: Vec<_> =
        house.events().await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["a", "c", "e"]);
    let end: u64 = answer.position().next.values().sum();
    assert_eq!(end, 3);
}

#[tokio::test]
async fn a_bad_line_is_refused_alone_and_empty_lines_are_not_counted() {
    let house = held().await;
    let ndjson = [("content-type", "application/x-ndjson; charset=utf-8")];
    let mut body =
        format!("\n{}\r\n \n{}\n\n{}", MIXED[..1].join("\n"), MIXED[1..5].join("\r\n\r\n"), MIXED[5..].join("\n"));
    check_mixed(&house.call_with("POST", "/api/events", &house.write, &ndjson, body.clone()).await);

    body = body.replace('7', "{\"name\":");
    let answer = house.call_with("POST", "/api/events", &house.write, &ndjson, body).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(3)));
    assert_eq!(
        (&answer.body["rejected"][3]["index"], &answer.body["rejected"][3]["code"]),
        (&json!(5), &json!("json_invalid"))
    );
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_undone_on_every_route() {
    let house = held().await;
    let headers = [("content-encoding", "gzip")];
    let answer =
        house.call_with("POST", "/api/events", &house.write, &headers, gzip(&format!("[{}]", MIXED.join(",")))).await;
    check_mixed(&answer);
    let answer = house.call_with("POST", "/api/profiles", &house.write, &headers, gzip(r#"{"user_id":"1"}"#)).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn a_batch_in_which_nothing_is_accepted_writes_nothing() {
    let house = held().await;
    let answer = house.post("/api/events", "[{},{}]").await;
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(0)));
    assert_eq!(Position::parse(answer.body["position"].as_str().unwrap()).unwrap().next.len(), 0);
    assert!(house.events().await.is_empty());
}

#[tokio::test]
async fn the_order_of_a_batch_is_kept_and_ids_grow() {
    let house = House::over(Arc::new(MemoryLog::new(1).unwrap()), Clock::system(), false).await;
    let items: Vec<_> = (0..500).map(|n| json!({"name": format!("n{n}"), "user_id": n.to_string()})).collect();
    let answer = house.post("/api/events", Value::from(items).to_string()).await;
    assert_eq!(answer.body["accepted"], 500);
    let events = house.events().await;
    let names: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, (0..500).map(|n| format!("n{n}")).collect::<Vec<_>>());
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_ids() {
    let house = held().await;
    let body = r#"[{"name":"a","user_id":"1"},{"name":"b","user_id":"1","id":"own"},{"name":"c","user_id":"1"}]"#;
    for key in ["k1", "\"k1\"", "k2"] {
        assert_eq!(
            house.call_with("POST", "/api/events", &house.write, &[("idempotency-key", key)], body).await.status,
            200
        );
    }
    let ids: Vec<_> = house.events().await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids[0..3], ids[3..6]);
    assert_eq!(ids[1], "own");
    assert_ne!(ids[0], ids[2]);
    assert_ne!((&ids[0], &ids[2]), (&ids[6], &ids[8]));

    for path in ["/api/profiles", "/api/profiles/user:1/events", "/v1/users/events"] {
        let body = match path {
            "/api/profiles" => r#"{"user_id":"one"}"#,
            "/v1/users/events" => r#"{"user_id":"one","event_type":"LOGIN"}"#,
            _ => r#"{"name":"x"}"#,
        };
        let before = house.events().await;
        for _ in 0..2 {
            assert_eq!(
                house.call_with("POST", path, &house.write, &[("idempotency-key", "k")], body).await.status,
                201
            );
        }
        let new: Vec<_> = house.events().await.into_iter().filter(|event| !before.contains(event)).collect();
        assert_eq!((new.len(), &new[0]["id"]), (2, &new[1]["id"]), "{path}");
    }
}

#[tokio::test]
async fn an_import_has_its_own_receipt_and_keeps_the_arrival() {
    let house = held().await;
    let body = r#"[{"name":"old","user_id":"1","timestamp":"2020-01-01T00:00:00Z","received_at":"2020-01-02T00:00:00Z"},
        {"name":"plain","user_id":"1","received_at":"2020-01-03T00:00:00Z"}]"#;
    assert_eq!(house.post("/api/events", body).await.body["accepted"], 2);
    let events = house.events().await;
    assert_eq!(events[0]["time"], "2020-01-01T00:00:00.000000Z");
    assert_eq!(events[0]["receivedtime"], "2020-01-02T00:00:00.000000Z");
    assert_eq!(events[0]["arrivedtime"], NOW);
    assert_eq!(events[1]["time"], "2020-01-03T00:00:00.000000Z");

    let answer = house.call("POST", "/api/events", &house.write, body).await;
    assert_eq!(
        (&answer.body["accepted"], &answer.body["rejected"][1]["code"]),
        (&json!(0), &json!("role_insufficient"))
    );
    let future = r#"[{"name":"x","user_id":"1","received_at":"2026-11-20T10:00:00.120001Z"}]"#;
    assert_eq!(house.post("/api/events", future).await.body["rejected"][0]["code"], "time_in_future");
    // The future begins 24 hours after the receipt, also after one of long ago.
    let body = r#"[{"name":"x","user_id":"1","received_at":"2020-01-01T00:00:00Z","timestamp":"2020-01-02T00:00:00Z"},
        {"name":"x","user_id":"1","received_at":"2020-01-01T00:00:00Z","timestamp":"2020-01-02T00:00:00.000001Z"}]"#;
    let answer = house.post("/api/events", body).await;
    assert_eq!((&answer.body["accepted"], &answer.body["rejected"][0]["code"]), (&json!(1), &json!("time_in_future")));
}

#[tokio::test]
async fn the_points_service() {
    let house = held().await;
    let body = r#"{"user_id":13,"event_type":"LOGIN","timestamp":1795168800.1234569}"#;
    let answer = house.call("POST", "/v1/users/events", &house.write, body).await;
    assert_eq!(answer.status, 201);
    let id = answer.body["id"].clone();
    let time = "2026-11-20T10:00:00.123456Z";
    assert_eq!(
        answer.body,
        json!({"id": id, "user_id": "13", "event_type": "LOGIN", "timestamp": time, "received_at": NOW})
    );
    let event = house.events().await.remove(0);
    assert_eq!((&event["type"], &event["time"], &event["profilevalue"]), (&json!("LOGIN"), &json!(time), &json!("13")));
    assert_eq!(event["subject"], id_of(&house, IdentifierKind::User, "13").await);

    for (timestamp, expected) in [
        ("1795168800123", "2026-11-20T10:00:00.123000Z"),
        ("\"2026-11-20T11:00:00+01:00\"", "2026-11-20T10:00:00.000000Z"),
        ("null", NOW),
        ("-1", "1969-12-31T23:59:59.000000Z"),
    ] {
        let body = format!(r#"{{"user_id":"13","event_type":"x","timestamp":{timestamp}}}"#);
        let answer = house.call("POST", "/v1/users/events/", &house.write, body).await;
        assert_eq!((answer.status, &answer.body["timestamp"]), (201, &json!(expected)));
    }
}

#[tokio::test]
async fn a_workspace_has_keys_that_work_at_once() {
    let house = House::new().await;
    let answer = house.call("POST", "/api/workspaces", &house.operator, r#"{"slug":"shop"}"#).await;
    assert_eq!((answer.status, &answer.body["workspace"]), (201, &json!("shop")));
    assert_eq!(answer.body.as_object().unwrap().len(), 4);
    assert_eq!(answer.position().next.len(), 1);
    for role in ["write", "admin"] {
        let key = answer.body[role].as_str().unwrap();
        assert_eq!(house.call("POST", "/api/profiles", key, r#"{"user_id":"1"}"#).await.status, 201, "{role}");
    }
    let read = answer.body["read"].as_str().unwrap();
    assert_eq!(house.call("POST", "/api/profiles", read, r#"{"user_id":"1"}"#).await.code(), "role_insufficient");
    assert!(house.events().await.iter().all(|event| event["source"] == "/shop"));
    assert_eq!(house.ingest.acknowledged().of("shop"), house.ingest.acknowledged().all());
    assert!(house.ingest.acknowledged().of("default") != house.ingest.acknowledged().all());

    let again = house.call("POST", "/api/workspaces", &house.operator, r#"{"slug":"shop"}"#).await;
    assert_eq!((again.status, again.code()), (409, "slug_taken"));
    let bad = house.call("POST", "/api/workspaces", &house.operator, r#"{"slug":"Shop 1"}"#).await;
    assert_eq!((bad.status, bad.code()), (422, "slug_invalid"));
}

#[tokio::test]
async fn a_key_works_as_soon_as_it_was_answered_and_not_after_its_revocation() {
    let house = House::new().await;
    let answer = house.post("/api/keys", r#"{"role":"write","name":"shop"}"#).await;
    assert_eq!(answer.status, 201);
    let (id, key) = (answer.body["id"].as_str().unwrap().to_owned(), answer.body["key"].as_str().unwrap().to_owned());
    assert_eq!(answer.body, json!({"id": id, "role": "write", "name": "shop", "key": key}));
    assert_eq!(house.call("POST", "/api/profiles", &key, r#"{"user_id":"1"}"#).await.status, 201);

    let path = format!("/api/keys/{id}");
    let answer = house.call("DELETE", &path, &house.admin, "").await;
    assert_eq!((answer.status, &answer.body), (204, &Value::Null));
    assert!(answer.headers.contains_key("weir-position"));
    let answer = house.call("POST", "/api/profiles", &key, r#"{"user_id":"1"}"#).await;
    assert_eq!((answer.status, answer.code()), (401, "key_unknown"));
    for path in [path.as_str(), "/api/keys/7"] {
        let answer = house.call("DELETE", path, &house.admin, "").await;
        assert_eq!((answer.status, answer.code()), (404, "unknown_key"));
    }
    let unnamed = house.post("/api/keys", r#"{"role":"admin"}"#).await;
    assert_eq!((unnamed.status, &unnamed.body["name"]), (201, &Value::Null));
    for body in [r#"{"role":"operator"}"#, r#"{"role":"boss"}"#, r#"{}"#, r#"{"role":"read","name":""}"#] {
        assert_eq!(house.post("/api/keys", body).await.status, 422, "{body}");
    }
    // Neither the log nor an answer has the secret again.
    let control = house.records(Stream::Control).await;
    assert!(control.iter().all(|record| !String::from_utf8_lossy(&record.value).contains(&key)));
}

#[tokio::test]
async fn definitions_are_put_changed_and_deleted() {
    let house = House::new().await;
    let body = r#"{ "when" : {"score": "points", "at_least": 10.50} }"#;
    let answer = house.put("/api/segments/rich", body).await;
    assert_eq!((answer.status, answer.body.clone()), (201, json!({"slug": "rich", "version": 1})));
    // The same up to white space is no new version.
    let answer = house.put("/api/segments/rich", r#"{"when":{"score":"points","at_least":10.50}}"#).await;
    assert_eq!((answer.status, answer.body.clone()), (200, json!({"slug": "rich", "version": 1})));
    let answer = house.put("/api/segments/rich", r#"{"when":{"score":"points","at_least":11}}"#).await;
    assert_eq!((answer.status, answer.body.clone()), (200, json!({"slug": "rich", "version": 2})));
    let built_in = house.put("/api/scores/points", weir_control::builtin::POINTS.replace(',', " ,\n")).await;
    assert_eq!((built_in.status, built_in.body["version"].clone()), (200, json!(1)));

    let control = house.records(Stream::Control).await;
    let put: Value = serde_json::from_slice(&control[2].value).unwrap();
    assert_eq!(
        (&put["type"], &put["body"]),
        (&json!("segment.put"), &json!(r#"{"when":{"score":"points","at_least":10.50}}"#))
    );
    assert_eq!(put["names"], json!([{"kind": "score", "slug": "points"}]));

    let answer = house.call("DELETE", "/api/scores/points", &house.admin, "").await;
    assert_eq!((answer.status, answer.code()), (409, "definition_in_use"));
    assert_eq!(house.call("DELETE", "/api/segments/rich", &house.admin, "").await.status, 204);
    let answer = house.call("DELETE", "/api/segments/rich", &house.admin, "").await;
    assert_eq!((answer.status, answer.code()), (404, "unknown_segment"));
    assert_eq!(house.call("DELETE", "/api/scores/points", &house.admin, "").await.status, 204);
    let answer = house.put("/api/segments/rich", body).await;
    assert_eq!((answer.status, answer.code()), (422, "names_unknown_score"));
    let answer = house.put("/api/segments/rich", r#"{"when":{"event":"x"}}"#).await;
    assert_eq!((answer.status, answer.body.clone()), (201, json!({"slug": "rich", "version": 3})));
    let answer = house.put("/api/segments/Rich", body).await;
    assert_eq!((answer.status, answer.code()), (422, "slug_invalid"));
    let answer = house.put("/api/scores/x", r#"{"rules":[{"event":"x","points":1}],"nmae":"x"}"#).await;
    assert_eq!((answer.status, answer.code()), (422, "unknown_field"));
    let answer = house.put("/api/segments/x", r#"{"when":{"event":"x","atleast":2}}"#).await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/when/atleast");
}

#[tokio::test]
async fn the_test_clock_is_held_and_goes_forward_only() {
    let house = House::under_test_clock().await;
    let set = async |now: &str| {
        let answer = house.call("PUT", "/test/clock", &house.operator, format!(r#"{{"now":{now}}}"#)).await;
        (answer.status, answer.code().to_owned())
    };
    let (done, refused) = ((204, "-".to_owned()), (422, "clock_backwards".to_owned()));
    // A refused event is no receipt: any instant will do while the log has none.
    assert_eq!(house.post("/api/profiles", "{}").await.status, 422);
    assert_eq!(set("\"2020-01-01T00:00:00Z\"").await, done);
    assert_eq!(set("\"2019-12-31T23:59:59Z\"").await, refused);
    assert_eq!(
        house.post("/api/profiles", r#"{"user_id":"1"}"#).await.body["received_at"],
        "2020-01-01T00:00:00.000000Z"
    );
    assert_eq!(set("\"2020-01-01T00:00:00Z\"").await, done);
    assert_eq!(set("null").await, done);
    let answer = house.post("/api/profiles", r#"{"user_id":"1"}"#).await;
    let newest = answer.body["received_at"].clone();
    assert!(newest.as_str().unwrap() > "2026");
    assert_eq!(set("\"2021-01-01T00:00:00Z\"").await, refused);
    assert_eq!(set(&newest.to_string()).await, done);
    for body in ["{}", " { } ", r#"{"now":7}"#, r#"{"now":"soon"}"#, r#"{"now":null,"then":null}"#, "[]"] {
        assert_eq!(house.call("PUT", "/test/clock", &house.operator, body).await.status, 422, "{body}");
    }
    assert_eq!(house.call("PUT", "/test/clock", &house.admin, r#"{"now":null}"#).await.status, 403);

    // After a restart the newest receipt is known again, and the clock doesn't fall behind it.
    house.clock.hold(Some(Timestamp::parse("2999-01-01T00:00:00Z").unwrap())).unwrap();
    assert_eq!(house.post("/api/profiles", r#"{"user_id":"1"}"#).await.status, 201);
    let again = House::over(Arc::clone(&house.log), Clock::test(), false).await;
    assert_eq!(again.clock.now(), Timestamp::parse("2999-01-01T00:00:00Z").unwrap());
    let answer = again.call("PUT", "/test/clock", &again.operator, r#"{"now":"2998-12-31T23:59:59Z"}"#).await;
    assert_eq!((answer.status, answer.code()), (422, "clock_backwards"));
    assert_eq!(
        again.call("PUT", "/test/clock", &again.operator, r#"{"now":"2999-01-01T00:00:00Z"}"#).await.status,
        204
    );
}

#[tokio::test]
async fn without_a_test_clock_there_is_no_such_route() {
    let house = House::new().await;
    let answer = house.call("PUT", "/test/clock", &house.operator, r#"{"now":null}"#).await;
    assert_eq!((answer.status, answer.code()), (404, "route_unknown"));
}

#[tokio::test]
async fn an_open_deployment_asks_for_no_key() {
    let house = House::open().await;
    assert_eq!(house.call("POST", "/api/profiles", "", r#"{"user_id":"1"}"#).await.status, 201);
    assert_eq!(house.call("POST", "/api/keys", "", r#"{"role":"read"}"#).await.status, 201);
    assert_eq!(house.call("POST", "/api/workspaces", "", r#"{"slug":"shop"}"#).await.status, 201);
    let import = r#"[{"name":"x","user_id":"1","received_at":"2020-01-01T00:00:00Z"}]"#;
    assert_eq!(house.call("POST", "/api/events", "", import).await.body["accepted"], 1);
    assert_eq!(house.events().await[0]["source"], "/default");
}

#[tokio::test]
async fn reads_of_another_service_fit_onto_the_same_paths() {
    let mut house = House::new().await;
    let mut reads = axum::Router::new();
    for path in [
        "/api/profiles",
        "/api/profiles/{id}",
        "/api/profiles/{id}/events",
        "/v1/users/events",
        "/v1/users/events/",
        "/api/keys",
        "/api/segments/{slug}",
        "/api/scores/{slug}",
    ] {
        reads = reads.route(path, axum::routing::get(|| async { "\"read\"" }));
    }
    house.router = weir_http::wrap(house.ingest.router().merge(reads), weir_http::WrapOptions::default());
    assert_eq!(house.call("GET", "/api/profiles", "", "").await.body, "read");
    assert_eq!(house.post("/api/profiles", r#"{"user_id":"1"}"#).await.status, 201);
    assert_eq!(house.call("PATCH", "/api/segments/x", "", "").await.status, 405);
}
