//! One conversation of several hundred requests, played to one process over its own files and to one over Kafka and
//! PostgreSQL: status, headers and bodies are the same, but for names that each deployment makes itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use weir_e2e::oracle::instant;

use crate::caller::hold;
use crate::house::{House, Weir};

const START: i64 = 1_795_168_800 * instant::SECOND;
/// What a body may have that is a deployment's own: names of things, places and secrets.
const OWN: [&str; 10] = [
    "request_id",
    "position",
    "next_cursor",
    "generation",
    "key",
    "write",
    "read",
    "admin",
    "partitions",
    "lag_seconds",
];
const HEADERS: [&str; 6] = ["content-type", "retry-after", "allow", "www-authenticate", "weir-clock", "cache-control"];

/// So many writes are waited for by a read; those before them were by others.
const REMEMBERED: usize = 16;

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum By {
    Write,
    Read,
    Admin,
    Operator,
    Nobody,
    /// A key that was never made.
    Stranger,
    /// One that was made in this conversation, by the name of its variable.
    Made(&'static str),
}

#[derive(Clone, Debug)]
enum Step {
    /// Time goes on, by seconds.
    Later(i64),
    /// Until all segments are filled.
    Filled,
    Ask(Request),
}

/// A request. `{name}` in path and body stands for what an earlier answer had.
#[derive(Clone, Debug)]
struct Request {
    by: By,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    /// What to keep of the answer: a name, and where in the body it is.
    keep: Vec<(&'static str, &'static str)>,
}

/// The conversation, as it is written down.
///
/// Events without an id of the producer's get one that nobody can foresee, and of several at one instant the id says which
/// is the latest: so there is only one of them at a time.
#[derive(Default)]
struct Script(Vec<Step>);

impl Script {
    fn ask(&mut self, by: By, method: &'static str, path: impl Into<String>, body: Option<String>) -> &mut Request {
        let headers = body.iter().map(|_| ("content-type", "application/json".to_owned())).collect();
        self.0.push(Step::Ask(Request { by, method, path: path.into(), headers, body, keep: Vec::new() }));
        match self.0.last_mut() {
            Some(Step::Ask(request)) => request,
            _ => unreachable!("a request was just pushed"),
        }
    }

    fn get(&mut self, path: impl Into<String>) -> &mut Request {
        self.ask(By::Read, "GET", path, None)
    }

    fn post(&mut self, path: impl Into<String>, body: Value) -> &mut Request {
        self.ask(By::Write, "POST", path, Some(body.to_string()))
    }

    fn put(&mut self, path: impl Into<String>, body: &str) -> &mut Request {
        self.ask(By::Admin, "PUT", path, Some(body.to_owned()))
    }

    fn later(&mut self, seconds: i64) {
        self.0.push(Step::Later(seconds));
    }

    fn filled(&mut self) {
        self.0.push(Step::Filled);
    }
}

impl Request {
    fn keep(&mut self, name: &'static str, pointer: &'static str) -> &mut Self {
        self.keep.push((name, pointer));
        self
    }

    fn header(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A profile's id that is the same everywhere, unlike those made of a name: rows of one instant are in the order of ids.
fn profile(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn script() -> Script {
    let mut script = Script::default();
    definitions(&mut script);
    people(&mut script);
    events(&mut script);
    bad_input(&mut script);
    baskets(&mut script);
    reads(&mut script, "");
    changes(&mut script);
    keys(&mut script);
    script.later(40 * 86_400);
    reads(&mut script, "");
    reads(&mut script, "as_of=2026-11-20T10:03:00Z");
    script
}

const SEGMENTS: [(&str, &str); 6] = [
    ("viewed", r#"{"name":"Viewed","when":{"event":"product.viewed","at_least":3,"within":"7d"}}"#),
    ("quiet", r#"{"when":{"not":{"event":"order.completed","within":"30d"}}}"#),
    ("hour", r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"1h"}}"#),
    ("gb", r#"{"when":{"all":[{"trait":"country","in":["GB","IE"]},{"score":"points","at_least":1}]}}"#),
    ("both", r#"{"when":{"any":[{"in_segment":"viewed"},{"in_segment":"gb"}]}}"#),
    ("dear", r#"{"when":{"event":"cart.added","where":{"price":{"gte":50}},"first":true}}"#),
];
const REFUSED: [&str; 8] = [
    r#"{"when":{"event":"x","within":"7 days"}}"#,
    r#"{"when":{"evnt":"x"}}"#,
    r#"{"when":{"in_segment":"nowhere"}}"#,
    r#"{"when":{"all":[]}}"#,
    r#"{"when":{"event":"x","at_least":-1}}"#,
    r#"{"when":null}"#,
    r#"{"name":"no when"}"#,
    r#"{"when":"#,
];

fn definitions(script: &mut Script) {
    // Before the last segment, which is waited for.
    script.put(
        "/api/scores/clicks",
        r#"{"rules":[{"event":"product.viewed","points":0.1},{"event":"*","points":0.001}]}"#,
    );
    for (slug, body) in SEGMENTS {
        script.put(format!("/api/segments/{slug}"), body);
        script.put(format!("/api/segments/{slug}"), body);
    }
    for body in REFUSED {
        script.put("/api/segments/refused", body);
    }
    script.put("/api/segments/Not_A_Slug", SEGMENTS[0].1);
    script.put("/api/segments/gb", r#"{"when":{"in_segment":"both"}}"#);
    script.put("/api/scores/clicks", r#"{"rules":[{"event":"x"}]}"#);
    script.ask(By::Write, "PUT", "/api/segments/viewed", Some(SEGMENTS[0].1.to_owned()));
    script.ask(By::Operator, "PUT", "/api/segments/viewed", Some(SEGMENTS[0].1.to_owned()));
    script.filled();
    for path in
        ["/api/segments", "/api/segments/both/definition", "/api/segments/refused", "/api/scores", "/api/scores/clicks"]
    {
        script.get(path);
    }
}

fn people(script: &mut Script) {
    for n in 0..12 {
        script.later(1);
        let mail = format!("P{n}@Example.com ");
        let body = json!({"email": mail, "name": format!("P {n}"), "traits": {"country": (["GB", "IE", "DE"][n % 3]), "n": n}});
        script.post("/api/profiles", body);
        script.later(1);
        script
            .post("/api/profiles", json!({"email": mail.trim().to_lowercase(), "traits": {"again": true, "né": null}}));
        script.get(format!("/api/profiles?email=p{n}@example.com"));
    }
    for n in 0..6 {
        script.later(1);
        script.post("/api/profiles", json!({"user_id": n.to_string(), "name": "User"}));
        script.later(1);
        script.ask(
            By::Write,
            "PATCH",
            format!("/api/profiles/user:{n}"),
            Some(json!({"name": format!("U{n}")}).to_string()),
        );
        script.later(1);
        script.ask(
            By::Write,
            "PATCH",
            format!("/api/profiles/{}", profile(n)),
            Some(json!({"traits": {"country": "GB"}}).to_string()),
        );
        script.get(format!("/api/profiles/user:{n}"));
        script.get(format!("/api/profiles/{}", profile(n)));
    }
    script.ask(By::Write, "PATCH", "/api/profiles/user:1", Some("{}".to_owned()));
    for body in
        [json!({}), json!({"email": "a@b.c", "user_id": "1"}), json!({"email": 7}), json!({"user_id": ""}), json!([])]
    {
        script.post("/api/profiles", body);
    }
}

fn events(script: &mut Script) {
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

fn bad_input(script: &mut Script) {
    for body in ["", "{", "[]", "null", "[{]", "{\"name\":\"x\",\"name\":\"y\"}", "\"\\ud800\"", "[1e999]"] {
        script.ask(By::Write, "POST", "/api/events", Some(body.to_owned()));
        script.ask(By::Write, "POST", format!("/api/profiles/{}/events", profile(1)), Some(body.to_owned()));
        script.ask(By::Write, "POST", "/api/profiles", Some(body.to_owned()));
        script.ask(By::Admin, "POST", "/api/keys", Some(body.to_owned()));
    }
    script.post("/api/events", json!([])).header("content-type", "text/csv");
    script.post("/api/events", json!([])).header("content-encoding", "br");
    script.post("/api/events", json!([])).header("content-encoding", "gzip");
    script.ask(By::Write, "POST", "/api/events", Some("x".repeat(5_000_001)));
    for path in ["/api/nowhere", "/", "/api/profiles/not-a-uuid", "/api/profiles/email:", "/api/profiles/fax:1"] {
        script.get(path);
    }
    for (method, path) in
        [("DELETE", "/api/events"), ("POST", "/api/segments"), ("PUT", "/api/profiles"), ("PATCH", "/api/status")]
    {
        script.ask(By::Admin, method, path, None);
    }
    for by in [By::Nobody, By::Stranger, By::Write, By::Operator] {
        for path in ["/api/segments", "/api/status", "/api/profiles/user:1", "/api/keys"] {
            script.ask(by, "GET", path, None);
        }
        script.ask(by, "POST", "/api/workspaces", Some(json!({"slug": "Bad Slug"}).to_string()));
    }
    script.ask(By::Read, "POST", "/api/events", Some("[]".to_owned()));
}

/// What is put into baskets and taken out, and every way to ask for it.
fn baskets(script: &mut Script) {
    const NAMES: [&str; 7] =
        ["cart.added", "cart.added", "cart.added", "cart.removed", "cart.updated", "order.completed", "cart.cleared"];
    for n in 0..60_usize {
        script.later(7 * 3_600);
        let properties = json!({"product_id": (["p1", "=p2", "p3"][n % 3]), "quantity": n % 4, "price": n as f64 * 0.1,
            "currency": (["EUR", "USD"][n % 2]), "name": format!("P {}", n % 5), "order_id": n,
            "products": (if n % 2 == 0 { json!([{"product_id": "p1"}]) } else { json!(null) })});
        let body = json!({"name": NAMES[(n + n / 7) % 7], "id": format!("b{n}"), "properties": properties});
        script.post(format!("/api/profiles/{}/events", profile(n % 4)), body);
    }
    script.post(format!("/api/profiles/{}/events", profile(1)), json!({"name": "cart.added", "id": "none"}));
    for n in [0, 1, 2, 3, 8, 99] {
        script.get(format!("/api/profiles/{}/basket", profile(n)));
    }
    let list = "/api/baskets/removed-items";
    for query in [
        "",
        "status=draft",
        "status=checked_out",
        "product_id=%3Dp2",
        "profile_id=00000000-0000-4000-8000-000000000002",
    ] {
        script.get(format!("{list}?{query}"));
        script.get(format!("{list}?{query}&limit=2")).keep("cursor", "/next_cursor");
        script.get(format!("{list}?{query}&limit=2&cursor={{cursor}}"));
        script.get(format!("{list}?{query}")).header("accept", "text/csv");
        script.get(format!("{list}?{query}")).header("accept", "application/x-ndjson");
    }
    for query in [
        "sort=times",
        "sort=profiles&status=draft",
        "sort=value",
        "from=2026-11-22&to=2026-11-30",
        "from=2026-11-22T03:00:00Z",
    ] {
        script.get(format!("{list}/summary?{query}"));
        script.get(format!("{list}/summary?{query}&limit=1")).keep("cursor", "/next_cursor");
        script.get(format!("{list}/summary?{query}&limit=1&cursor={{cursor}}"));
        script.get(format!("{list}/summary?{query}")).header("accept", "text/csv");
    }
    script.get("/api/segments/abandoned-cart?include=basket");
    for path in
        ["/api/segments/abandoned-cart?include=baskets", "/api/profiles/user:nobody/basket", "/api/profiles/x/basket"]
    {
        script.get(path);
    }
    for query in ["status=x", "from=yesterday", "profile_id=x", "limit=0", "cursor=x", "sort=times", "to=2026-11-20T"] {
        script.get(format!("{list}?{query}"));
        script.get(format!("{list}/summary?{query}"));
    }
    for by in [By::Write, By::Operator, By::Nobody] {
        script.ask(by, "GET", list, None);
        script.ask(by, "GET", format!("{list}/summary"), None);
        script.ask(by, "GET", format!("/api/profiles/{}/basket", profile(1)), None);
    }
}

/// Lists through all pages, counts, explanations.
fn reads(script: &mut Script, at: &str) {
    let all = SEGMENTS.iter().map(|(slug, _)| *slug).chain([
        "abandoned-cart",
        "abandoned-cart-never-ordered",
        "removed-before-checkout",
        "nowhere",
    ]);
    for slug in all {
        script.get(format!("/api/segments/{slug}/count?{at}"));
        script.get(format!("/api/segments/{slug}?{at}"));
        script.get(format!("/api/segments/{slug}?limit=4&{at}")).keep("cursor", "/next_cursor");
        script.get(format!("/api/segments/{slug}?limit=4&cursor={{cursor}}&{at}")).keep("cursor", "/next_cursor");
        script.get(format!("/api/segments/{slug}?limit=4&cursor={{cursor}}&{at}"));
        for n in [0, 3, 7, 99] {
            script.get(format!("/api/segments/{slug}/members/{}?{at}", profile(n)));
        }
    }
    for n in 0..10 {
        script.get(format!("/api/profiles/{}/segments?{at}", profile(n)));
        script.get(format!("/api/profiles/{}", profile(n)));
        script.get(format!("/api/profiles/{}/events?limit=3", profile(n))).keep("cursor", "/next_cursor");
        script.get(format!("/api/profiles/{}/events?limit=3&cursor={{cursor}}", profile(n)));
    }
    for path in [
        "/api/profiles/user:keyed/events",
        "/api/profiles/user:nd",
        "/api/profiles?user_id=1",
        "/api/profiles?email=no@body",
    ] {
        script.get(path);
    }
    for path in ["/v1/users/events?user_id=70", "/v1/users/events/?user_id=71&limit=1", "/v1/users/events?user_id=none"]
    {
        script.get(path);
    }
    script.get("/api/scores/clicks/profiles?limit=5").keep("cursor", "/next_cursor");
    script.get("/api/scores/clicks/profiles?limit=1000&cursor={cursor}");
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=x", "as_of=yesterday", "as_of=2026-11-20", "what=1"] {
        script.get(format!("/api/segments/viewed?{query}"));
    }
    for by in [By::Read, By::Operator] {
        script.ask(by, "GET", "/api/status", None);
    }
    script.ask(By::Nobody, "GET", "/version", None);
}

fn changes(script: &mut Script) {
    script.get("/api/segments/viewed?limit=1").keep("old", "/next_cursor");
    script.put("/api/segments/viewed", r#"{"when":{"event":"product.viewed","at_least":2,"within":"30d"}}"#);
    script.filled();
    script.get("/api/segments/viewed");
    script.get("/api/segments/both/count");
    script.get("/api/segments/viewed?limit=1&cursor={old}");
    for slug in ["viewed", "both", "viewed", "viewed"] {
        script.ask(By::Admin, "DELETE", format!("/api/segments/{slug}"), None);
    }
    script.put("/api/segments/viewed", SEGMENTS[0].1);
    script.ask(By::Admin, "DELETE", "/api/segments/nowhere", None);
    script.filled();
    script.get("/api/segments");
    script.get("/api/segments/both");
    script.put("/api/scores/clicks", r#"{"rules":[{"event":"LOGIN","points":-2.5}]}"#);
    script.ask(By::Admin, "DELETE", "/api/scores/points", None);
    script.put("/api/segments/after", r#"{"when":{"score":"clicks","at_most":-5}}"#);
    script.filled();
    script.ask(By::Admin, "DELETE", "/api/scores/clicks", None);
    script.get("/api/segments/after");
}

fn keys(script: &mut Script) {
    script
        .ask(By::Admin, "POST", "/api/keys", Some(json!({"role": "read", "name": "mine"}).to_string()))
        .keep("made", "/key")
        .keep("id", "/id");
    script.ask(By::Admin, "GET", "/api/keys", None);
    script.ask(By::Made("made"), "GET", "/api/segments/gb", None);
    script.ask(By::Made("made"), "POST", "/api/events", Some("[]".to_owned()));
    for role in ["operator", "king", ""] {
        script.ask(By::Admin, "POST", "/api/keys", Some(json!({ "role": role }).to_string()));
    }
    script
        .ask(By::Operator, "POST", "/api/workspaces", Some(json!({"slug": "second"}).to_string()))
        .keep("other", "/admin");
    script.ask(By::Operator, "POST", "/api/workspaces", Some(json!({"slug": "second"}).to_string()));
    for path in ["/api/segments", "/api/segments/gb", "/api/status", "/api/keys"] {
        script.ask(By::Made("other"), "GET", path, None);
    }
    script.ask(By::Made("other"), "GET", format!("/api/profiles/{}", profile(1)), None);
    script.ask(By::Admin, "DELETE", "/api/keys/{id}", None);
    script.ask(By::Admin, "DELETE", "/api/keys/{id}", None);
    script.ask(By::Admin, "GET", "/api/keys", None);
}

/// An answer, with the deployment's own names told apart only by when they first came.
struct Answer {
    asked: String,
    head: Head,
    body: Value,
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    headers: BTreeMap<String, String>,
    /// Whether there is one; what is in it is the deployment's own.
    position: bool,
    generation: bool,
}

/// The first place where two bodies differ, and what is there.
fn difference<'a>(one: &'a Value, other: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    let within = |name: String, one: &'a Value, other: &'a Value| {
        difference(one, other).map(|(at, one, other)| (format!("/{name}{at}"), one, other))
    };
    match (one, other) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            left.iter().zip(right.values()).find_map(|((name, one), other)| within(name.clone(), one, other))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).enumerate().find_map(|(n, (one, other))| within(n.to_string(), one, other))
        }
        _ => (one != other).then(|| (String::new(), one, other)),
    }
}

/// One side of the conversation.
struct Player<'a> {
    weir: &'a Weir,
    client: Client,
    keys: Value,
    now: i64,
    kept: BTreeMap<&'static str, String>,
    /// Tokens of writes; each names a place on one partition.
    positions: VecDeque<String>,
    names: BTreeMap<String, usize>,
}

async fn play(house: &House, weir: &Weir, script: &Script) -> Result<Vec<Answer>> {
    let client = Client::builder().no_proxy().build()?;
    let (keys, kept, names) = (house.keys()?, BTreeMap::new(), BTreeMap::new());
    let mut player = Player { weir, client, keys, now: START, kept, positions: VecDeque::new(), names };
    hold(&weir.operator, START).await?;
    let mut answers = Vec::new();
    for step in &script.0 {
        match step {
            Step::Later(seconds) => {
                player.now += seconds * instant::SECOND;
                hold(&weir.operator, player.now).await?;
            }
            Step::Filled => weir.shop.filled().await?,
            Step::Ask(request) => answers.push(player.ask(request).await?),
        }
    }
    Ok(answers)
}

impl Player<'_> {
    async fn ask(&mut self, request: &Request) -> Result<Answer> {
        let asked = format!("{:?} {} {}", request.by, request.method, request.path);
        let method = Method::from_bytes(request.method.as_bytes())?;
        let mut sent =
            self.client.request(method.clone(), format!("{}{}", self.weir.base, self.filled_in(&request.path)));
        if let Some(key) = self.key(request.by)? {
            sent = sent.bearer_auth(key);
        }
        for (name, value) in &request.headers {
            sent = sent.header(*name, value);
        }
        if method == Method::GET && !self.positions.is_empty() {
            let all = Vec::from_iter(self.positions.iter().map(String::as_str)).join(",");
            sent = sent.header("weir-after", all).header("prefer", "wait=60");
        }
        if request.path == "/api/status" {
            // It says how far it is, and not only to whom it knows.
            self.weir.shop.caught_up().await?;
        }
        if let Some(body) = &request.body {
            sent = sent.body(self.filled_in(body));
        }
        let answer = sent.send().await.with_context(|| asked.clone())?;
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let headers = HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), header(name)?))).collect();
        let (status, position, generation) =
            (answer.status().as_u16(), header("weir-position"), header("weir-generation"));
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        for (name, pointer) in request.keep.iter().copied() {
            self.kept.insert(name, body.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned());
        }
        let has_position = position.is_some();
        self.positions.extend(position);
        while self.positions.len() > REMEMBERED {
            self.positions.pop_front();
        }
        let body = self.told(body);
        let head = Head { status, headers, position: has_position, generation: generation.is_some() };
        Ok(Answer { asked, head, body })
    }

    fn key(&self, by: By) -> Result<Option<String>> {
        let of_file =
            |name: &str| self.keys[name].as_str().map(str::to_owned).with_context(|| format!("no {name} key"));
        Ok(Some(match by {
            By::Write => of_file("write")?,
            By::Read => of_file("read")?,
            By::Admin => of_file("admin")?,
            By::Operator => of_file("operator")?,
            By::Nobody => return Ok(None),
            By::Stranger => "weir_nobody".to_owned(),
            By::Made(name) => self.kept.get(name).cloned().with_context(|| format!("nothing was kept as {name}"))?,
        }))
    }

    fn filled_in(&self, text: &str) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The body, without what is the deployment's own.
    fn told(&mut self, body: Value) -> Value {
        match body {
            Value::Object(fields) => {
                // The first keys are made before the clock is held.
                let is_key = fields.contains_key("role");
                let mut told = |(name, value): (String, Value)| {
                    let own = OWN.contains(&name.as_str()) || (is_key && name == "created_at");
                    let value = if name == "keys" || name == "profiles" { by_what_is_known(value) } else { value };
                    let value = if own && !value.is_null() { json!("its own") } else { self.told(value) };
                    (name, value)
                };
                Value::Object(fields.into_iter().map(&mut told).collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.told(item)).collect()),
            Value::String(text) => Value::String(self.named(&text)),
            other => other,
        }
    }

    /// Ids that a deployment made, by the order in which they came.
    fn named(&mut self, text: &str) -> String {
        const LENGTH: usize = 36;
        let (mut told, mut rest) = (String::new(), text);
        while !rest.is_empty() {
            if let Some(id) = rest.get(..LENGTH).filter(|part| uuid::Uuid::try_parse(part).is_ok()) {
                let next = self.names.len();
                told.push_str(&format!("#{}", self.names.entry(id.to_owned()).or_insert(next)));
                rest = &rest[LENGTH..];
            } else {
                let character = rest.chars().next().map_or(0, char::len_utf8);
                told.push_str(&rest[..character]);
                rest = &rest[character..];
            }
        }
        told
    }
}

/// Keys are in the order of their ids, and so are profiles of equally many points: here in another one.
fn by_what_is_known(mut rows: Value) -> Value {
    let known = |row: &Value| [&row["role"], &row["name"], &row["identifiers"]].map(Value::to_string);
    let alike = |one: &Value, next: &Value| {
        one.get("role").is_some() || (one.get("points").is_some() && one["points"] == next["points"])
    };
    for run in rows.as_array_mut().into_iter().flat_map(|rows| rows.chunk_by_mut(alike)) {
        run.sort_by_key(known);
    }
    rows
}

async fn the_same_over(partitions: &str) -> Result<()> {
    let (script, flags) = (script(), ["--test-clock", "--partitions", partitions]);
    let (one, other) = (House::new(&flags)?, House::on_servers(&flags)?);
    let (embedded, on_servers) = (one.open().await?, other.open().await?);
    let one = play(&one, &embedded, &script).await.context("embedded")?;
    let other = play(&other, &on_servers, &script).await.context("on Kafka and PostgreSQL")?;
    for (n, (one, other)) in one.iter().zip(&other).enumerate() {
        let asked = || format!("request {n}, {}", one.asked);
        ensure!(one.head == other.head, "{}\n  embedded  {:?}\n  elsewhere {:?}", asked(), one.head, other.head);
        if let Some((at, one, other)) = difference(&one.body, &other.body) {
            bail!("{}, {at}\n  embedded  {one}\n  elsewhere {other}", asked());
        }
    }
    let statuses: BTreeMap<u16, usize> = one.iter().fold(BTreeMap::new(), |mut all, answer| {
        *all.entry(answer.head.status).or_default() += 1;
        all
    });
    eprintln!("{} answers are the same over {partitions} partitions: {statuses:?}", one.len());
    let asked: BTreeSet<u16> = statuses.into_keys().collect();
    let missing: Vec<u16> = [200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422]
        .into_iter()
        .filter(|s| !asked.contains(s))
        .collect();
    ensure!(one.len() > 400 && missing.is_empty(), "the conversation says too little: {missing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_answers_over_one_partition() -> Result<()> {
    the_same_over("1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_answers_over_four_partitions() -> Result<()> {
    the_same_over("4").await
}
