//! Plays a conversation to one process, and notes what it answers.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, Result};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use weir_e2e::oracle::instant;

use super::START;
use super::script::{By, Request, Script, Step};
use crate::caller::hold;
use crate::house::{House, Weir};

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

/// An answer, with the deployment's own names told apart only by when they first came.
pub(super) struct Answer {
    pub(super) asked: String,
    pub(super) head: Head,
    pub(super) body: Value,
}

#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    /// Whether there is one; what is in it is the deployment's own.
    position: bool,
    generation: bool,
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

pub(super) async fn play(house: &House, weir: &Weir, script: &Script) -> Result<Vec<Answer>> {
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
