//! What the writer answers when something fails under it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use tempfile::TempDir;
use weir_event::Stream::{Control, Events};

use super::failpoints::{Failpoints, Fault};
use super::{Settings, SqliteLog};
use crate::conformance::{numbered, read_all};
use crate::{AppendError, LogAppender as _, OpenOptions, Record};

struct Rig {
    _directory: TempDir,
    path: PathBuf,
    failpoints: Arc<Failpoints>,
    log: SqliteLog,
}

async fn open(path: &Path, settings: Settings) -> SqliteLog {
    SqliteLog::open_with(path, OpenOptions { partitions: Some(2), ..OpenOptions::default() }, settings).await.unwrap()
}

async fn rig(queue_bytes: usize) -> Rig {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log.db");
    let settings = Settings { queue_bytes, ..Settings::default() };
    let failpoints = Arc::clone(&settings.failpoints);
    let log = open(&path, settings).await;
    Rig { _directory: directory, path, failpoints, log }
}

/// How many records both partitions hold, read whole.
async fn count(log: &SqliteLog) -> usize {
    read_all(log, Events, 0, 1 << 20).await.len() + read_all(log, Events, 1, 1 << 20).await.len()
}

impl Rig {
    /// Closes the log and counts what its file holds.
    async fn count_in_file(&self) -> usize {
        self.log.close().await;
        count(&open(&self.path, Settings::default()).await).await
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let rig = rig(1 << 20).await;
    rig.log.append(Events, numbered(0, 100)).await.unwrap();
    for _ in 0..3 {
        rig.failpoints.fill_disk(true);
        // Larger than what is free in the pages that the file has.
        let error = rig.log.append(Events, numbered(100, 5_000)).await.unwrap_err();
        assert!(error.is_disk_full() && error.is_determinate(), "{error:?}");
        assert_eq!(count(&rig.log).await, 100);
    }
    rig.failpoints.fill_disk(false);
    rig.log.append(Events, numbered(100, 5_000)).await.unwrap();
    assert_eq!(rig.count_in_file().await, 5_100);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_to_have_happened() {
    let rig = rig(1 << 20).await;
    rig.failpoints.plan(&[Fault::AnswerLost]);
    let ends: u64 = rig.log.append(Events, numbered(0, 100)).await.unwrap().iter().map(|(_, next)| next).sum();
    assert_eq!(ends, 100);
    rig.log.append(Events, numbered(100, 10)).await.unwrap();
    assert_eq!(rig.count_in_file().await, 110);
}

#[tokio::test]
async fn a_commit_that_did_not_happen_is_found_not_to() {
    let rig = rig(1 << 20).await;
    rig.failpoints.plan(&[Fault::NotDone]);
    let error = rig.log.append(Events, numbered(0, 100)).await.unwrap_err();
    assert!(error.is_determinate() && !error.is_disk_full(), "{error:?}");
    rig.log.append(Events, numbered(0, 100)).await.unwrap();
    assert_eq!(rig.count_in_file().await, 100);
}

#[tokio::test]
async fn what_cannot_be_settled_is_unknown() {
    for (first, copies) in [(Fault::AnswerLost, 1), (Fault::NotDone, 0)] {
        let rig = rig(1 << 20).await;
        rig.failpoints.plan(&[first, Fault::NotDone]);
        let error = rig.log.append(Events, numbered(0, 10)).await.unwrap_err();
        assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
        // The log goes on, behind the records if they are there.
        rig.log.append(Events, numbered(50, 7)).await.unwrap();
        assert_eq!(count(&rig.log).await, copies * 10 + 7);
        assert_eq!(rig.count_in_file().await, copies * 10 + 7);
    }
}

#[tokio::test]
async fn every_append_of_a_failed_group_gets_the_same_answer() {
    let rig = rig(1 << 20).await;
    rig.failpoints.plan(&[Fault::NotDone, Fault::NotDone]);
    let appends = (0..20).map(|i| rig.log.append(Events, numbered(i, 1)));
    let answers = futures::future::join_all(appends).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(AppendError::Unknown { .. }))), "{answers:?}");
    assert_eq!(rig.count_in_file().await, 0);
}

#[tokio::test]
async fn over_the_bound_of_the_queue_an_append_is_refused_at_once() {
    let rig = rig(1_000).await;
    let large = || vec![Record::new("k", vec![b'x'; 900])];
    let mut first = rig.log.append(Control, large());
    // On this one thread the writer can't run before the next await.
    assert!((&mut first).now_or_never().is_none());
    let error = rig.log.append(Control, large()).now_or_never().unwrap().unwrap_err();
    assert!(error.is_busy() && error.is_determinate(), "{error:?}");
    assert_eq!(first.await.unwrap(), [(0, 1)]);
    assert_eq!(rig.log.append(Control, large()).await.unwrap(), [(0, 2)]);
}

#[tokio::test]
async fn an_append_dropped_in_flight_is_stored_whole() {
    let rig = rig(1 << 20).await;
    for i in 0..20 {
        let mut append = rig.log.append(Events, numbered(i * 10, 10));
        assert!((&mut append).now_or_never().is_none());
    }
    assert_eq!(rig.count_in_file().await, 200);
}

#[tokio::test]
async fn an_append_queued_before_the_log_is_dropped_is_stored() {
    let Rig { _directory, path, log, .. } = rig(1 << 20).await;
    assert!((&mut log.append(Events, numbered(0, 10))).now_or_never().is_none());
    drop(log);
    // The writer closes the file when it has done what was asked; its WAL is then gone.
    while path.with_extension("db-wal").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&open(&path, Settings::default()).await).await, 10);
}

#[tokio::test]
async fn a_second_writer_is_found_out() {
    let rig = rig(1 << 20).await;
    let other = open(&rig.path, Settings::default()).await;
    let key = || vec![Record::new("k", "v")];
    other.append(Control, key()).await.unwrap();
    let error = rig.log.append(Control, key()).await.unwrap_err();
    assert!(error.is_determinate(), "{error:?}");
    assert_eq!(rig.log.append(Control, key()).await.unwrap(), [(0, 2)]);
    assert_eq!(read_all(&rig.log, Control, 0, 1 << 20).await.len(), 2);
}
