//! The records of `control.v1`.
//!
//! A record that was written stays as it is, and every release must read it alike. So a later release adds fields
//! that may be absent, and types; it never gives an old field another meaning, nor an old type a value that earlier
//! releases can't read. To older releases an unknown field says nothing and an unknown type changes nothing.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_event::Timestamp;

use crate::definition::Name;
use crate::key::{KeyId, Role};
use crate::secret::hex;

/// What is asked of the control state; what it did is decided by [`State::evolve`](crate::State::evolve).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum Command {
    /// `log.opened`: what the log is. The first record.
    #[serde(rename = "log.opened")]
    LogOpened(LogOpened),
    /// `workspace.created`: a workspace with its keys and first definitions.
    #[serde(rename = "workspace.created")]
    WorkspaceCreated(WorkspaceCreated),
    /// `key.created`.
    #[serde(rename = "key.created")]
    KeyCreated(KeyCreated),
    /// `key.revoked`.
    #[serde(rename = "key.revoked")]
    KeyRevoked(KeyRevoked),
    /// `segment.put`.
    #[serde(rename = "segment.put")]
    SegmentPut(DefinitionPut),
    /// `segment.deleted`.
    #[serde(rename = "segment.deleted")]
    SegmentDeleted(DefinitionDeleted),
    /// `score.put`.
    #[serde(rename = "score.put")]
    ScorePut(DefinitionPut),
    /// `score.deleted`.
    #[serde(rename = "score.deleted")]
    ScoreDeleted(DefinitionDeleted),
}

/// What the log is, fixed when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOpened {
    /// Names this log among all; positions and stores carry it.
    pub lineage: Uuid,
    /// Partitions of `events.v1`, at least 1.
    pub events_partitions: u32,
    /// For how long an id sent again is a repeat, in microseconds.
    pub dedup_window_micros: i64,
    /// Whether the log was made under a test clock.
    #[serde(default)]
    pub test_clock: bool,
    /// When it was made; of a copy, when the log was made that everything began with.
    pub at: Timestamp,
    /// The log that this one is a copy of; absent for one that began by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<CopiedFrom>,
}

/// Where a copy of a log comes from, written when the copying began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFrom {
    /// The lineage of the log copied.
    pub lineage: Uuid,
    /// How many records `control.v1` had then.
    pub control: u64,
    /// How many records `events.v1` had then, over all partitions: a log with fewer was not copied to its end.
    pub events: u64,
}

/// A new workspace, whole: nothing of it can be asked for before, and its definitions need no fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCreated {
    /// Its slug.
    pub slug: String,
    /// Random; the profile ids of the workspace are made in it.
    pub namespace: Uuid,
    /// Its first keys. One with the role operator becomes the deployment's.
    #[serde(default)]
    pub keys: Vec<NewKey>,
    /// Its first segments, each naming only earlier ones and scores.
    #[serde(default)]
    pub segments: Vec<NewDefinition>,
    /// Its first scores.
    #[serde(default)]
    pub scores: Vec<NewDefinition>,
    /// Who made it: a key's id, or a word for a hand without key.
    #[serde(default)]
    pub by: String,
    /// When it was made.
    pub at: Timestamp,
}

/// A key to be made. The secret itself is never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Random.
    pub id: KeyId,
    /// What it may do.
    pub role: Role,
    /// What its maker calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// SHA-256 of the secret: [`key_hash`](crate::key_hash).
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
}

/// A definition, with what the door derived from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDefinition {
    /// Its slug.
    pub slug: String,
    /// JSON text of an object, in the one form that the door gives to equal definitions.
    pub body: String,
    /// The definitions that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Name>,
    /// Whether it holds for a profile without any event.
    #[serde(default, skip_serializing_if = "is_false")]
    pub true_of_empty: bool,
}

impl NewDefinition {
    /// A definition that names no other and isn't true of an empty history.
    pub fn plain(slug: impl Into<String>, body: impl Into<String>) -> Self {
        Self { slug: slug.into(), body: body.into(), names: Vec::new(), true_of_empty: false }
    }
}

// serde's `skip_serializing_if` asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A key for a workspace, or for the deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCreated {
    /// The workspace; absent for an operator key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The key.
    pub key: NewKey,
    /// Who made it: a key's id, or a word for a hand without key.
    #[serde(default)]
    pub by: String,
    /// When it was made.
    pub at: Timestamp,
}

/// A key that is to open nothing from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevoked {
    /// The workspace that the key belongs to; absent for an operator key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The key.
    pub id: KeyId,
    /// Who revoked it: a key's id, or a word for a hand without key.
    #[serde(default)]
    pub by: String,
    /// When it was revoked.
    pub at: Timestamp,
}

/// A new or changed segment or score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionPut {
    /// The workspace's slug.
    pub workspace: String,
    /// The definition.
    #[serde(flatten)]
    pub definition: NewDefinition,
    /// The number that the live version must have for this to happen; 0: there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u32>,
    /// Who put it: a key's id, or a word for a hand without key.
    #[serde(default)]
    pub by: String,
    /// When it was put.
    pub at: Timestamp,
}

/// A segment or score to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionDeleted {
    /// The workspace's slug.
    pub workspace: String,
    /// The definition's slug.
    pub slug: String,
    /// The number that the live version must have for this to happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u32>,
    /// Who deleted it: a key's id, or a word for a hand without key.
    #[serde(default)]
    pub by: String,
    /// When it was deleted.
    pub at: Timestamp,
}

/// The record that asks for `command`.
pub fn encode(command: &Command) -> Vec<u8> {
    serde_json::to_vec(command).expect("commands are structs of texts, numbers and lists, which JSON can always hold")
}

/// What a record says.
pub(crate) enum Decoded {
    Command(Command),
    /// A type of a later release.
    UnknownType,
    Malformed(String),
}

/// The parser's words may quote the record, which may be of any size.
const REASON_CHARACTERS: usize = 300;

impl Decoded {
    fn malformed(what: &str, reason: &str) -> Self {
        Self::Malformed(format!("{what}: {}", reason.chars().take(REASON_CHARACTERS).collect::<String>()))
    }
}

#[derive(Deserialize)]
struct Tag {
    r#type: String,
}

pub(crate) fn decode(record: &[u8]) -> Decoded {
    let tag = match serde_json::from_slice::<Tag>(record) {
        Ok(tag) => tag.r#type,
        Err(error) => return Decoded::malformed("not a control record", &error.to_string()),
    };
    let command = match tag.as_str() {
        "log.opened" => parse(record).map(Command::LogOpened),
        "workspace.created" => parse(record).map(Command::WorkspaceCreated),
        "key.created" => parse(record).map(Command::KeyCreated),
        "key.revoked" => parse(record).map(Command::KeyRevoked),
        "segment.put" => parse(record).map(Command::SegmentPut),
        "segment.deleted" => parse(record).map(Command::SegmentDeleted),
        "score.put" => parse(record).map(Command::ScorePut),
        "score.deleted" => parse(record).map(Command::ScoreDeleted),
        _ => return Decoded::UnknownType,
    };
    match command.and_then(|command| check(&command).map(|()| command)) {
        Ok(command) => Decoded::Command(command),
        Err(reason) => Decoded::malformed(&tag, &reason),
    }
}

fn parse<T: DeserializeOwned>(record: &[u8]) -> Result<T, String> {
    serde_json::from_slice(record).map_err(|error| error.to_string())
}

/// What must hold of a record whatever the state is. The door can't write such a record, so it is poison and no
/// refusal that somebody waits for.
fn check(command: &Command) -> Result<(), String> {
    match command {
        Command::LogOpened(log) if log.events_partitions == 0 => Err("events_partitions is 0".to_owned()),
        Command::LogOpened(log) if log.dedup_window_micros < 0 => Err("dedup_window_micros is negative".to_owned()),
        Command::WorkspaceCreated(made) => {
            made.segments.iter().chain(&made.scores).try_for_each(|each| check_body(&each.body))?;
            check_once(&made.segments)?;
            check_once(&made.scores)
        }
        Command::SegmentPut(put) | Command::ScorePut(put) => check_body(&put.definition.body),
        _ => Ok(()),
    }
}

/// Readers of the state embed bodies into JSON answers, so a body that is no JSON object must not get in.
fn check_body(body: &str) -> Result<(), String> {
    if !body.starts_with('{') {
        return Err("the body is not a JSON object".to_owned());
    }
    serde_json::from_str::<IgnoredAny>(body).map(drop).map_err(|error| format!("the body is not JSON: {error}"))
}

fn check_once(definitions: &[NewDefinition]) -> Result<(), String> {
    let mut slugs: Vec<_> = definitions.iter().map(|each| each.slug.as_str()).collect();
    slugs.sort_unstable();
    if slugs.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a slug appears twice".to_owned());
    }
    Ok(())
}
