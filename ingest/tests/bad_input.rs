//! What bad input gets: a problem that names the part, and nothing on the log.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod house;

use std::io::Write as _;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use house::{Answer, House};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_event::Stream;

const SINGLES: [(&str, &str); 5] = [
    ("POST", "/api/profiles"),
    ("PATCH", "/api/profiles/user:13"),
    ("POST", "/api/profiles/user:13/events"),
    ("POST", "/v1/users/events"),
    ("POST", "/v1/users/events/"),
];

fn check_problem(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{what}: {}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{what}");
    for name in ["type", "title", "detail", "request_id"] {
        assert!(answer.body[name].as_str().is_some_and(|text| !text.is_empty()), "{what}: {name}");
    }
    assert_eq!(answer.body["status"], status, "{what}");
    if status == 422 && code != "slug_invalid" {
        assert!(answer.body["errors"][0]["pointer"].is_string(), "{what}: {}", answer.body);
    }
}

async fn check_nothing_stored(house: &House) {
    assert!(house.records(Stream::Events).await.is_empty());
    assert_eq!(house.records(Stream::Control).await.len(), 2);
}

/// Objects with `member` beside what each single route needs.
fn with(path: &str, member: &str) -> String {
    let rest = match path {
        "/api/profiles" => r#""user_id":"13""#,
        "/api/profiles/user:13" => r#""name":"Ada""#,
        "/api/profiles/user:13/events" => r#""name":"x""#,
        _ => r#""user_id":"13","event_type":"x""#,
    };
    format!("{{{rest},{member}}}")
}

#[tokio::test]
async fn what_every_single_route_refuses() {
    let house = House::new().await;
    for (method, path) in SINGLES {
        let twice =
            if path.starts_with("/v1") || path == "/api/profiles" { r#""user_id":"14""# } else { r#""name":"y""# };
        let deep = format!(r#""traits":{}{}"#, "[".repeat(40), "]".repeat(40));
        for (body, status, code) in [
            (String::new(), 400, "json_invalid"),
            ("{".to_owned(), 400, "json_invalid"),
            (with(path, r#""a":1"#) + "x", 400, "json_invalid"),
            ("[]".to_owned(), 422, "field_invalid"),
            ("null".to_owned(), 422, "field_invalid"),
            (with(path, twice), 400, "duplicate_name"),
            (with(path, r#""timestmap":1"#), 422, "unknown_field"),
            (with(path, r#""timestamp":"yesterday""#), 422, "field_invalid"),
            (with(path, r#""timestamp":{}"#), 422, "field_invalid"),
            (with(path, r#""timestamp":"2999-01-01T00:00:00Z""#), 422, "time_in_future"),
            (with(path, r#""timestamp":1e999"#), 422, "number_out_of_range"),
            (with(path, r#""x":"\u0000""#), 422, "text_invalid"),
            (with(path, r#""x":"\ud800""#), 422, "text_invalid"),
            (with(path, &deep), 422, "json_too_deep"),
            (with(path, &format!(r#""x":"{}""#, "y".repeat(32_000))), 413, "event_too_large"),
            (with(path, &format!(r#""x":"{}""#, "y".repeat(5_000_000))), 413, "request_too_large"),
        ] {
            let shown: String = body.chars().take(80).collect();
            let answer = house.call(method, path, &house.write, body).await;
            check_problem(&answer, status, code, &format!("{method} {path} {shown}"));
        }
        let answer = house.call(method, path, &house.write, &b"{\"a\":\"\xff\"}"[..]).await;
        check_problem(&answer, 400, "json_invalid", path);
        let answer = house.call(method, &format!("{path}?dry=1"), &house.write, "{}").await;
        check_problem(&answer, 400, "unknown_parameter", path);
    }
    check_nothing_stored(&house).await;
}

#[tokio::test]
async fn the_codings_and_media_types() {
    let house = House::new().await;
    let body = format!("[{}]", vec![r#"{"name":"x","user_id":"1"}"#; 50].join(","));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 50_000_000]).unwrap();
    let bomb = encoder.finish().unwrap();
    let mut routes = SINGLES.to_vec();
    routes.extend([
        ("POST", "/api/events"),
        ("PUT", "/api/segments/x"),
        ("PUT", "/api/scores/x"),
        ("POST", "/api/keys"),
    ]);
    for (method, path) in routes {
        let key = &house.admin;
        for (header, value, body, status, code) in [
            ("content-encoding", "gzip", whole[..whole.len() / 2].to_vec(), 400, "gzip_invalid"),
            ("content-encoding", "gzip", whole[..whole.len() - 1].to_vec(), 400, "gzip_invalid"),
            ("content-encoding", "gzip", b"plain".to_vec(), 400, "gzip_invalid"),
            ("content-encoding", "gzip", bomb.clone(), 413, "request_too_large"),
            ("content-encoding", "br", whole.clone(), 415, "unsupported_coding"),
            ("content-type", "text/plain", whole.clone(), 415, "unsupported_media_type"),
            ("content-type", "application/json; charset=latin1", whole.clone(), 415, "unsupported_media_type"),
        ] {
            let answer = house.call_with(method, path, key, &[(header, value)], body).await;
            check_problem(&answer, status, code, &format!("{method} {path} {header}: {value}"));
        }
    }
    check_nothing_stored(&house).await;
}

#[tokio::test]
async fn broken_framing_refuses_the_whole_batch() {
    let house = House::new().await;
    let good = r#"{"name":"x","user_id":"1"}"#;
    let batch = |count| format!("[{}]", vec![good; count].join(","));
    for (body, status, code) in [
        (String::new(), 400, "json_invalid"),
        (format!("[{good},"), 400, "json_invalid"),
        (format!("[{good},{{\"name\":tru}}]"), 400, "json_invalid"),
        (good.to_owned(), 422, "field_invalid"),
        ("[]".to_owned(), 422, "batch_empty"),
        (batch(10_001), 413, "batch_too_large"),
        (format!("[{good},\"{}\"]", "x".repeat(5_000_000)), 413, "request_too_large"),
    ] {
        let answer = house.call("POST", "/api/events", &house.write, body).await;
        check_problem(&answer, status, code, code);
    }
    let ndjson = [("content-type", "application/x-ndjson")];
    for (body, status, code) in
        [("\n\n".to_owned(), 422, "batch_empty"), (format!("{good}\n").repeat(10_001), 413, "batch_too_large")]
    {
        let answer = house.call_with("POST", "/api/events", &house.write, &ndjson, body).await;
        check_problem(&answer, status, code, code);
    }
    for (key, code) in [("", "idempotency_key_invalid"), (&*"k".repeat(300), "idempotency_key_invalid")] {
        let headers = [("idempotency-key", key)];
        let answer = house.call_with("POST", "/api/events", &house.write, &headers, batch(1)).await;
        check_problem(&answer, 400, code, code);
    }
    check_nothing_stored(&house).await;
}

#[tokio::test]
async fn each_item_of_a_batch_is_judged_alone() {
    let house = House::new().await;
    let item = |member: &str| format!(r#"{{"name":"x","user_id":"1",{member}}}"#);
    let levels =
        |count: usize| item(&format!(r#""properties":{}{}"#, r#"{"a":"#.repeat(count - 1) + "{", "}".repeat(count)));
    let good = [
        item(r#""properties":{"a":1,"a":2}"#),
        item(r#""properties":null,"timestamp":null,"id":null,"email":null,"received_at":null"#),
        item(&format!(r#""id":"{}""#, "é".repeat(50))),
        levels(31),
        item(&format!(r#""properties":{{"x":"{}"}}"#, "y".repeat(31_000))),
        format!(r#"{{"name":"{}","email":"a@b"}}"#, "n".repeat(200)),
        r#"{"name":"x","profile_id":"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"}"#.to_owned(),
    ];
    let bad = [
        (item(r#""properties":{"a":"\u0000"}"#), "text_invalid"),
        (item(r#""properties":{"\ud800":1}"#), "text_invalid"),
        (item(r#""properties":{"a":-1e400}"#), "number_out_of_range"),
        (item(r#""properties":[]"#), "field_invalid"),
        (levels(32), "json_too_deep"),
        (item(&format!(r#""properties":{{"x":"{}"}}"#, "y".repeat(32_000))), "event_too_large"),
        (item(r#""user_id":"2""#), "duplicate_name"),
        (item(r#""email":"a@b""#), "identifier_ambiguous"),
        (item(r#""profile_id":"00000000-0000-0000-0000-000000000005""#), "identifier_ambiguous"),
        (r#"{"name":"x"}"#.to_owned(), "identifier_missing"),
        (r#"{"user_id":"1"}"#.to_owned(), "field_missing"),
        (r#"{"name":"x","email":"nobody"}"#.to_owned(), "field_invalid"),
        (r#"{"name":"x","profile_id":"7"}"#.to_owned(), "field_invalid"),
        (r#"{"name":"x","user_id":7}"#.to_owned(), "field_invalid"),
        (r#"{"name":"","user_id":"1"}"#.to_owned(), "field_invalid"),
        (format!(r#"{{"name":"{}","user_id":"1"}}"#, "n".repeat(300)), "field_invalid"),
        (r#"{"name":"x\u0000","user_id":"1"}"#.to_owned(), "text_invalid"),
        (r#"{"name":"profile.linked","user_id":"1"}"#.to_owned(), "reserved_event_name"),
        (r#"{"name":"profile.\u006cinked","user_id":"1"}"#.to_owned(), "reserved_event_name"),
        (item(&format!(r#""id":"{}""#, "i".repeat(101))), "field_invalid"),
        (item(r#""id":"""#), "field_invalid"),
        (item(r#""timestamp":1795168800"#), "field_invalid"),
        (item(r#""timestamp":"2999-01-01T00:00:00Z""#), "time_in_future"),
        (item(r#""recieved_at":"2020-01-01T00:00:00Z""#), "unknown_field"),
        (format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), "event_too_large"),
        (format!("{}1{}", "[".repeat(100), "]".repeat(100)), "json_too_deep"),
    ];
    let mut items: Vec<_> = bad.iter().map(|(item, _)| item.as_str()).collect();
    items.extend(good.iter().map(String::as_str));
    let answer = house.call("POST", "/api/events", &house.write, format!("[{}]", items.join(","))).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(good.len())), "{}", answer.body["rejected"]);
    for (index, (item, code)) in bad.iter().enumerate() {
        let rejected = &answer.body["rejected"][index];
        let shown: String = item.chars().take(80).collect();
        assert_eq!((&rejected["index"], &rejected["code"]), (&json!(index), &json!(code)), "{shown}: {rejected}");
        assert!(!rejected["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(house.events().await.len(), good.len());
}

#[tokio::test]
async fn what_single_routes_refuse_of_their_own() {
    let house = House::new().await;
    for (method, path, body, status, code) in [
        ("POST", "/api/profiles", r#"{}"#, 422, "identifier_missing"),
        ("POST", "/api/profiles", r#"{"email":null}"#, 422, "identifier_missing"),
        ("POST", "/api/profiles", r#"{"email":"a@b","user_id":"1"}"#, 422, "identifier_ambiguous"),
        ("POST", "/api/profiles", r#"{"email":"a"}"#, 422, "field_invalid"),
        ("POST", "/api/profiles", r#"{"email":"a@b","traits":[]}"#, 422, "field_invalid"),
        ("POST", "/api/profiles", r#"{"email":"a@b","name":7}"#, 422, "field_invalid"),
        ("PATCH", "/api/profiles/user:1", r#"{}"#, 422, "field_missing"),
        ("PATCH", "/api/profiles/user:1", r#"{"name":null}"#, 422, "field_missing"),
        ("PATCH", "/api/profiles/user:1", r#"{"email":"a@b"}"#, 422, "unknown_field"),
        ("PATCH", "/api/profiles/13", r#"{"name":"x"}"#, 422, "profile_id_invalid"),
        ("PATCH", "/api/profiles/%ff", r#"{"name":"x"}"#, 400, "path_invalid"),
        ("POST", "/api/profiles/email:x/events", r#"{"name":"x"}"#, 422, "profile_id_invalid"),
        ("POST", "/api/profiles/user:1/events", r#"{}"#, 422, "field_missing"),
        ("POST", "/api/profiles/user:1/events", r#"{"name":"profile.updated"}"#, 422, "reserved_event_name"),
        (
            "POST",
            "/api/profiles/user:1/events",
            r#"{"name":"x","received_at":"2020-01-01T00:00:00Z"}"#,
            422,
            "unknown_field",
        ),
        (
            "POST",
            "/api/profiles/user:1/events",
            r#"{"name":"x","properties":{"a":{"b":"\u0000"}}}"#,
            422,
            "text_invalid",
        ),
        ("POST", "/v1/users/events", r#"{"event_type":"x"}"#, 422, "field_missing"),
        ("POST", "/v1/users/events", r#"{"user_id":"1"}"#, 422, "field_missing"),
        ("POST", "/v1/users/events", r#"{"user_id":"","event_type":"x"}"#, 422, "field_invalid"),
        ("POST", "/v1/users/events", r#"{"user_id":true,"event_type":"x"}"#, 422, "field_invalid"),
        ("POST", "/v1/users/events", r#"{"user_id":1,"event_type":"profile.erased"}"#, 422, "reserved_event_name"),
        ("POST", "/v1/users/events", r#"{"user_id":1,"event_type":"x","timestamp":1e300}"#, 422, "field_invalid"),
        ("POST", "/v1/users/events", r#"{"user_id":1,"event_type":"x","timestamp":true}"#, 422, "field_invalid"),
        ("POST", "/v1/users/events", r#"{"user_id":1,"event_type":"x","properties":{}}"#, 422, "unknown_field"),
    ] {
        let answer = house.call(method, path, &house.write, body).await;
        check_problem(&answer, status, code, &format!("{method} {path} {body}"));
    }
    let answer = house.post("/api/profiles/user:1/events", r#"{"name":"x","properties":{"a":{"b":"\u0000"}}}"#).await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/properties/a/b");
    check_nothing_stored(&house).await;
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let house = House::new().await;
    check_problem(&house.post("/api/nothing", "").await, 404, "route_unknown", "");
    check_problem(&house.call("GET", "/api/events", &house.write, "").await, 405, "method_not_allowed", "");
    check_nothing_stored(&house).await;
}

#[tokio::test]
async fn roles_and_routes() {
    let house = House::new().await;
    let id = "00000000-0000-0000-0000-000000000005";
    let revoked = house.post("/api/keys", r#"{"role":"admin"}"#).await.body;
    let path = format!("/api/keys/{}", revoked["id"].as_str().unwrap());
    assert_eq!(house.call("DELETE", &path, &house.admin, "").await.status, 204);
    let (writers, admins, operators) = ("write admin", "admin", "operator");
    for (method, path, body, may) in [
        ("POST", "/api/profiles", r#"{"user_id":"1"}"#, writers),
        ("PATCH", "/api/profiles/user:1", r#"{"name":"x"}"#, writers),
        ("POST", &format!("/api/profiles/{id}/events"), r#"{"name":"x"}"#, writers),
        ("POST", "/api/events", r#"[{"name":"x","user_id":"1"}]"#, writers),
        ("POST", "/v1/users/events", r#"{"user_id":1,"event_type":"x"}"#, writers),
        ("POST", "/v1/users/events/", r#"{"user_id":1,"event_type":"x"}"#, writers),
        ("POST", "/api/keys", r#"{"role":"read"}"#, admins),
        ("DELETE", &format!("/api/keys/{id}"), "", admins),
        ("PUT", "/api/segments/s", r#"{"when":{"event":"x"}}"#, admins),
        ("DELETE", "/api/segments/s", "", admins),
        ("PUT", "/api/scores/s", r#"{"rules":[{"event":"x","points":1}]}"#, admins),
        ("DELETE", "/api/scores/s", "", admins),
        ("POST", "/api/workspaces", r#"{"slug":"w"}"#, operators),
    ] {
        let keys =
            [("write", &house.write), ("read", &house.read), ("admin", &house.admin), ("operator", &house.operator)];
        for (role, key) in keys {
            let answer = house.call(method, path, key, body).await;
            if may.split(' ').any(|word| word == role) {
                assert!(![401, 403].contains(&answer.status), "{role} {method} {path}");
            } else {
                check_problem(&answer, 403, "role_insufficient", &format!("{role} {method} {path}"));
            }
        }
        for (key, code) in
            [("", "key_missing"), ("weir_w_none", "key_unknown"), (revoked["key"].as_str().unwrap(), "key_unknown")]
        {
            let answer = house.call(method, path, key, body).await;
            check_problem(&answer, 401, code, &format!("{method} {path}"));
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
}

/// A JSON value with all that may be wrong with one.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        Just("\"2026-11-20T10:00:00Z\"".to_owned()),
        Just("\"a@b\"".to_owned()),
        Just("\"profile.erased\"".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        ".{0,4}".prop_map(|text| Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        let names = prop_oneof![
            Just("name"),
            Just("user_id"),
            Just("email"),
            Just("properties"),
            Just("timestamp"),
            Just("id"),
            Just("profile_id"),
            Just("received_at"),
            Just("event_type"),
            Just("traits"),
            Just("when"),
            Just("event"),
            Just("rules"),
            Just("points"),
            Just("role"),
            Just("slug"),
            Just("x\\u0000"),
            Just("\\udfff"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((names, inner), 0..5).prop_map(|fields| {
                let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => value().prop_map(String::into_bytes),
        2 => (value(), any::<u8>(), any::<proptest::sample::Index>()).prop_map(|(text, byte, at)| {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is sent: never a 5xx, and what is taken can be read back.
    #[test]
    fn no_body_breaks_the_service(bodies in proptest::collection::vec(body(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::under_test_clock().await;
            let routes = SINGLES.into_iter().chain([
                ("POST", "/api/events"), ("PUT", "/api/segments/x"), ("PUT", "/api/scores/x"), ("POST", "/api/keys"),
            ]);
            for (method, path) in routes {
                for body in &bodies {
                    for media in ["application/json", "application/x-ndjson"] {
                        let headers = [("content-type", media)];
                        let body = Body::from(body.clone());
                        let answer = house.call_with(method, path, &house.admin, &headers, body).await;
                        assert!(answer.status < 500, "{method} {path}: {}", answer.body);
                    }
                }
            }
            for (method, path) in [("PUT", "/test/clock"), ("POST", "/api/workspaces")] {
                for body in &bodies {
                    let answer = house.call(method, path, &house.operator, body.clone()).await;
                    assert!(answer.status < 500, "{method} {path}: {}", answer.body);
                }
            }
            // Every record is read as an envelope.
            house.events().await;
        });
    }
}

#[tokio::test]
async fn a_misspelt_identifier_is_told_what_it_was_meant_for() {
    let house = House::new().await;
    let answer = house.post("/api/profiles", r#"{"emial":"a@b.example"}"#).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (422, Some("unknown_field")));
    assert!(answer.body["detail"].as_str().unwrap().contains("did you mean `email`"), "{}", answer.body["detail"]);
}
