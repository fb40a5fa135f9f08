//! Changes of sums that wait, and when they are added to their rows.
//!
//! Each batch leaves beside the sums what it adds to them. When it was enough, or nothing more comes, all that is there is
//! added up, whoever left it, in one transaction, by one process at a time. Those that wait for it find little left to do, and so nothing stays behind
//! when the last batch has come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use weir_basket::days::{Changes, RowChanges};
use weir_event::codec::Damaged;

use crate::baskets::{DaysChanges, DaysKey, DaysRow};

/// Bytes of changes at which they are added to rows, at least: a reader gets through as many in a millisecond.
const MERGED_AT: usize = 256 << 10;
/// And at least this part of what was written the last time, however many products there are.
const PART: usize = 32;
/// Bytes of changes that are added when nothing else is to be done. Not fewer: each change writes eight rows.
const MERGED_WHEN_QUIET: usize = 32 << 10;
/// Bytes of changes that are added up at once: in memory they take many times as much.
const AT_ONCE: usize = 4 << 20;
/// Rows that are read and written at once.
const ROWS: usize = 512;

/// What there is to be enough for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    /// To let the batch wait that left it.
    ForABatch,
    /// To use a moment in which nothing comes.
    ForAQuietMoment,
}

/// Says when changes are worth writing rows for. What other processes left there isn't known; it isn't more than they let
/// wait.
#[derive(Debug)]
pub(crate) struct Unmerged {
    bytes: AtomicUsize,
    due: AtomicUsize,
}

impl Unmerged {
    /// The first batch finds out what is there.
    pub(crate) const fn new() -> Self {
        Self { bytes: AtomicUsize::new(MERGED_AT), due: AtomicUsize::new(MERGED_AT) }
    }

    /// Changes were written; answers whether it is time.
    pub(crate) fn add(&self, changes: &[DaysChanges]) -> bool {
        let bytes: usize = changes.iter().map(|row| row.changes.len()).sum();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        bytes > 0 && self.has(Enough::ForABatch)
    }

    fn due(&self, enough: Enough) -> usize {
        match enough {
            Enough::ForABatch => self.due.load(Ordering::Relaxed),
            Enough::ForAQuietMoment => MERGED_WHEN_QUIET,
        }
    }

    /// Whether what waits is enough.
    pub(crate) fn has(&self, enough: Enough) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.due(enough)
    }

    /// Whether it still is; then it is for the caller to merge, and what is written from now on counts anew.
    pub(crate) fn take(&self, enough: Enough) -> bool {
        let due = self.due(enough);
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| (bytes >= due).then_some(0));
        taken.is_ok()
    }

    /// Changes were added to rows, which have so many bytes.
    pub(crate) fn merged(&self, written: usize) {
        self.due.store(MERGED_AT.max(written / PART), Ordering::Relaxed);
    }

    /// They were not, after all.
    pub(crate) fn failed(&self) {
        self.bytes.fetch_add(self.due.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Names changes that wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingKey {
    pub(crate) workspace: u64,
    /// As wide as any column: one that was changed by hand is added up all the same.
    pub(crate) partition: i64,
    /// Where the batch left the partition.
    pub(crate) next: u64,
}

/// The tables, within a transaction.
#[async_trait]
pub(crate) trait Tables: Send {
    /// What waits, with how many bytes.
    async fn waiting(&mut self) -> Result<Vec<(WaitingKey, usize)>, sqlx::Error>;
    /// The changes themselves.
    async fn changes(&mut self, keys: &[WaitingKey]) -> Result<Vec<DaysChanges>, sqlx::Error>;
    /// Deletes them.
    async fn forget(&mut self, keys: &[WaitingKey]) -> Result<(), sqlx::Error>;
    /// Those of the rows that there are, in no order.
    async fn rows(&mut self, keys: &[DaysKey]) -> Result<Vec<DaysRow>, sqlx::Error>;
    /// Writes rows over what is there; those without bytes go.
    async fn write(&mut self, rows: &[DaysRow]) -> Result<(), sqlx::Error>;
    /// A place to come back to.
    async fn mark(&mut self) -> Result<(), sqlx::Error>;
    /// Comes back to it.
    async fn undo(&mut self) -> Result<(), sqlx::Error>;
}

/// Adds all that waits to its rows; answers how many bytes those have then.
///
/// What was damaged stays as it is, and what waits goes on waiting: so the batch is committed all the same, and a comparison
/// with another generation can name the damage.
pub(crate) async fn merge(tables: &mut impl Tables) -> Result<usize, sqlx::Error> {
    let mut waiting = tables.waiting().await?;
    let mut written = 0;
    while !waiting.is_empty() {
        let mut bytes = 0;
        let fits = |(_, more): &&(WaitingKey, usize)| {
            bytes += more;
            bytes <= AT_ONCE
        };
        let count = waiting.iter().take_while(fits).count().max(1);
        let keys: Vec<WaitingKey> = waiting.drain(..count).map(|(key, _)| key).collect();
        tables.mark().await?;
        match part(tables, &keys).await? {
            Ok(bytes) => written += bytes,
            Err(Damaged(what)) => {
                tracing::error!(
                    what,
                    "sums of removals are damaged: what batches have to add to them waits. `weir rebuild start` and \
                     `weir rebuild verify` say which, promoting the rebuild mends them"
                );
                tables.undo().await?;
                return Ok(written);
            }
        }
    }
    Ok(written)
}

async fn part(tables: &mut impl Tables, keys: &[WaitingKey]) -> Result<Result<usize, Damaged>, sqlx::Error> {
    let mut changed = match by_row(&tables.changes(keys).await?) {
        Ok(changed) => changed.into_iter().peekable(),
        Err(damaged) => return Ok(Err(damaged)),
    };
    let mut written = 0;
    while changed.peek().is_some() {
        let part: Vec<(DaysKey, RowChanges)> = changed.by_ref().take(ROWS).collect();
        let keys: Vec<DaysKey> = part.iter().map(|(key, _)| *key).collect();
        let known = tables.rows(&keys).await?;
        let rows = match added(part, known) {
            Ok(rows) => rows,
            Err(damaged) => return Ok(Err(damaged)),
        };
        tables.write(&rows).await?;
        written += rows.iter().map(|row| row.sums.len()).sum::<usize>();
    }
    tables.forget(keys).await?;
    Ok(Ok(written))
}

fn by_row(waiting: &[DaysChanges]) -> Result<BTreeMap<DaysKey, RowChanges>, Damaged> {
    let mut workspaces: BTreeMap<u64, Changes> = BTreeMap::new();
    for DaysChanges { workspace, changes } in waiting {
        workspaces.entry(*workspace).or_default().add_encoded(changes)?;
    }
    let rows = workspaces.into_iter().flat_map(|(workspace, changes)| {
        changes.by_place().into_iter().map(move |(place, changes)| (DaysKey { workspace, place }, changes))
    });
    Ok(rows.collect())
}

fn added(changed: Vec<(DaysKey, RowChanges)>, known: Vec<DaysRow>) -> Result<Vec<DaysRow>, Damaged> {
    let mut known: BTreeMap<DaysKey, Vec<u8>> = known.into_iter().map(|row| (row.key, row.sums)).collect();
    let add = |(key, changes): (DaysKey, RowChanges)| {
        let before = known.remove(&key).unwrap_or_default();
        Ok(DaysRow { key, sums: changes.apply(&before)? })
    };
    changed.into_iter().map(add).collect()
}
