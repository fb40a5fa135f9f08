//! Random histories: few profiles, whole seconds, and everything that goes wrong between a producer and the log.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::oracle::{FACTS, instant};

/// The names of events that histories and definitions use.
pub(super) const EVENTS: [&str; 5] = ["product.viewed", "cart.added", "order.completed", "LOGIN", "PURCHASE"];

/// Ids of different lengths, in another order by UTF-16 than by code point.
pub(super) const IDS: [&str; 8] = ["e", "e1", "e10", "e2", "E", "é", "\u{ffff}", "𝄞"];

/// How a profile is named by a sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// By e-mail, normalised.
    Email(String),
    /// By the sender's id of a user.
    User(String),
    /// By the sender's id of a visitor.
    Anonymous(String),
    /// By the profile's id.
    Id(Uuid),
}

impl Who {
    /// Kind and value; nothing for an id.
    pub fn identifier(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Email(value) => Some(("email", value)),
            Self::User(value) => Some(("user", value)),
            Self::Anonymous(value) => Some(("anonymous", value)),
            Self::Id(_) => None,
        }
    }

    /// The profile's id in a workspace with that namespace.
    pub fn profile(&self, namespace: Uuid) -> Uuid {
        match (self, self.identifier()) {
            (Self::Id(id), _) => *id,
            (_, Some((kind, value))) => Uuid::new_v5(&namespace, format!("{kind}:{value}").as_bytes()),
            (_, None) => Uuid::nil(),
        }
    }
}

/// One event or fact, as sent and received.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The profile.
    pub who: Who,
    /// The event's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The text of its data.
    pub data: String,
    /// When it happened, by the producer.
    pub time: i64,
    /// When it was received.
    pub received: i64,
    /// When it arrived, for an import.
    pub arrived: Option<i64>,
}

/// A fact as a request of its own; it gets an id from ingest.
#[derive(Clone, Debug)]
pub struct FactRequest {
    /// `POST` or `PATCH`.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The body.
    pub body: String,
}

impl Sent {
    /// The record on the log.
    pub fn record(&self, workspace: &str, namespace: Uuid) -> Vec<u8> {
        let mut head = json!({
            "specversion": "1.0", "id": self.id, "source": format!("/{workspace}"), "type": self.name,
            "subject": self.who.profile(namespace).to_string(),
            "time": instant::format(self.time), "receivedtime": instant::format(self.received),
        });
        if let Some(arrived) = self.arrived {
            head["arrivedtime"] = json!(instant::format(arrived));
        }
        if let Some((kind, value)) = self.who.identifier() {
            head["profilekind"] = json!(kind);
            head["profilevalue"] = json!(value);
        }
        with_raw(&head, "data", &self.data).into_bytes()
    }

    /// The item of `POST /api/events`; nothing for a fact.
    pub fn item(&self) -> Option<String> {
        if FACTS.contains(&self.name.as_str()) {
            return None;
        }
        let mut item = json!({ "name": self.name, "id": self.id, "timestamp": instant::format(self.time) });
        match (&self.who, self.who.identifier()) {
            (Who::Id(id), _) => item["profile_id"] = json!(id.to_string()),
            (_, Some(("email", value))) => item["email"] = json!(value),
            (_, Some(("user", value))) => item["user_id"] = json!(value),
            (_, Some((_, value))) => item["anonymous_id"] = json!(value),
            (_, None) => {}
        }
        if self.arrived.is_some() {
            item["received_at"] = json!(instant::format(self.received));
        }
        Some(with_raw(&item, "properties", &self.data))
    }

    /// The request for a fact; nothing for an event.
    pub fn fact(&self) -> Option<FactRequest> {
        if !FACTS.contains(&self.name.as_str()) {
            return None;
        }
        let mut body: Value = serde_json::from_str(&self.data).ok()?;
        body["timestamp"] = json!(instant::format(self.time));
        match (&self.who, self.who.identifier()) {
            (Who::Id(id), _) => {
                return Some(FactRequest {
                    method: "PATCH",
                    path: format!("/api/profiles/{id}"),
                    body: body.to_string(),
                });
            }
            (_, Some(("email", value))) => body["email"] = json!(value),
            (_, Some(("user", value))) => body["user_id"] = json!(value),
            (_, Some((_, value))) => body["anonymous_id"] = json!(value),
            (_, None) => {}
        }
        Some(FactRequest { method: "POST", path: "/api/profiles".to_owned(), body: body.to_string() })
    }
}

/// The object with one more field, whose text is kept to the byte.
pub(super) fn with_raw(object: &Value, field: &str, raw: &str) -> String {
    let text = object.to_string();
    format!("{},\"{field}\":{raw}}}", text.strip_suffix('}').unwrap_or(&text))
}

/// What a history is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many profiles it has.
    pub profiles: usize,
    /// How many records.
    pub records: usize,
    /// The window in which an id is a repeat; jumps of just this length, a bit less and a bit more are made.
    pub dedup_window: i64,
    /// Whether receipts go back at times, as with several clocks. Over HTTP, with a test clock, they can't.
    pub receipts_go_back: bool,
    /// Whether some records are imports, received long before they arrived.
    pub imports: bool,
    /// The first receipt.
    pub start: i64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            profiles: 3,
            records: 30,
            dedup_window: 28 * instant::DAY,
            receipts_go_back: true,
            imports: false,
            start: 1_795_168_800 * instant::SECOND,
        }
    }
}

/// What was sent, in log order.
#[derive(Clone, Debug)]
pub struct History {
    /// The namespace of the workspace.
    pub namespace: Uuid,
    /// All events and facts.
    pub sent: Vec<Sent>,
}

impl History {
    /// The log with that many partitions, all records in the workspace. A profile's are all in one partition, though
    /// not in the one that a broker's partitioner would take.
    pub fn partitions(&self, workspace: &str, count: usize) -> Vec<Vec<Vec<u8>>> {
        let mut partitions = vec![Vec::new(); count];
        for sent in &self.sent {
            let profile = sent.who.profile(self.namespace);
            let partition = (profile.as_u128() % count as u128) as usize;
            partitions[partition].push(sent.record(workspace, self.namespace));
        }
        partitions
    }
}

/// A random history.
pub fn history(rng: &mut StdRng, shape: &Shape) -> History {
    let people: Vec<Who> = (0..shape.profiles).map(|n| who(rng, n)).collect();
    let mut now = shape.start;
    let mut sent: Vec<Sent> = Vec::new();
    for n in 0..shape.records {
        now += step(rng, shape.dedup_window);
        let next = match sent.choose(rng).cloned() {
            Some(earlier) if rng.random_bool(0.2) => again(rng, earlier, now),
            _ => fresh(rng, &people, &sent, now, n, shape),
        };
        sent.push(next);
    }
    History { namespace: Uuid::from_u128(rng.random()), sent }
}

pub(super) fn who(rng: &mut StdRng, n: usize) -> Who {
    match rng.random_range(0..4) {
        0 => Who::Email(format!("p{n}@example.com")),
        1 => Who::User(format!("{n}")),
        2 => Who::Anonymous(format!("a{n}")),
        _ => Who::Id(Uuid::from_u128(rng.random())),
    }
}

pub(super) fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    from.choose(rng).expect("nothing is chosen from an empty list")
}

/// How far the clock moves to the next receipt.
fn step(rng: &mut StdRng, window: i64) -> i64 {
    match rng.random_range(0..20) {
        0..6 => 0,
        6 => 1,
        7 if window < 3650 * instant::DAY => window + rng.random_range(-1..=1),
        8 => rng.random_range(0..20) * instant::SECOND,
        9 => rng.random_range(0..3_000_000),
        _ => rng.random_range(1..=3) * instant::SECOND,
    }
}

/// An earlier one once more: the same bytes but for the times, or another body.
fn again(rng: &mut StdRng, earlier: Sent, now: i64) -> Sent {
    let mut next = Sent { received: now, arrived: None, ..earlier };
    if rng.random_bool(0.3) {
        next.time = time(rng, now, &[]);
    }
    if rng.random_bool(0.3) && !FACTS.contains(&next.name.as_str()) {
        next.data = event_data(rng);
    }
    next
}

fn fresh(rng: &mut StdRng, people: &[Who], sent: &[Sent], now: i64, n: usize, shape: &Shape) -> Sent {
    let who = pick(rng, people).clone();
    let fact = rng.random_bool(0.2);
    let name = match (fact, &who) {
        (false, _) => *pick(rng, &EVENTS),
        (true, Who::Id(_)) => "profile.updated",
        (true, _) => "profile.registered",
    };
    let back = shape.receipts_go_back && rng.random_bool(0.15);
    let received = if back { now - rng.random_range(0..5) * instant::SECOND } else { now };
    let import = shape.imports && rng.random_bool(0.2);
    let (received, arrived) =
        if import { (received - rng.random_range(0..60) * instant::SECOND, Some(received)) } else { (received, None) };
    let data = if fact { fact_data(rng, shape.start) } else { event_data(rng) };
    // Short ids come again by chance, with other bodies or for other profiles.
    let id = if rng.random_bool(0.3) { (*pick(rng, &IDS)).to_owned() } else { format!("n{n}") };
    Sent { time: time(rng, received, sent), who, id, name: name.to_owned(), data, received, arrived }
}

/// In time, late, ahead, or just when something else happened.
fn time(rng: &mut StdRng, received: i64, sent: &[Sent]) -> i64 {
    match (rng.random_range(0..8), sent.choose(rng)) {
        (0 | 1, _) => received - rng.random_range(0..12) * instant::SECOND,
        (2, _) => received + rng.random_range(1..5) * instant::SECOND,
        (3, Some(other)) => other.time.min(received + instant::DAY),
        (4, Some(other)) => other.time.min(other.received) + rng.random_range(-1..=1),
        (5, _) => received - 1,
        _ => received,
    }
}

fn event_data(rng: &mut StdRng) -> String {
    let mut fields = Vec::new();
    let mut maybe = |rng: &mut StdRng, name: &str, values: &[&str]| {
        if rng.random_bool(0.6) {
            fields.push(format!("\"{name}\":{}", pick(rng, values)));
        }
    };
    let categories = ["\"shoes\"", "\"hats\"", "[\"shoes\",\"hats\"]", "[]", "null", "5", "{\"a\":1}", "\"\u{ffff}\""];
    maybe(rng, "category", &categories);
    let prices = [
        "0.7",
        "0.70",
        "7e-1",
        "0.8",
        "1",
        "2",
        "-1",
        "1e18",
        "999999999999999999",
        "0.69999999951",
        "\"0.7\"",
        "true",
    ];
    maybe(rng, "price", &prices);
    let items = [
        r#"[{"sku":"a","qty":1},{"sku":"b","qty":2}]"#,
        r#"{"sku":"a","qty":2}"#,
        r#"[[{"sku":"b","qty":[1,[2]]}],{"sku":null}]"#,
        "[null]",
        "\"a\"",
    ];
    maybe(rng, "items", &items);
    maybe(rng, "gift", &["true", "false", "null", "\"true\""]);
    format!("{{{}}}", fields.join(","))
}

fn fact_data(rng: &mut StdRng, start: i64) -> String {
    let mut traits = Vec::new();
    let moment = start + rng.random_range(0..90) * instant::SECOND;
    let (text, seconds) = (format!("\"{}\"", instant::format(moment)), (moment / instant::SECOND).to_string());
    let renewals = [text.clone(), seconds.clone(), format!("[{text},{seconds}.0000019,\"soon\"]"), "null".to_owned()];
    let mut maybe = |rng: &mut StdRng, name: &str, values: &[&str]| {
        if rng.random_bool(0.4) {
            traits.push(format!("\"{name}\":{}", pick(rng, values)));
        }
    };
    maybe(rng, "renews_at", &renewals.each_ref().map(String::as_str));
    maybe(rng, "plan", &["\"pro\"", "\"free\"", "null", "[\"pro\",\"free\"]"]);
    maybe(rng, "age", &["1", "2", "0.8", "\"2\"", "null"]);
    maybe(rng, "address", &["{\"city\":\"hats\"}", "[{\"city\":\"a\"},{\"city\":\"b\"}]", "{}", "null"]);
    maybe(rng, "tags", &["[\"a\",\"b\"]", "[]", "\"a\""]);
    maybe(rng, "name", &["\"Ada\"", "\"shoes\"", "null"]);
    maybe(rng, "email", &["\"b\"", "\"a@example.com\"", "null"]);
    let name = *pick(rng, &["", "", "\"name\":\"Ada\",", "\"name\":\"pro\","]);
    format!("{{{name}\"traits\":{{{}}}}}", traits.join(","))
}
