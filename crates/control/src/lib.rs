#![doc = include_str!("../README.md")]

pub mod builtin;
mod command;
mod definition;
mod key;
pub mod limits;
mod misfit;
mod refusal;
mod secret;
mod state;
mod workspace;

pub use command::{
    Command, CopiedFrom, DefinitionDeleted, DefinitionPut, KeyCreated, KeyRevoked, LogOpened, NewDefinition, NewKey,
    WorkspaceCreated, encode,
};
pub use definition::{Definition, Deletion, Kind, Name, Version, valid_slug};
pub use key::{Key, KeyId, Principal, Revocation, Role};
pub use misfit::Misfit;
pub use refusal::{Refusal, RefusalClass};
pub use secret::{Secret, key_hash};
pub use state::{Accepted, Outcome, State};
pub use workspace::Workspace;
