//! The query API over a store in a directory of its own, asked as its callers would.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, not in what they share

mod access;
mod agreement;
mod baskets;
mod explain;
mod generations;
mod lists;
mod profiles;
mod quarantine;
mod rebuilds;
mod status;
mod users;
mod waiting;
mod world;
