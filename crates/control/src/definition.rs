//! Segment and score definitions and their versions.
//!
//! A number is never given twice: deleting keeps the versions, and what is put afterwards gets the next number. The
//! rejected alternative, to forget a deleted definition, would let tables and cursors that name (slug, number) mean
//! two different things.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_event::Timestamp;

use crate::limits;

/// What a definition defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A segment: a condition that profiles meet or don't.
    Segment,
    /// A score: points for events.
    Score,
}

impl Kind {
    /// The word used on the log and in sentences.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Score => "score",
        }
    }
}

/// What a definition is called within its workspace. Segments and scores have slugs of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// What it defines.
    pub kind: Kind,
    /// Its slug.
    pub slug: String,
}

impl Name {
    /// The name of the segment `slug`.
    pub fn segment(slug: impl Into<String>) -> Self {
        Self { kind: Kind::Segment, slug: slug.into() }
    }

    /// The name of the score `slug`.
    pub fn score(slug: impl Into<String>) -> Self {
        Self { kind: Kind::Score, slug: slug.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.as_str(), self.slug)
    }
}

/// A definition with all versions that it ever had.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Definition {
    /// Oldest first; their numbers grow. Never empty in a [`Workspace`](crate::Workspace).
    pub versions: Vec<Version>,
}

impl Definition {
    /// The newest version, also of a deleted definition.
    pub fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The newest version, unless the definition is deleted.
    pub fn live(&self) -> Option<&Version> {
        self.newest().filter(|version| version.deletion.is_none())
    }

    /// Whether it is deleted and was not put again.
    pub fn deleted(&self) -> bool {
        self.live().is_none()
    }

    /// The version with that number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.binary_search_by_key(&number, |version| version.number).ok().map(|at| &self.versions[at])
    }
}

/// One version of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// From 1, by one more with each accepted change.
    pub number: u32,
    /// Where on `control.v1` the record lies that made it.
    pub offset: u64,
    /// The definition as JSON text, as it was accepted.
    pub body: Arc<str>,
    /// The definitions that it names, as the door derived them.
    pub names: Vec<Name>,
    /// Whether it holds for a profile without any event, as the door derived it.
    pub true_of_empty: bool,
    /// Who put it: a key's id, or a word for a hand without key.
    pub by: String,
    /// When it was put.
    pub at: Timestamp,
    /// The record that deleted the definition while this was its newest version.
    pub deletion: Option<Deletion>,
}

/// Who deleted a definition, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Where on `control.v1` the record lies.
    pub offset: u64,
    /// Who deleted it: a key's id, or a word for a hand without key.
    pub by: String,
    /// When it was deleted.
    pub at: Timestamp,
}

/// Whether `text` may be the slug of a workspace, a segment or a score: `[a-z0-9-]{1,64}`.
///
/// ```
/// assert!(weir_control::valid_slug("abandoned-cart"));
/// assert!(!weir_control::valid_slug("Abandoned cart"));
/// ```
pub fn valid_slug(text: &str) -> bool {
    (1..=limits::SLUG_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
