//! Keys: who may do what, known by the hash of a secret that is nowhere kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_event::Timestamp;

/// The id of a key, by which it is listed and revoked. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Uuid);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Post events and profiles.
    Write,
    /// Query.
    Read,
    /// Both, and change definitions and keys.
    Admin,
    /// Belongs to the deployment, not to a workspace: workspaces, rebuilds, offsets in the status.
    Operator,
}

impl Role {
    /// The word used on the log and over HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    /// The role that `word` stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Write, Self::Read, Self::Admin, Self::Operator].into_iter().find(|role| role.as_str() == word)
    }
}

/// A key as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// What it may do.
    pub role: Role,
    /// What its maker called it.
    pub name: Option<String>,
    /// SHA-256 of the secret.
    pub sha256: [u8; 32],
    /// Who made it: a key's id, or a word for a hand without key.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who revoked it, and when. A revoked key opens nothing.
    pub revoked: Option<Revocation>,
}

/// Who revoked a key, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Who revoked it: a key's id, or a word for a hand without key.
    pub by: String,
    /// When it was revoked.
    pub at: Timestamp,
}

/// Whom a secret belongs to. Cloning one copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key_id: KeyId,
    /// What it may do.
    pub role: Role,
    /// The slug of its workspace; `None` for an operator key.
    pub workspace: Option<Arc<str>>,
}
