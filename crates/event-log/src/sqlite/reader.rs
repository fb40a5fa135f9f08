//! Reading batches back, and finding damage.
//!
//! Invariant: every batch is checked against its checksum and its neighbour before a record of it is handed out. What
//! lies before the damage is still read; a read that begins at the damage names it. There is no way to read past it.

use std::sync::Arc;

use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::blob;
use super::schema::{Batch, Table, damaged, read_error};
use crate::{Chunk, LogRecord, ReadError};

/// Reads the records from `from` on, which lies before `end`.
pub(super) async fn read(
    pool: &SqlitePool,
    table: &Table,
    from: u64,
    end: u64,
    max_bytes: usize,
) -> Result<Chunk, ReadError> {
    match fetch(pool, table, from, end, max_bytes).await {
        // Some page of these batches is damaged: the first batch alone tells whether it is that one.
        Err(ReadError::Damaged { .. }) if max_bytes > 1 => fetch(pool, table, from, end, 1).await,
        answer => answer,
    }
}

async fn fetch(pool: &SqlitePool, table: &Table, from: u64, end: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
    let rows = sqlx::query(table.read.clone())
        .bind(from as i64)
        .bind(end as i64)
        .bind(i64::try_from(max_bytes.max(1)).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
        .map_err(|source| failed(table, from, source))?;
    decode(table, rows, from)
}

fn failed(table: &Table, from: u64, source: sqlx::Error) -> ReadError {
    match source {
        sqlx::Error::PoolClosed => {
            ReadError::Io { stream: table.stream, partition: table.partition, source: Arc::new(source) }
        }
        source => read_error(table, from, source),
    }
}

/// The records of the rows, up to the first that is damaged.
fn decode(table: &Table, rows: Vec<SqliteRow>, from: u64) -> Result<Chunk, ReadError> {
    let mut records = Vec::new();
    let mut next = from;
    for row in rows {
        let read = Batch::of(table, row)
            .map_err(|source| read_error(table, next, source))
            .and_then(|batch| take(table, &batch, next, next == from, &mut records));
        match read {
            Ok(end) => next = end,
            Err(_) if next > from => break,
            Err(error) => return Err(error),
        }
    }
    if next == from {
        return Err(damaged(table, from, "no batch holds it".to_owned()));
    }
    Ok(Chunk { first: from, next, records })
}

/// Adds the batch's records from `from` on, and answers its end. Only the first batch read may begin before `from`.
fn take(
    table: &Table,
    batch: &Batch,
    from: u64,
    is_first: bool,
    records: &mut Vec<LogRecord>,
) -> Result<u64, ReadError> {
    if batch.first > from || (batch.first < from && !is_first) {
        return Err(damaged(table, from, format!("a batch that begins at {} follows", batch.first)));
    }
    if !batch.sound {
        return Err(damaged(table, from, format!("the checksum of the batch that begins at {} differs", batch.first)));
    }
    if batch.next() <= from {
        return Err(damaged(table, from, format!("the batch before it ends at {}", batch.next())));
    }
    blob::decode(&batch.bytes, batch.first, batch.count, from, records)
        .map_err(|what| damaged(table, from, format!("in the batch that begins at {}: {what}", batch.first)))?;
    Ok(batch.next())
}
