//! The limit of ingest: the same records appended to a plain SQLite file as record batches, by one writer, with nothing
//! else going on.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use weir_event::Stream;
use weir_event_log::{LogRecord, LogUrl, OpenOptions};

/// Records of a batch, and of a transaction.
const BATCH: usize = 1_000;

/// Some of the records on a log that nobody has open.
pub(crate) async fn records_of(log: &Path, most: usize) -> Result<Vec<LogRecord>> {
    let log = weir_event_log::open(&LogUrl::Sqlite(log.to_owned()), OpenOptions::default()).await?;
    let mut records = Vec::new();
    let mut from = log.bounds(Stream::Events, 0).await?.first;
    while records.len() < most {
        let chunk = log.read(Stream::Events, 0, from, 4 << 20).await?;
        if chunk.records.is_empty() {
            break;
        }
        from = chunk.next;
        records.extend(chunk.records);
    }
    log.close().await;
    records.truncate(most / BATCH * BATCH);
    ensure!(records.len() >= BATCH, "fewer than {BATCH} records on the log");
    Ok(records)
}

/// Bytes of keys and values of a record, on average.
pub(crate) fn mean_bytes(records: &[LogRecord]) -> f64 {
    records.iter().map(|record| record.key.len() + record.value.len()).sum::<usize>() as f64 / records.len() as f64
}

/// Appends the records over and over for `long`; answers records a second. Packing them is part of it.
pub(crate) async fn run(file: &Path, records: &[LogRecord], long: Duration) -> Result<f64> {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "4000")
        .connect()
        .await
        .context("open a file to append to")?;
    let table = "CREATE TABLE batches (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, records BLOB NOT NULL)";
    sqlx::query(table).execute(&mut connection).await?;
    let (began, mut written) = (Instant::now(), 0_i64);
    for batch in records.chunks(BATCH).cycle() {
        let blob = pack(batch)?;
        sqlx::query("INSERT INTO batches VALUES (?, ?, ?)")
            .bind(written)
            .bind(i64::try_from(batch.len())?)
            .bind(blob)
            .execute(&mut connection)
            .await?;
        written += i64::try_from(batch.len())?;
        if began.elapsed() >= long {
            break;
        }
    }
    Ok(written as f64 / began.elapsed().as_secs_f64())
}

fn pack(batch: &[LogRecord]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(batch.iter().map(|record| record.key.len() + record.value.len() + 8).sum());
    for part in batch.iter().flat_map(|record| [&record.key, &record.value]) {
        out.extend_from_slice(&u32::try_from(part.len())?.to_be_bytes());
        out.extend_from_slice(part);
    }
    Ok(out)
}
