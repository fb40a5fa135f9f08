//! The suite over PostgreSQL, and what only a server can do wrong.

#![allow(clippy::unwrap_used)]

mod away;
mod openings;
mod place;
mod proxy;
mod several;

use weir_store::conformance;

use place::Database;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms() {
    conformance::run(async || Database::new()).await;
}

#[tokio::test]
async fn postgres_conforms_on_one_thread() {
    conformance::run(async || Database::new()).await;
}
