//! Process tests: the real program, its answers over HTTP, and the oracle over the log that it left behind.
//!
//! A file a topic. What they share: `house` starts, kills and stops one process, `fleet` many (`process`, `place`,
//! `proxy`); `caller` speaks HTTP; `raw_log` and `kafka` read the log behind the program's back; `checker` and
//! `basket_checker` compare.

mod basket_checker;
#[allow(dead_code, reason = "the fault tests need the rest")]
mod caller;
mod checker;
#[allow(dead_code, reason = "the fault tests need the rest")]
mod fleet;
mod house;
#[allow(dead_code, reason = "the fault tests need the rest")]
mod kafka;
mod place;
#[allow(dead_code, reason = "the fault tests need the rest")]
mod process;
mod producer;
#[allow(dead_code, reason = "the fault tests need the rest")]
mod proxy;
mod raw_log;

mod baskets;
mod clickstream;
mod conversation;
mod crashes;
mod definitions;
mod edges;
mod poison;
mod program;
mod read_your_writes;
mod sabotage;
