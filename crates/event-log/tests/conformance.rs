//! The suite over every backend.
#![allow(clippy::unwrap_used)]

mod kafka;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use weir_event_log::{EventLog, Faults, FaultyLog, LogUrl, OpenOptions, conformance, open};

async fn memory(partitions: u32) -> Arc<dyn EventLog> {
    open(&LogUrl::Memory, OpenOptions { partitions: Some(partitions), ..OpenOptions::default() }).await.unwrap()
}

async fn sqlite(directory: &TempDir, partitions: u32) -> Arc<dyn EventLog> {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let path = directory.path().join(format!("{}.db", FILES.fetch_add(1, Ordering::Relaxed)));
    open(&LogUrl::Sqlite(path), OpenOptions { partitions: Some(partitions), ..OpenOptions::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    for partitions in [1, 3] {
        conformance::run(|| memory(partitions)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_with_one_partition_conforms() {
    let directory = TempDir::new().unwrap();
    conformance::run(|| sqlite(&directory, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_with_three_partitions_conforms() {
    let directory = TempDir::new().unwrap();
    conformance::run(|| sqlite(&directory, 3)).await;
}

#[tokio::test]
async fn sqlite_conforms_on_one_thread() {
    let directory = TempDir::new().unwrap();
    conformance::run(|| sqlite(&directory, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_with_one_partition_conforms() {
    conformance::run(|| kafka::open_new(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_with_three_partitions_conforms() {
    conformance::run(|| kafka::open_new(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_faulty_log_without_faults_conforms() {
    conformance::run(|| async { Arc::new(FaultyLog::new(memory(2).await, 1, Faults::NONE)) as Arc<dyn EventLog> })
        .await;
}
