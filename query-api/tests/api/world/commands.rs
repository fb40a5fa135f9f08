//! What is told by `control.v1`.

use uuid::Uuid;
use weir_control::{
    Command, DefinitionDeleted, DefinitionPut, KeyId, NewDefinition, NewKey, Role, WorkspaceCreated, builtin, key_hash,
};
use weir_event::Timestamp;

use super::{HOUR, TEN};

fn key(role: Role, secret: &str, n: u128) -> NewKey {
    NewKey {
        id: KeyId(Uuid::from_u128(n)),
        role,
        name: Some(format!("{secret} of the test")),
        sha256: key_hash(secret),
    }
}

pub fn workspace(slug: &str, space: Uuid, keys: &[(Role, &str)], first: u128) -> Command {
    let keys = keys.iter().zip(first..).map(|((role, secret), n)| key(*role, secret, n)).collect();
    Command::WorkspaceCreated(WorkspaceCreated {
        slug: slug.to_owned(),
        namespace: space,
        keys,
        segments: builtin::segments(),
        scores: builtin::scores(),
        by: "test".to_owned(),
        at: Timestamp::from_micros(TEN - 24 * HOUR),
    })
}

pub fn put_segment(slug: &str, body: &str) -> Command {
    Command::SegmentPut(put(slug, body))
}

pub fn put_score(slug: &str, body: &str) -> Command {
    Command::ScorePut(put(slug, body))
}

fn put(slug: &str, body: &str) -> DefinitionPut {
    DefinitionPut {
        workspace: "default".to_owned(),
        definition: NewDefinition::plain(slug, body),
        if_version: None,
        by: "test".to_owned(),
        at: Timestamp::from_micros(TEN),
    }
}

pub fn delete(slug: &str) -> DefinitionDeleted {
    let (workspace, by) = ("default".to_owned(), "test".to_owned());
    DefinitionDeleted { workspace, slug: slug.to_owned(), if_version: None, by, at: Timestamp::from_micros(TEN) }
}
