//! A record of the log, read by itself.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Json, instant};

/// The names of the facts about profiles.
pub const FACTS: [&str; 4] = ["profile.registered", "profile.updated", "profile.linked", "profile.erased"];

/// What events are ordered by: at, time, id, receivedtime, profile as sent. It is an event's identity, too.
pub type Order<'a> = (i64, i64, &'a str, i64, Uuid);

/// An event as it lies on the log.
#[derive(Clone, Debug)]
pub struct Event {
    /// The slug in `source`.
    pub workspace: String,
    /// The profile as sent.
    pub profile: Uuid,
    /// The event's id.
    pub id: String,
    /// Its name (`type`).
    pub name: String,
    /// When it happened, by the producer.
    pub time: i64,
    /// When it was received.
    pub received: i64,
    /// When it came in by ingest's own clock: `arrivedtime`, else `receivedtime`.
    pub arrived: i64,
    /// Kind and value that the profile was sent by.
    pub identifier: Option<(String, String)>,
    /// The data; null when there is none.
    pub data: Json,
    /// The data's bytes on the log; empty when there is none.
    pub data_text: String,
}

impl Event {
    /// The effective instant.
    pub fn at(&self) -> i64 {
        self.time.min(self.received)
    }

    /// Its place in the order of events.
    pub fn order(&self) -> Order<'_> {
        (self.at(), self.time, &self.id, self.received, self.profile)
    }

    /// Whether it is a fact about the profile.
    pub fn is_fact(&self) -> bool {
        FACTS.contains(&self.name.as_str())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Why it is poison: ingest would never have written it.
    pub fn parse(record: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(record).map_err(|e| e.to_string())?;
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let attribute = |name: &str| -> Result<Option<String>, String> {
            match fields.get(name).map(|raw| Json::parse(raw.get())).transpose()? {
                None | Some(Json::Null) => Ok(None),
                Some(Json::Text(text)) => Ok(Some(text)),
                Some(_) => Err(format!("{name} is not a string")),
            }
        };
        let must = |name: &str| attribute(name)?.ok_or_else(|| format!("{name} is missing"));
        let moment = |name: &str| -> Result<Option<i64>, String> {
            let text = attribute(name)?;
            text.map(|t| instant::parse(&t).ok_or_else(|| format!("{name} is no instant"))).transpose()
        };
        let must_moment = |name: &str| moment(name)?.ok_or_else(|| format!("{name} is missing"));
        if must("specversion")? != "1.0" {
            return Err("specversion is not 1.0".to_owned());
        }
        let received = must_moment("receivedtime")?;
        let data_text = fields.get("data").map_or("", |raw| raw.get());
        Ok(Self {
            workspace: workspace_of(&must("source")?)?,
            profile: Uuid::parse_str(&must("subject")?).map_err(|e| format!("subject: {e}"))?,
            id: limited("id", must("id")?, 100)?,
            name: limited("type", must("type")?, 200)?,
            time: must_moment("time")?,
            received,
            arrived: moment("arrivedtime")?.unwrap_or(received),
            identifier: identifier(attribute("profilekind")?, attribute("profilevalue")?)?,
            data: data_of(data_text)?,
            data_text: data_text.to_owned(),
        })
    }
}

fn workspace_of(source: &str) -> Result<String, String> {
    match source.strip_prefix('/') {
        Some(slug) if !slug.is_empty() => Ok(slug.to_owned()),
        _ => Err("source is not /<workspace>".to_owned()),
    }
}

/// The workspace that even a poison record names.
pub(super) fn workspace_named(record: &[u8]) -> Option<String> {
    let json = Json::parse(std::str::from_utf8(record).ok()?).ok()?;
    workspace_of(json.get("source")?.text()?).ok()
}

fn limited(what: &str, text: String, bytes: usize) -> Result<String, String> {
    if text.is_empty() || text.len() > bytes { Err(format!("{what} has not 1 to {bytes} bytes")) } else { Ok(text) }
}

fn identifier(kind: Option<String>, value: Option<String>) -> Result<Option<(String, String)>, String> {
    match kind.as_deref() {
        None | Some("email" | "user" | "anonymous") => Ok(kind.zip(value)),
        Some(_) => Err("profilekind is none of email, user, anonymous".to_owned()),
    }
}

fn data_of(text: &str) -> Result<Json, String> {
    let data = if text.is_empty() { Json::Null } else { Json::parse(text)? };
    let bad = |value: &Json| match value {
        Json::Text(text) => text.contains('\0'),
        Json::Number(digits) => !digits.parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    };
    if !matches!(data, Json::Object(_) | Json::Null) {
        Err("data is no object".to_owned())
    } else if data.depth() > 32 {
        Err("data is too deep".to_owned())
    } else if data.any(&bad) {
        Err("data has a NUL or a number that no double holds".to_owned())
    } else {
        Ok(data)
    }
}
