//! Fault tests: many real processes over a Kafka and a PostgreSQL of their own, under load, while parts of it are
//! killed, stopped and cut off. After each round every promise is looked at.
//!
//! The servers are stopped and killed here, so they are not those of the other tests, and one test runs at a time.

#[path = "../e2e/basket_checker.rs"]
#[allow(dead_code, reason = "the other test program needs the rest")]
mod basket_checker;
#[path = "../e2e/caller.rs"]
#[allow(dead_code, reason = "the other test program needs the rest")]
mod caller;
#[path = "../e2e/checker.rs"]
#[allow(dead_code, reason = "the other test program needs the rest")]
mod checker;
#[path = "../e2e/fleet.rs"]
mod fleet;
#[path = "../e2e/kafka.rs"]
mod kafka;
#[path = "../e2e/place.rs"]
#[allow(dead_code, reason = "the other test program needs the rest")]
mod place;
#[path = "../e2e/process.rs"]
#[allow(dead_code, reason = "the other test program needs the rest")]
mod process;
#[path = "../e2e/proxy.rs"]
#[allow(dead_code, reason = "the other test program needs the rest")]
mod proxy;

mod campaign;
mod check;
mod fault;
mod load;
mod sabotage;
mod services;
mod takeover;
