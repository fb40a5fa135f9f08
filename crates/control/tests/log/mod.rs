//! A log in memory, and short ways to say commands.
#![allow(dead_code)]

use uuid::Uuid;
use weir_control::{
    Command, DefinitionDeleted, DefinitionPut, KeyCreated, KeyId, KeyRevoked, LogOpened, Name, NewDefinition, NewKey,
    Outcome, Role, State, WorkspaceCreated, encode,
};
use weir_event::Timestamp;

/// Folds what is appended.
#[derive(Default, Clone)]
pub struct Log {
    pub records: Vec<Vec<u8>>,
    pub state: State,
}

impl Log {
    /// A log that says what it is.
    pub fn opened() -> Self {
        let mut log = Self::default();
        log.accept(&opened());
        log
    }

    /// An opened log with the workspaces `a` (offset 1) and `b` (offset 2).
    pub fn with_workspaces() -> Self {
        let mut log = Self::opened();
        log.accept(&workspace("a"));
        log.accept(&workspace("b"));
        log
    }

    pub fn append(&mut self, command: &Command) -> Outcome {
        let offset = self.records.len() as u64;
        self.records.push(encode(command));
        self.state.evolve(offset, &self.records[offset as usize])
    }

    pub fn accept(&mut self, command: &Command) -> weir_control::Accepted {
        match self.append(command) {
            Outcome::Accepted(accepted) => accepted,
            other => panic!("{other:?} for {command:?}"),
        }
    }
}

pub const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub fn opened() -> Command {
    Command::LogOpened(LogOpened {
        lineage: Uuid::from_u128(1),
        events_partitions: 1,
        dedup_window_micros: 5,
        test_clock: false,
        at: AT,
        copied_from: None,
    })
}

pub fn workspace_made(slug: &str) -> WorkspaceCreated {
    let namespace = Uuid::from_u128(2);
    let (keys, segments, scores) = (Vec::new(), Vec::new(), Vec::new());
    WorkspaceCreated { slug: slug.into(), namespace, keys, segments, scores, by: "me".into(), at: AT }
}

pub fn workspace(slug: &str) -> Command {
    Command::WorkspaceCreated(workspace_made(slug))
}

pub fn key_id(n: u8) -> KeyId {
    KeyId(Uuid::from_u128(u128::from(n)))
}

pub fn new_key(id: u8, role: Role, hash: u8) -> NewKey {
    NewKey { id: key_id(id), role, name: None, sha256: [hash; 32] }
}

pub fn key(workspace: Option<&str>, key: NewKey) -> Command {
    Command::KeyCreated(KeyCreated { workspace: workspace.map(Into::into), key, by: "me".into(), at: AT })
}

pub fn revoke(workspace: Option<&str>, id: u8) -> Command {
    let id = key_id(id);
    Command::KeyRevoked(KeyRevoked { workspace: workspace.map(Into::into), id, by: "me".into(), at: AT })
}

pub fn definition(slug: &str, body: u32, names: &[Name]) -> NewDefinition {
    NewDefinition { names: names.to_vec(), ..NewDefinition::plain(slug, format!("{{\"n\":{body}}}")) }
}

pub fn put(workspace: &str, definition: NewDefinition) -> DefinitionPut {
    DefinitionPut { workspace: workspace.into(), definition, if_version: None, by: "me".into(), at: AT }
}

pub fn segment(slug: &str, body: u32, names: &[Name]) -> Command {
    Command::SegmentPut(put("a", definition(slug, body, names)))
}

pub fn score(slug: &str, body: u32) -> Command {
    Command::ScorePut(put("a", definition(slug, body, &[])))
}

pub fn deletion(workspace: &str, slug: &str, if_version: Option<u32>) -> DefinitionDeleted {
    DefinitionDeleted { workspace: workspace.into(), slug: slug.into(), if_version, by: "me".into(), at: AT }
}

pub fn delete_segment(slug: &str) -> Command {
    Command::SegmentDeleted(deletion("a", slug, None))
}

pub fn delete_score(slug: &str) -> Command {
    Command::ScoreDeleted(deletion("a", slug, None))
}
