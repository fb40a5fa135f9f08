#![doc = include_str!("../README.md")]

mod access;
mod answer;
mod asking;
mod baskets;
mod cursor;
mod definitions;
mod explain;
mod export;
mod failure;
mod filling;
mod folded;
mod instant;
mod keys;
mod lag;
mod pace;
mod people;
mod profiles;
mod program;
mod quarantine;
mod reading;
mod rebuilds;
mod removals;
mod scores;
mod segments;
mod service;
mod status;
mod summary;
mod tables;
mod task;
mod timeline;
mod users;
mod wait;
mod watch;

pub use program::main;
pub use service::{QueryApi, Settings};
pub use wait::Acknowledged;
