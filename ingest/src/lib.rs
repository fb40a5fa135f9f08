#![doc = include_str!("../README.md")]

mod acknowledged;
mod answer;
pub mod bootstrap;
mod caller;
mod canonical;
mod control;
mod definition;
mod event;
mod framing;
mod id;
mod instant_text;
mod measure;
mod program;
mod receipt;
mod record;
mod routes;
mod service;
mod start;
mod unix_time;
mod writable;

pub use acknowledged::Acknowledged;
pub use control::{FollowError, Follower};
pub use program::main;
pub use service::{Ingest, Settings, StartError};
pub use start::{Started, start, start_on};
