//! Readiness: that the projector's work would succeed, not only that the tables can be read.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_event::{Clock, Stream};
use weir_event_log::{EventLog, LogAppender as _};
use weir_lifecycle::Health;
use world::{Made, block_on, complete, new_log, open, records};

async fn by_hand(file: &Path, change: &'static str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    sqlx::query(AssertSqlSafe(change)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Waits until the reasons are as they should be; answers them.
async fn until(health: &Health, what: &str, expected: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let reasons = health.report().reasons();
        if expected(&reasons) {
            return reasons;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {reasons:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_partition_whose_writes_are_refused_is_told_until_they_are_taken() {
    for (file, table, projection) in [("", "profiles", "membership"), ("-timeline", "records", "timeline")] {
        block_on(async {
            let (log, place) = (new_log(1).await, tempfile::tempdir().unwrap());
            let (store, health, stop) = (open(place.path()).await, Health::default(), CancellationToken::new());
            let (held, component): (Arc<dyn EventLog>, _) = (log.clone(), health.component("projector"));
            let running =
                tokio::spawn(weir_projector::run(held, store.clone(), Clock::system(), component, stop.clone()));
            until(&health, "it is ready", str::is_empty).await;
            let live = store.live().await.unwrap().unwrap().id();

            let file = place.path().join(format!("store.db.{}{file}", live.0));
            let refuse = match table {
                "profiles" => "CREATE TRIGGER no BEFORE INSERT ON profiles BEGIN SELECT RAISE(ABORT, 'no'); END",
                _ => "CREATE TRIGGER no BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no'); END",
            };
            by_hand(&file, refuse).await;
            log.append(Stream::Events, records(&[Made(1, "cart.added", 1, 0, 0)])).await.unwrap();
            let told = until(&health, "it is told", |reasons| !reasons.is_empty()).await;
            let expected = format!("projector: {projection} of partition 0 is held up for ");
            assert!(told.starts_with(&expected) && told.contains("waits for the tables: "), "{told}");
            // It stays so while it is so, however often it is tried.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(2) {
                assert!(!health.report().ready);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }

            by_hand(&file, "DROP TRIGGER no").await;
            until(&health, "it goes on", str::is_empty).await;
            let mut changes = store.changes();
            while !complete(&log, &store, 1).await {
                changes.changed().await.unwrap();
            }
            stop.cancel();
            running.await.unwrap().unwrap();
        });
    }
}
