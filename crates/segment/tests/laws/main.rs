//! The laws of the core, each with at least 10,000 random cases. What they are held against is written here from the
//! semantics and shares nothing with the crate: see `naive.rs` and `words.rs`.
#![allow(clippy::unwrap_used)] // A test that fails here is one that failed.

mod bytes;
mod catalog;
mod history;
mod instants;
mod naive;
mod states;
mod words;
