//! Why a command did nothing.

use crate::definition::{Kind, Name};
use crate::key::{KeyId, Role};
use crate::limits;

/// A command that the fold decided against. Its text is a sentence for whoever asked, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The log has no `log.opened` yet.
    #[error("the log has not been opened: its first record must say what the log is; start Weir, or run `weir init`")]
    NotOpened,
    /// The log has a `log.opened` already.
    #[error("the log has been opened before; what it is can't be changed, so make another log and copy this one to it")]
    AlreadyOpened,
    /// No slug.
    #[error("a slug has 1 to 64 characters out of a-z, 0-9 and `-`; choose another one")]
    InvalidSlug {
        /// The text that is none.
        slug: String,
    },
    /// A workspace has that slug.
    #[error("there is a workspace `{slug}` already; choose another slug")]
    SlugTaken {
        /// The slug.
        slug: String,
    },
    /// No workspace has that slug.
    #[error("there is no workspace `{slug}`; create it with `weir workspaces create {slug}`")]
    UnknownWorkspace {
        /// The slug.
        slug: String,
    },
    /// No live key of the workspace has that id.
    #[error("there is no key {id} here, or it has been revoked; GET /api/keys lists the keys")]
    UnknownKey {
        /// The id.
        id: KeyId,
    },
    /// A key, perhaps a revoked one, has that id or that secret.
    #[error("the id or the secret of key {id} has been used before; make a key with a new random secret")]
    KeyTaken {
        /// The id of the refused key.
        id: KeyId,
    },
    /// An operator key for a workspace, or another one without a workspace.
    #[error("the role {} doesn't fit: a workspace's key is write, read or admin, the deployment's is operator", role.as_str())]
    RoleMisplaced {
        /// The role.
        role: Role,
    },
    /// As many keys as there may be.
    #[error("there are {} keys already; revoke one that is no longer used", limits::KEYS)]
    TooManyKeys,
    /// What should be deleted isn't there.
    #[error("there is no {name}; GET /api/{}s lists what there is", name.kind.as_str())]
    UnknownSlug {
        /// The definition that isn't there.
        name: Name,
    },
    /// The definition names another one that isn't there.
    #[error("the definition names the {name}, which doesn't exist; put that one first, or name another")]
    NamesUnknown {
        /// The definition that isn't there.
        name: Name,
    },
    /// Other definitions name what should be deleted.
    #[error("the {name} is named by the {}; change or delete what names it first", list(by))]
    NamedBy {
        /// What should be deleted.
        name: Name,
        /// The definitions that name it.
        by: Vec<Name>,
    },
    /// The definition would name itself, directly or through others.
    #[error("the definition would depend on itself: {}; leave one of these out", steps(path))]
    Cycle {
        /// From the definition along what each names, back to the definition: first and last are equal.
        path: Vec<Name>,
    },
    /// As many segments true of an empty history as there may be.
    #[error(
        "the workspace has {} segments that hold for a profile without any event already; \
         delete one, or ask for an event in this one, too",
        limits::TRUE_OF_EMPTY
    )]
    TooManyEmpty,
    /// As many segments or scores as there may be.
    #[error("the workspace has {limit} {}s already; delete one that is no longer used", kind.as_str())]
    TooManyDefinitions {
        /// Of what there are too many.
        kind: Kind,
        /// How many there may be.
        limit: usize,
    },
    /// Somebody else changed the definition in between.
    #[error("the {name} {}; read it again and repeat the change", changed(*expected, *found))]
    VersionChanged {
        /// The definition.
        name: Name,
        /// The version that the command asked for; 0 for none.
        expected: u32,
        /// The live version; 0 for none.
        found: u32,
    },
}

/// How an answer speaks of a refusal, without naming a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// What the command speaks of isn't there (404).
    NotFound,
    /// It doesn't fit what is there (409).
    Conflict,
    /// A condition of the command doesn't hold (412).
    PreconditionFailed,
    /// It can't be right as it is written (422).
    Invalid,
}

impl Refusal {
    /// The stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotOpened => "log_not_opened",
            Self::AlreadyOpened => "log_already_opened",
            Self::InvalidSlug { .. } => "slug_invalid",
            Self::SlugTaken { .. } => "slug_taken",
            Self::UnknownWorkspace { .. } => "unknown_workspace",
            Self::UnknownKey { .. } => "unknown_key",
            Self::KeyTaken { .. } => "key_taken",
            Self::RoleMisplaced { .. } => "role_misplaced",
            Self::TooManyKeys => "too_many_keys",
            Self::UnknownSlug { name: Name { kind: Kind::Segment, .. } } => "unknown_segment",
            Self::UnknownSlug { name: Name { kind: Kind::Score, .. } } => "unknown_score",
            Self::NamesUnknown { name: Name { kind: Kind::Segment, .. } } => "names_unknown_segment",
            Self::NamesUnknown { name: Name { kind: Kind::Score, .. } } => "names_unknown_score",
            Self::NamedBy { .. } => "definition_in_use",
            Self::Cycle { .. } => "definition_cycle",
            Self::TooManyEmpty => "too_many_true_of_empty",
            Self::TooManyDefinitions { kind: Kind::Segment, .. } => "too_many_segments",
            Self::TooManyDefinitions { kind: Kind::Score, .. } => "too_many_scores",
            Self::VersionChanged { .. } => "version_changed",
        }
    }

    /// What kind of answer it calls for.
    pub const fn class(&self) -> RefusalClass {
        match self {
            Self::UnknownWorkspace { .. } | Self::UnknownKey { .. } | Self::UnknownSlug { .. } => {
                RefusalClass::NotFound
            }
            Self::NotOpened
            | Self::AlreadyOpened
            | Self::SlugTaken { .. }
            | Self::KeyTaken { .. }
            | Self::TooManyKeys
            | Self::NamedBy { .. }
            | Self::TooManyEmpty
            | Self::TooManyDefinitions { .. } => RefusalClass::Conflict,
            Self::VersionChanged { .. } => RefusalClass::PreconditionFailed,
            Self::InvalidSlug { .. } | Self::RoleMisplaced { .. } | Self::NamesUnknown { .. } | Self::Cycle { .. } => {
                RefusalClass::Invalid
            }
        }
    }

    /// The sentence for whoever asked, with the remedy.
    pub fn sentence(&self) -> String {
        self.to_string()
    }
}

/// At most this many names are spelt out in a sentence.
const SPELT_OUT: usize = 10;

fn list(names: &[Name]) -> String {
    let mut text = names.iter().take(SPELT_OUT).map(Name::to_string).collect::<Vec<_>>().join(", the ");
    if names.len() > SPELT_OUT {
        text.push_str(&format!(" and {} more", names.len() - SPELT_OUT));
    }
    text
}

fn steps(path: &[Name]) -> String {
    let step = |pair: &[Name]| format!("the {} names the {}", pair[0], pair[1]);
    let mut text = path.windows(2).take(SPELT_OUT).map(step).collect::<Vec<_>>().join(", ");
    let count = path.len().saturating_sub(1);
    if count > SPELT_OUT {
        text.push_str(&format!(" and so on, {count} steps in all, back to the first"));
    }
    text
}

fn changed(expected: u32, found: u32) -> String {
    match (expected, found) {
        (0, found) => format!("was to be new, but is there with version {found}"),
        (expected, 0) => format!("was to have version {expected}, but isn't there"),
        (expected, found) => format!("was to have version {expected}, but has version {found} now"),
    }
}
