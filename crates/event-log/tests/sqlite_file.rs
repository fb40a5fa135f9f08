//! The log's file: what survives, what is found damaged, what is refused.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use weir_event::Stream::{Control, Events};
use weir_event_log::{
    EventLog, LogAppender as _, LogReader as _, LogRecord, OpenError, OpenOptions, ReadError, Record, SqliteLog,
    conformance::{numbered, read_all},
};

fn file() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log.db");
    (directory, path)
}

async fn open_log(path: &Path) -> SqliteLog {
    SqliteLog::open(path, OpenOptions::default()).await.unwrap()
}

/// Fills a log with ten batches of ten records and closes it.
async fn ten_batches(path: &Path) {
    let log = open_log(path).await;
    for i in 0..10 {
        log.append(Events, numbered(i * 10, 10)).await.unwrap();
    }
    log.close().await;
}

async fn sqlite(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// Changes the file behind the log's back.
async fn tamper(path: &Path, sql: &str) {
    let mut conn = sqlite(path).await;
    assert!(sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap().rows_affected() > 0);
    conn.close().await.unwrap();
}

/// What a reader gets from offset 0 on: so many records, then this error.
async fn read_until_error(log: &dyn EventLog) -> (usize, ReadError) {
    let mut at = 0;
    loop {
        match log.read(Events, 0, at, 1 << 20).await {
            Ok(chunk) => {
                assert!(!chunk.records.is_empty(), "the end was reached");
                at = chunk.next;
            }
            Err(error) => return (at as usize, error),
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (directory, path) = file();
    let log = open_log(&path).await;
    log.append(Control, vec![Record::new("k", "first")]).await.unwrap();
    for i in 0..30 {
        log.append(Events, numbered(i * 10, 10)).await.unwrap();
    }
    // The files as a kill leaves them: the process still has the log open, and nothing was closed.
    let copy = directory.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
    }
    let expected = read_all(&log, Events, 0, 1 << 20).await;
    let reopened = open_log(&copy).await;
    assert_eq!(read_all(&reopened, Events, 0, 1 << 20).await, expected);
    assert_eq!(reopened.bounds(Control, 0).await.unwrap().end, 1);
    assert_eq!(reopened.append(Events, numbered(300, 10)).await.unwrap(), [(0, 310)]);
}

#[tokio::test]
async fn a_log_dropped_without_closing_goes_on_where_it_was() {
    let (_directory, path) = file();
    for run in 0..5 {
        let log = open_log(&path).await;
        assert_eq!(log.bounds(Events, 0).await.unwrap().end, run * 20);
        log.append(Events, numbered(run as usize * 20, 10)).await.unwrap();
        assert_eq!(log.append(Events, numbered(run as usize * 20 + 10, 10)).await.unwrap(), [(0, run * 20 + 20)]);
    }
    let log = open_log(&path).await;
    let values: Vec<_> = read_all(&log, Events, 0, 1 << 20).await.into_iter().map(|record| record.value).collect();
    assert_eq!(values, numbered(0, 100).into_iter().map(|record| record.value).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_log_is_one_file() {
    let (_directory, path) = file();
    ten_batches(&path).await;
    assert!(!path.with_extension("db-wal").exists());
    let log = open_log(&path).await;
    log.append(Events, numbered(100, 1)).await.unwrap();
    log.close().await;
    assert!(!path.with_extension("db-wal").exists());
    assert!(log.read(Events, 0, 0, 1).await.is_err());
}

#[tokio::test]
async fn a_flipped_byte_in_a_blob_is_named() {
    for at in [1, 2, 3, 50, 200] {
        let (_directory, path) = file();
        ten_batches(&path).await;
        let flip = format!(
            "UPDATE \"events.v1/0\" SET bytes = CAST(substr(bytes, 1, {at} - 1) || x'ee' || substr(bytes, {at} + 1) \
             AS BLOB) WHERE first = 40"
        );
        tamper(&path, &flip).await;
        let log = open_log(&path).await;
        let (read, error) = read_until_error(&log).await;
        assert_eq!(read, 40);
        assert!(matches!(error, ReadError::Damaged { stream: Events, partition: 0, offset: 40, .. }), "{error}");
        assert!(error.to_string().contains("events.v1 partition 0 is damaged at offset 40: the checksum"), "{error}");
        // In the middle of the batch, and behind it.
        assert!(matches!(log.read(Events, 0, 45, 1).await, Err(ReadError::Damaged { offset: 45, .. })));
        assert_eq!(log.read(Events, 0, 50, 1).await.unwrap().records.len(), 10);
    }
}

#[tokio::test]
async fn a_torn_blob_is_named() {
    for keep in ["0", "1", "2", "length(bytes) / 2", "length(bytes) - 1"] {
        let (_directory, path) = file();
        ten_batches(&path).await;
        tamper(&path, &format!("UPDATE \"events.v1/0\" SET bytes = substr(bytes, 1, {keep}) WHERE first = 30")).await;
        let (read, error) = read_until_error(&open_log(&path).await).await;
        assert_eq!(read, 30, "{error}");
        assert!(matches!(error, ReadError::Damaged { offset: 30, .. }), "{error}");
    }
}

#[tokio::test]
async fn missing_moved_and_changed_batches_are_named() {
    for (sql, sound) in [
        ("DELETE FROM \"events.v1/0\" WHERE first = 0", 0),
        ("DELETE FROM \"events.v1/0\" WHERE first = 60", 60),
        ("DELETE FROM \"events.v1/0\" WHERE first BETWEEN 20 AND 70", 20),
        ("UPDATE \"events.v1/0\" SET count = 9 WHERE first = 50", 50),
        ("UPDATE \"events.v1/0\" SET count = 4294967306 WHERE first = 50", 50),
        ("UPDATE \"events.v1/0\" SET count = -1 WHERE first = 50", 50),
        ("UPDATE \"events.v1/0\" SET checksum = checksum + 4294967296 WHERE first = 50", 50),
        ("UPDATE \"events.v1/0\" SET first = 55 WHERE first = 50", 50),
        ("UPDATE \"events.v1/0\" SET first = -7 WHERE first = 50", 50),
        // One batch in the place of another.
        (
            "UPDATE \"events.v1/0\" SET (bytes, checksum) = \
             (SELECT bytes, checksum FROM \"events.v1/0\" WHERE first = 10) WHERE first = 80",
            80,
        ),
    ] {
        let (_directory, path) = file();
        ten_batches(&path).await;
        tamper(&path, sql).await;
        let (read, error) = read_until_error(&open_log(&path).await).await;
        assert!(matches!(error, ReadError::Damaged { .. }), "{sql}: {error}");
        assert_eq!(read, sound, "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_log_whose_last_batch_is_damaged_is_not_opened() {
    let (_directory, path) = file();
    ten_batches(&path).await;
    tamper(&path, "UPDATE \"events.v1/0\" SET bytes = substr(bytes, 1, 20) WHERE first = 90").await;
    let error = SqliteLog::open(&path, OpenOptions::default()).await.unwrap_err();
    let OpenError::Damaged { source, .. } = error else { panic!("{error}") };
    assert!(source.to_string().contains("events.v1 partition 0 is damaged at offset 90"), "{source}");
}

/// Opens a file that was changed: whether that is found. If it isn't, all records must be there.
async fn is_found(path: &Path, expected: &[LogRecord], change: &str) -> bool {
    let Ok(log) = SqliteLog::open(path, OpenOptions::default()).await else { return true };
    let mut read = Vec::new();
    let found = loop {
        match log.read(Events, 0, read.len() as u64, 1 << 20).await {
            Ok(chunk) if chunk.records.is_empty() => break false,
            Ok(chunk) => read.extend(chunk.records),
            Err(_) => break true,
        }
    };
    assert_eq!(read, expected[..read.len()], "{change}");
    assert!(found || read.len() == expected.len(), "{change}: only {} records are left", read.len());
    log.close().await;
    found
}

/// Bits to flip, one at a time: one of every 29th byte, and all of the bytes that begin a page.
fn bits(bytes: usize, page: usize, header: usize) -> impl Iterator<Item = (usize, u8)> {
    let is_head = move |at: &usize| at % page < header;
    let spread = (0..bytes).step_by(29).map(|at| (at, 1 << (at % 8)));
    spread.chain((0..bytes).filter(is_head).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))))
}

#[tokio::test]
async fn a_flipped_bit_in_the_file_is_found_or_changes_nothing() {
    let (directory, path) = file();
    ten_batches(&path).await;
    let log = open_log(&path).await;
    let expected = read_all(&log, Events, 0, 1 << 20).await;
    log.close().await;
    let sound = std::fs::read(&path).unwrap();
    let mut found = 0;
    for (at, bit) in bits(sound.len(), 4_096, 12) {
        let mut bytes = sound.clone();
        bytes[at] ^= bit;
        let copy = directory.path().join(format!("{at}-{bit}.db"));
        std::fs::write(&copy, bytes).unwrap();
        found += u32::from(is_found(&copy, &expected, &format!("byte {at}, bit {bit}")).await);
        std::fs::remove_file(copy).unwrap();
    }
    assert!(found > 200, "found {found}");
}

/// The files as a kill leaves them, with everything in the WAL, and what they hold.
async fn killed(path: &Path) -> (Vec<u8>, Vec<u8>, Vec<LogRecord>) {
    let log = open_log(path).await;
    for i in 0..10 {
        log.append(Events, numbered(i * 10, 10)).await.unwrap();
    }
    let expected = read_all(&log, Events, 0, 1 << 20).await;
    let files = (std::fs::read(path).unwrap(), std::fs::read(path.with_extension("db-wal")).unwrap());
    log.close().await;
    (files.0, files.1, expected)
}

#[tokio::test]
async fn a_flipped_bit_in_the_wal_is_found_or_changes_nothing() {
    let (directory, path) = file();
    let (file, wal, expected) = killed(&path).await;
    let mut found = 0;
    for (at, bit) in bits(wal.len(), 4_120, 60) {
        let mut bytes = wal.clone();
        bytes[at] ^= bit;
        let copy = directory.path().join(format!("{at}-{bit}.db"));
        std::fs::write(&copy, &file).unwrap();
        std::fs::write(copy.with_extension("db-wal"), bytes).unwrap();
        found += u32::from(is_found(&copy, &expected, &format!("byte {at} of the WAL, bit {bit}")).await);
        std::fs::remove_file(copy).unwrap();
    }
    assert!(found > 1_000, "found {found}");
}

#[tokio::test]
async fn a_damaged_wal_is_named() {
    let (directory, path) = file();
    let (file, mut wal, _) = killed(&path).await;
    let middle = wal.len() / 2;
    wal[middle] ^= 1;
    let copy = directory.path().join("copy.db");
    std::fs::write(&copy, &file).unwrap();
    std::fs::write(copy.with_extension("db-wal"), wal).unwrap();
    let error = SqliteLog::open(&copy, OpenOptions::default()).await.unwrap_err();
    let OpenError::Damaged { source, .. } = error else { panic!("{error}") };
    assert!(source.to_string().contains("copy.db-wal: frame"), "{source}");
}

/// What a crash cuts short was never acknowledged: the log opens without it, and once more after a kill.
#[tokio::test]
async fn a_wal_cut_short_is_no_damage() {
    let (directory, path) = file();
    let (file, wal, expected) = killed(&path).await;
    for keep in (0..wal.len()).step_by(1_001) {
        let copy = directory.path().join(format!("{keep}.db"));
        std::fs::write(&copy, &file).unwrap();
        std::fs::write(copy.with_extension("db-wal"), &wal[..keep]).unwrap();
        let Ok(log) = SqliteLog::open(&copy, OpenOptions::default()).await else { panic!("cut at {keep}") };
        let read = read_all(&log, Events, 0, 1 << 20).await;
        assert_eq!(read, expected[..read.len()], "cut at {keep}");
        log.append(Events, numbered(0, 1)).await.unwrap();
        let again = directory.path().join(format!("{keep}-again.db"));
        for suffix in ["", "-wal"] {
            std::fs::copy(format!("{}{suffix}", copy.display()), format!("{}{suffix}", again.display())).unwrap();
        }
        log.close().await;
        assert_eq!(open_log(&again).await.bounds(Events, 0).await.unwrap().end, read.len() as u64 + 1);
    }
}

#[tokio::test]
async fn the_partitions_are_fixed_when_the_log_is_made() {
    let (_directory, path) = file();
    let opened = SqliteLog::open(&path, OpenOptions { partitions: Some(3), ..OpenOptions::default() }).await.unwrap();
    opened.close().await;
    assert_eq!(open_log(&path).await.partitions(Events), 3);
    let error =
        SqliteLog::open(&path, OpenOptions { partitions: Some(4), ..OpenOptions::default() }).await.unwrap_err();
    assert!(matches!(error, OpenError::PartitionsDiffer { made: 3, asked: 4, .. }), "{error}");
    assert!(error.to_string().contains("made with 3 partitions, 4 were asked for"), "{error}");
    tamper(&path, "UPDATE meta SET value = 2 WHERE name = 'events_partitions'").await;
    let error = SqliteLog::open(&path, OpenOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("has 2 partitions, but there are 3"), "{error}");
    for asked in [0, 1_001] {
        let error = SqliteLog::open(&path, OpenOptions { partitions: Some(asked), ..OpenOptions::default() })
            .await
            .unwrap_err();
        assert!(matches!(error, OpenError::BadPartitions { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_log_is_refused() {
    let (directory, path) = file();
    std::fs::write(&path, "x".repeat(10_000)).unwrap();
    let error = SqliteLog::open(&path, OpenOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");

    let other = directory.path().join("other.db");
    let mut conn = SqliteConnectOptions::new().filename(&other).create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE things (id INTEGER)").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let error = SqliteLog::open(&other, OpenOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("another program's database"), "{error}");

    let later = directory.path().join("later.db");
    ten_batches(&later).await;
    tamper(&later, "UPDATE meta SET value = 2 WHERE name = 'format'").await;
    let error = SqliteLog::open(&later, OpenOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::FormatUnknown { found: 2, known: 1, .. }), "{error}");

    let nowhere = directory.path().join("no/such/directory/log.db");
    let error = SqliteLog::open(&nowhere, OpenOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_beside_writers_see_a_prefix_that_grows() {
    let (_directory, path) = file();
    let log = Arc::new(open_log(&path).await);
    let writer = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            for i in 0..300 {
                log.append(Events, numbered(i * 10, 10)).await.unwrap();
            }
        }
    });
    let mut at = 0;
    while at < 3_000 {
        log.wait_beyond(Events, 0, at).await.unwrap();
        let chunk = log.read(Events, 0, at, 50_000).await.unwrap();
        assert!(!chunk.records.is_empty());
        for record in &chunk.records {
            assert!(record.value.starts_with(format!("{:08}", record.offset).as_bytes()));
        }
        at = chunk.next;
    }
    writer.await.unwrap();
}
