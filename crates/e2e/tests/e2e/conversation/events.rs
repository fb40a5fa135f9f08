//! Events in every form in which they are posted.

use serde_json::{Value, json};
use weir_e2e::oracle::instant;

use super::START;
use super::script::{By, Script, profile};

pub(super) fn events(script: &mut Script) {
    const NAMES: [&str; 4] = ["product.viewed", "cart.added", "order.completed", "LOGIN"];
    for n in 0..40_usize {
        script.later(7);
        let body =
            json!({"name": NAMES[(n * n + n / 3) % 4], "id": format!("e{n}"), "properties": {"price": n * 3, "n": n}});
        script.post(format!("/api/profiles/{}/events", profile(n % 9)), body.clone());
        if n % 8 == 0 {
            // Repeats: the same, and another one under its id.
            script.post(format!("/api/profiles/{}/events", profile(n % 9)), body);
            script.post(
                format!("/api/profiles/{}/events", profile(n % 9)),
                json!({"name": "LOGIN", "id": format!("e{n}")}),
            );
        }
    }
    for round in 0..6_usize {
        script.later(60);
        let item = |n: usize| {
            let mut item = json!({"name": NAMES[(n + round) % 4], "profile_id": profile(n % 11), "id": format!("b{round}-{n}"), "properties": {"price": n}});
            item["timestamp"] =
                instant::format(START - instant::DAY + (round * 100 + n) as i64 * instant::SECOND).into();
            item
        };
        let mut items: Vec<Value> = (0..30).map(item).collect();
        items.push(json!({"name": "LOGIN"}));
        items.push(json!({"name": "profile.erased", "user_id": "1"}));
        items.push(json!({"name": "LOGIN", "user_id": "1", "email": "a@b.c"}));
        items.push(json!({"name": "LOGIN", "user_id": "1", "timestamp": "2031-01-01T00:00:00Z"}));
        items.push(
            json!({"name": "LOGIN", "user_id": "1", "received_at": "2026-01-01T00:00:00Z", "id": format!("i{round}")}),
        );
        items.push(json!({"name": "LOGIN", "user_id": "1", "unknwn": 1}));
        items.push(json!({"name": "LOGIN", "user_id": "2", "properties": {"too": "x".repeat(33_000)}}));
        items.push(json!(7));
        let by = if round % 2 == 0 { By::Write } else { By::Admin };
        script.ask(by, "POST", "/api/events", Some(Value::from(items).to_string()));
        // Without ids, sent twice under one key.
        let items = format!(
            r#"[{{"name":"LOGIN","user_id":"keyed"}},{{"name":"PURCHASE","user_id":"keyed","timestamp":"2026-11-20T08:0{round}:00Z"}}]"#
        );
        for _ in 0..2 {
            script.later(1);
            script
                .ask(By::Write, "POST", "/api/events", Some(items.clone()))
                .header("idempotency-key", &format!("k{round}"));
        }
    }
    let lines = "{\"name\":\"LOGIN\",\"user_id\":\"nd\",\"id\":\"n1\"}\n\nno json\n{\"name\":\"PURCHASE\",\"user_id\":\"nd\",\"id\":\"n2\"}";
    script.later(1);
    script.ask(By::Write, "POST", "/api/events", Some(lines.to_owned())).header("content-type", "application/x-ndjson");
    cloud_events(script);
    for (n, kind) in ["LOGIN", "PURCHASE", "REFERRAL", "LOGIN"].iter().enumerate() {
        script.later(1);
        script.post(
            "/v1/users/events",
            json!({"user_id": n % 2 + 70, "event_type": kind, "timestamp": 1_700_000_000 + n}),
        );
        script.later(1);
        script.post(
            "/v1/users/events/",
            json!({"user_id": "71", "event_type": kind, "timestamp": "2026-11-20T09:00:00+01:00"}),
        );
    }
    script.post("/v1/users/events", json!({"user_id": "71"}));
}

fn cloud_events(script: &mut Script) {
    let event = |n: usize| {
        json!({"specversion": "1.0", "id": format!("c{n}"), "source": "/x", "type": "cart.added", "subject": profile(n),
            "time": instant::format(START - n as i64 * 1_000_001), "data": {"price": 99}})
    };
    for n in 0..4 {
        script.later(1);
        let request = script.post("/api/events", event(n));
        request.header("content-type", "application/cloudevents+json");
    }
    let batch =
        Value::from(vec![event(5), json!({"specversion": "0.3", "id": "x"}), json!({"type": "cart.added"}), event(6)]);
    script.post("/api/events", batch).header("content-type", "application/cloudevents-batch+json");
    let binary = script.post("/api/events", json!({"price": 1}));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "bin"),
        ("ce-source", "/x"),
        ("ce-type", "cart.added"),
        ("ce-subject", "00000000-0000-4000-8000-000000000007"),
    ] {
        binary.header(name, value);
    }
}
