//! A real Kafka for the tests.
#![allow(dead_code, reason = "each test file needs a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use weir_event_log::{EventLog, LogUrl, OpenOptions, open};

/// `host:port` of the Kafka that tests share.
///
/// # Panics
/// There is none.
pub fn brokers() -> String {
    std::env::var("WEIR_TEST_KAFKA").expect(
        "WEIR_TEST_KAFKA is not set: run deploy/test.sh, or `eval \"$(deploy/services.sh env)\"` after \
         `deploy/services.sh up`",
    )
}

/// A prefix that no other test has, nor one of another run.
pub fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("t{}-{}-{}", since.as_micros(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The log with this prefix.
pub fn url(prefix: &str) -> LogUrl {
    format!("kafka://{}/{prefix}", brokers()).parse().unwrap()
}

/// A new log.
pub async fn open_new(partitions: u32) -> Arc<dyn EventLog> {
    let options = OpenOptions { partitions: Some(partitions), ..OpenOptions::default() };
    open(&url(&prefix()), options).await.unwrap()
}
