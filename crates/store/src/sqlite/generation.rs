//! A generation's two files, and what projections write into them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row as _, Transaction};
use tokio::sync::watch;
use uuid::Uuid;
use weir_event::ProfileId;

use super::rows::{read, write};
use super::view::{SqliteTimeline, SqliteView};
use super::{options, prepare};
use crate::error::StoreError;
use crate::model::{
    Card, Fence, GenerationId, GenerationInfo, IdChunk, MembershipBatch, ProfileKey, ProfileRow, Progress, Projection,
    Quarantined, TimelineRow,
};
use crate::place;
use crate::traits::{FoldMemory, Generation, TableWriter, TimelineView, View};

const TABLES: &str = include_str!("../../../../migrations/sqlite/generation/0001_tables.sql");
const TIMELINE: &str = include_str!("../../../../migrations/sqlite/timeline/0001_timeline.sql");

/// Where a generation's files are.
pub(super) struct Files {
    tables: PathBuf,
    timeline: PathBuf,
}

impl Files {
    pub(super) fn of(store: &Path, id: GenerationId) -> Self {
        let with = |suffix: String| {
            let mut name = store.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { tables: with(format!(".{}", id.0)), timeline: with(format!(".{}-timeline", id.0)) }
    }

    fn exist(&self) -> bool {
        self.tables.exists() && self.timeline.exists()
    }

    /// Deletes the files that are there.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        for file in [&self.tables, &self.timeline] {
            for suffix in ["", "-wal", "-shm"] {
                let mut path = file.as_os_str().to_owned();
                path.push(suffix);
                match std::fs::remove_file(&path) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(StoreError::File { path: PathBuf::from(path).display().to_string(), source });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// One file: a connection that writes, and some that read.
struct File {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl File {
    async fn open(path: &Path, schema: &'static str, cache_mib: i64) -> Result<Option<Self>, StoreError> {
        let failed = |e| StoreError::from_sqlx("opening a generation", e);
        let writing = options(path, SqliteSynchronous::Normal, cache_mib).pragma("wal_autocheckpoint", "16000");
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(writing).await.map_err(failed)?;
        if !prepare(&writer, schema).await? {
            return Ok(None);
        }
        let reading = options(path, SqliteSynchronous::Normal, 32).create_if_missing(false).pragma("query_only", "ON");
        let readers = SqlitePoolOptions::new()
            .max_connections(8)
            .min_connections(1)
            .test_before_acquire(false)
            .connect_with(reading)
            .await
            .map_err(failed)?;
        Ok(Some(Self { writer, readers }))
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|e| StoreError::from_sqlx("beginning a batch", e))
    }

    async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(|e| StoreError::from_sqlx("opening a view", e))
    }

    async fn checkpoint(&self) -> Result<(), StoreError> {
        let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.writer).await;
        checkpoint.map(drop).map_err(|e| StoreError::from_sqlx("writing a generation to disk", e))
    }
}

/// A generation in SQLite.
pub(super) struct SqliteGeneration {
    info: GenerationInfo,
    tables: File,
    timeline: File,
    changes: watch::Sender<u64>,
}

impl SqliteGeneration {
    /// Opens a generation's files; `None` if they aren't there or are of another schema.
    pub(super) async fn open(
        files: &Files,
        info: GenerationInfo,
        changes: watch::Sender<u64>,
    ) -> Result<Option<Self>, StoreError> {
        if !files.exist() {
            return Ok(None);
        }
        let tables = File::open(&files.tables, TABLES, 256).await?;
        let timeline = File::open(&files.timeline, TIMELINE, 128).await?;
        Ok(tables.zip(timeline).map(|(tables, timeline)| Self { info, tables, timeline, changes }))
    }

    /// Makes a generation's files.
    pub(super) async fn create(
        files: &Files,
        info: GenerationInfo,
        changes: watch::Sender<u64>,
    ) -> Result<Self, StoreError> {
        let tables = File::open(&files.tables, TABLES, 256).await?;
        let timeline = File::open(&files.timeline, TIMELINE, 128).await?;
        tables
            .zip(timeline)
            .map(|(tables, timeline)| Self { info, tables, timeline, changes })
            .ok_or(StoreError::Damaged("a new file has a schema already"))
    }

    pub(super) const fn info(&self) -> GenerationInfo {
        self.info
    }

    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        self.tables.checkpoint().await?;
        self.timeline.checkpoint().await
    }

    async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(|e| StoreError::from_sqlx("committing a batch", e))?;
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }
}

#[async_trait]
impl Generation for SqliteGeneration {
    fn id(&self) -> GenerationId {
        self.info.id
    }

    fn bound(&self) -> u64 {
        self.info.bound
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(SqliteView(self.tables.read().await?)))
    }

    async fn timeline(&self) -> Result<Box<dyn TimelineView>, StoreError> {
        Ok(Box::new(SqliteTimeline(self.timeline.read().await?)))
    }
}

#[async_trait]
impl FoldMemory for SqliteGeneration {
    async fn redo(&self, partition: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut connection = self.tables.read().await?;
        sqlx::query_scalar("SELECT rows FROM state_redo WHERE partition = ? ORDER BY next")
            .bind(partition)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the redo of states", e))
    }

    async fn id_chunks(&self, key: ProfileKey) -> Result<Vec<IdChunk>, StoreError> {
        let mut connection = self.tables.read().await?;
        read_chunks(&mut connection, key).await
    }
}

#[async_trait]
impl TableWriter for SqliteGeneration {
    async fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        let mut all = Vec::new();
        for file in [&self.tables, &self.timeline] {
            let mut connection = file.read().await?;
            all.extend(read_progress(&mut connection).await?);
        }
        all.sort();
        Ok(all)
    }

    async fn profiles(&self, keys: &[ProfileKey]) -> Result<Vec<ProfileRow>, StoreError> {
        let mut connection = self.tables.read().await?;
        read_profiles(&mut connection, keys).await
    }

    async fn commit_membership(&self, fence: Fence, batch: &MembershipBatch) -> Result<(), StoreError> {
        let mut transaction = self.tables.begin().await?;
        pass(&mut transaction, Projection::Membership, fence).await?;
        write_membership(&mut transaction, fence, batch)
            .await
            .map_err(|e| StoreError::from_sqlx("writing memberships", e))?;
        self.commit(transaction).await
    }

    async fn commit_control(
        &self,
        fence: Fence,
        records: &[(u64, Vec<u8>)],
        quarantine: &[Quarantined],
    ) -> Result<(), StoreError> {
        let mut transaction = self.tables.begin().await?;
        pass(&mut transaction, Projection::Control, fence).await?;
        let failed = |e| StoreError::from_sqlx("writing control records", e);
        write(
            &mut transaction,
            "INSERT INTO control (log_offset, record)",
            2,
            "",
            records,
            |query, (offset, record)| query.bind(offset.cast_signed()).bind(record.clone()),
        )
        .await
        .map_err(failed)?;
        write_quarantine(&mut transaction, quarantine).await.map_err(failed)?;
        self.commit(transaction).await
    }

    async fn commit_timeline(&self, fence: Fence, rows: &[TimelineRow]) -> Result<(), StoreError> {
        let mut transaction = self.timeline.begin().await?;
        pass(&mut transaction, Projection::Timeline, fence).await?;
        write_timeline(&mut transaction, rows).await.map_err(|e| StoreError::from_sqlx("writing the timeline", e))?;
        self.commit(transaction).await
    }

    async fn not_admitted(&self, partition: u32, from: u64, to: u64) -> Result<Vec<u64>, StoreError> {
        let mut connection = self.tables.read().await?;
        let offsets: Vec<i64> = sqlx::query_scalar(
            "SELECT log_offset FROM not_admitted
             WHERE partition = ? AND log_offset >= ? AND log_offset < ? ORDER BY log_offset",
        )
        .bind(partition)
        .bind(from.cast_signed())
        .bind(to.cast_signed())
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| StoreError::from_sqlx("reading what was not admitted", e))?;
        Ok(offsets.into_iter().map(i64::cast_unsigned).collect())
    }
}

/// Moves the fence, or says that somebody else did.
async fn pass(connection: &mut SqliteConnection, projection: Projection, fence: Fence) -> Result<(), StoreError> {
    let failed = |e| StoreError::from_sqlx("moving the fence", e);
    let moved = sqlx::query(
        "UPDATE positions SET next = ?1, newest_receipt = max(coalesce(newest_receipt, ?2), coalesce(?2, newest_receipt))
         WHERE projection = ?3 AND stream = ?4 AND partition = ?5 AND next = ?6",
    )
    .bind(fence.next.cast_signed())
    .bind(fence.newest_receipt)
    .bind(projection.name())
    .bind(projection.stream().name())
    .bind(fence.partition)
    .bind(fence.expected.cast_signed())
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    let first = sqlx::query(
        "INSERT INTO positions (projection, stream, partition, next, newest_receipt)
         SELECT ?3, ?4, ?5, ?1, ?2 WHERE ?6 = 0 ON CONFLICT DO NOTHING",
    )
    .bind(fence.next.cast_signed())
    .bind(fence.newest_receipt)
    .bind(projection.name())
    .bind(projection.stream().name())
    .bind(fence.partition)
    .bind(fence.expected.cast_signed())
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    if first.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::Fenced { projection, partition: fence.partition, expected: fence.expected })
}

async fn write_membership(
    connection: &mut SqliteConnection,
    fence: Fence,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    let partition = fence.partition;
    write_redo(connection, fence, batch).await?;
    write_states(connection, batch).await?;
    for (key, chunk) in &batch.dropped_chunks {
        sqlx::query("DELETE FROM event_ids WHERE workspace = ? AND profile = ? AND chunk = ?")
            .bind(key.workspace.cast_signed())
            .bind(id(key.profile))
            .bind(chunk.cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    write_spans(connection, partition, batch).await?;
    let gone = "DELETE FROM scores WHERE (score, place, profile) IN (";
    write(connection, gone, 3, ")", &batch.removed_scores, |query, row| {
        query.bind(row.score).bind(place::of_points(row.points).to_vec()).bind(id(row.profile))
    })
    .await?;
    write(connection, "INSERT INTO scores (score, place, profile)", 3, "", &batch.scores, |query, row| {
        query.bind(row.score).bind(place::of_points(row.points).to_vec()).bind(id(row.profile))
    })
    .await?;
    let counts = "ON CONFLICT DO UPDATE SET n = n + excluded.n";
    write(connection, "INSERT INTO counts (workspace, partition, what, n)", 4, counts, &batch.counts, |query, row| {
        let workspace = row.workspace.map_or(-1, u64::cast_signed);
        query.bind(workspace).bind(partition).bind(row.what.name()).bind(row.n)
    })
    .await?;
    let columns = "INSERT INTO not_admitted (partition, log_offset)";
    write(connection, columns, 2, "", &batch.not_admitted, |query, offset| {
        query.bind(partition).bind(offset.cast_signed())
    })
    .await?;
    write_quarantine(connection, &batch.quarantine).await
}

async fn write_redo(
    connection: &mut SqliteConnection,
    fence: Fence,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    if let Some(done) = batch.redo_done {
        sqlx::query("DELETE FROM state_redo WHERE partition = ? AND next <= ?")
            .bind(fence.partition)
            .bind(done.cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    if !batch.redo.is_empty() {
        sqlx::query("INSERT INTO state_redo (partition, next, rows) VALUES (?, ?, ?)")
            .bind(fence.partition)
            .bind(fence.next.cast_signed())
            .bind(batch.redo.clone())
            .execute(&mut *connection)
            .await?;
    }
    let update = "ON CONFLICT DO UPDATE SET card = excluded.card";
    write(connection, "INSERT INTO profiles (workspace, profile, card)", 3, update, &batch.cards, |query, row| {
        query.bind(row.key.workspace.cast_signed()).bind(id(row.key.profile)).bind(row.card.clone())
    })
    .await
}

async fn write_states(connection: &mut SqliteConnection, batch: &MembershipBatch) -> Result<(), sqlx::Error> {
    let columns = "INSERT INTO states (workspace, profile, last_offset, state, open_spans, event_ids, id_chunks)";
    let update = "ON CONFLICT DO UPDATE SET last_offset = excluded.last_offset, state = excluded.state,
                  open_spans = excluded.open_spans, event_ids = excluded.event_ids, id_chunks = excluded.id_chunks";
    write(connection, columns, 7, update, &batch.profiles, |query, row| {
        query
            .bind(row.key.workspace.cast_signed())
            .bind(id(row.key.profile))
            .bind(row.last_offset.cast_signed())
            .bind(row.state.clone())
            .bind(row.open_spans.clone())
            .bind(row.event_ids.clone())
            .bind(row.id_chunks)
    })
    .await?;
    let columns = "INSERT INTO event_ids (workspace, profile, chunk, newest, ids)";
    write(connection, columns, 5, "", &batch.id_chunks, |query, row| {
        query
            .bind(row.key.workspace.cast_signed())
            .bind(id(row.key.profile))
            .bind(row.chunk.cast_signed())
            .bind(row.newest)
            .bind(row.ids.clone())
    })
    .await
}

async fn write_spans(
    connection: &mut SqliteConnection,
    partition: u32,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    let gone = "DELETE FROM spans WHERE (segment, past, enters_at, profile) IN (";
    write(connection, gone, 4, ")", &batch.removed_spans, |query, key| {
        query.bind(key.segment).bind(key.past).bind(key.enters).bind(id(key.profile))
    })
    .await?;
    let columns = "INSERT INTO spans (segment, past, enters_at, profile, leaves_at)";
    let update = "ON CONFLICT DO UPDATE SET leaves_at = excluded.leaves_at";
    write(connection, columns, 5, update, &batch.spans, |query, row| {
        query.bind(row.key.segment).bind(row.key.past).bind(row.key.enters).bind(id(row.key.profile)).bind(row.leaves)
    })
    .await?;
    let columns = "INSERT INTO span_tree
        (segment, level, bucket, partition, delta, rows, last_leave, past_rows, past_leave)";
    let update = "ON CONFLICT DO UPDATE SET delta = delta + excluded.delta,
        rows = rows + excluded.rows, last_leave = max(last_leave, excluded.last_leave),
        past_rows = past_rows + excluded.past_rows, past_leave = max(past_leave, excluded.past_leave)";
    write(connection, columns, 9, update, &batch.tree, |query, row| {
        let [rows, past] = row.rows;
        query
            .bind(row.segment)
            .bind(row.level)
            .bind(row.bucket)
            .bind(partition)
            .bind(row.delta)
            .bind(rows.count)
            .bind(rows.last_leave)
            .bind(past.count)
            .bind(past.last_leave)
    })
    .await
}

async fn write_quarantine(connection: &mut SqliteConnection, rows: &[Quarantined]) -> Result<(), sqlx::Error> {
    let columns = "INSERT INTO quarantine (stream, partition, log_offset, reason, record)";
    write(connection, columns, 5, "", rows, |query, row| {
        query
            .bind(row.stream.name())
            .bind(row.partition)
            .bind(row.offset.cast_signed())
            .bind(row.reason.clone())
            .bind(row.record.clone())
    })
    .await
}

async fn write_timeline(connection: &mut SqliteConnection, rows: &[TimelineRow]) -> Result<(), sqlx::Error> {
    write(connection, "INSERT INTO records (partition, log_offset, record)", 3, "", rows, |query, row| {
        query.bind(row.partition).bind(row.offset.cast_signed()).bind(row.record.clone())
    })
    .await?;
    let mut sorted: Vec<&TimelineRow> = rows.iter().collect();
    sorted.sort_unstable_by(|a, b| (a.key, &a.place).cmp(&(b.key, &b.place)));
    let columns = "INSERT INTO timeline (workspace, profile, place, partition, log_offset)";
    write(connection, columns, 5, "", &sorted, |query, row| {
        query
            .bind(row.key.workspace.cast_signed())
            .bind(id(row.key.profile))
            .bind(row.place.clone())
            .bind(row.partition)
            .bind(row.offset.cast_signed())
    })
    .await
}

pub(super) fn id(profile: ProfileId) -> Vec<u8> {
    profile.0.as_bytes().to_vec()
}

pub(super) fn profile_id(bytes: &[u8]) -> Result<ProfileId, StoreError> {
    Uuid::from_slice(bytes).map(ProfileId).map_err(|_| StoreError::Damaged("a profile id is no UUID"))
}

pub(super) async fn read_progress(connection: &mut SqliteConnection) -> Result<Vec<Progress>, StoreError> {
    let rows = sqlx::query("SELECT projection, partition, next, newest_receipt FROM positions")
        .fetch_all(connection)
        .await
        .map_err(|e| StoreError::from_sqlx("reading positions", e))?;
    let progress = |row: &SqliteRow| {
        let name: &str = row.get(0);
        let projection = Projection::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or(StoreError::Damaged("an unknown projection"))?;
        let next = row.get::<i64, _>(2).cast_unsigned();
        Ok(Progress { projection, partition: row.get(1), next, newest_receipt: row.get(3) })
    };
    rows.iter().map(progress).collect()
}

pub(super) async fn read_profiles(
    connection: &mut SqliteConnection,
    keys: &[ProfileKey],
) -> Result<Vec<ProfileRow>, StoreError> {
    let select = "SELECT workspace, profile, last_offset, state, open_spans, event_ids, id_chunks
                  FROM states WHERE (workspace, profile) IN (";
    let rows = read(connection, select, 2, ")", keys, |query, key| {
        query.bind(key.workspace.cast_signed()).bind(id(key.profile))
    })
    .await
    .map_err(|e| StoreError::from_sqlx("reading states", e))?;
    rows.iter().map(profile_row).collect()
}

fn profile_row(row: &SqliteRow) -> Result<ProfileRow, StoreError> {
    let profile = profile_id(row.get(1))?;
    Ok(ProfileRow {
        key: ProfileKey { workspace: row.get::<i64, _>(0).cast_unsigned(), profile },
        last_offset: row.get::<i64, _>(2).cast_unsigned(),
        state: row.get(3),
        open_spans: row.get(4),
        event_ids: row.get(5),
        id_chunks: row.get(6),
    })
}

pub(super) async fn read_cards(
    connection: &mut SqliteConnection,
    keys: &[ProfileKey],
) -> Result<Vec<Card>, StoreError> {
    let select = "SELECT workspace, profile, card FROM profiles WHERE (workspace, profile) IN (";
    let rows = read(connection, select, 2, ")", keys, |query, key| {
        query.bind(key.workspace.cast_signed()).bind(id(key.profile))
    })
    .await
    .map_err(|e| StoreError::from_sqlx("reading profiles", e))?;
    let card = |row: &SqliteRow| {
        let key = ProfileKey { workspace: row.get::<i64, _>(0).cast_unsigned(), profile: profile_id(row.get(1))? };
        Ok(Card { key, card: row.get(2) })
    };
    rows.iter().map(card).collect()
}

async fn read_chunks(connection: &mut SqliteConnection, key: ProfileKey) -> Result<Vec<IdChunk>, StoreError> {
    let rows =
        sqlx::query("SELECT chunk, newest, ids FROM event_ids WHERE workspace = ? AND profile = ? ORDER BY chunk")
            .bind(key.workspace.cast_signed())
            .bind(id(key.profile))
            .fetch_all(connection)
            .await
            .map_err(|e| StoreError::from_sqlx("reading event ids", e))?;
    let chunk = |row: &SqliteRow| IdChunk {
        key,
        chunk: row.get::<i64, _>(0).cast_unsigned(),
        newest: row.get(1),
        ids: row.get(2),
    };
    Ok(rows.iter().map(chunk).collect())
}
