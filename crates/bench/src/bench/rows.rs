//! The peer of the projector: plain statements that write rows of the same tables, numbers and sizes, without a log to
//! read, without folding and without admission. Every state is written where it belongs at every transaction.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

use super::events::Random;
use super::progress::Progress;

/// Tables of the same columns as the program's; where that lets rows wait to move them together, these don't.
const TABLES: &str = "
    CREATE TABLE states (workspace INTEGER NOT NULL, profile BLOB NOT NULL, last_offset INTEGER NOT NULL,
      state BLOB NOT NULL, open_spans BLOB NOT NULL, event_ids BLOB NOT NULL, id_chunks INTEGER NOT NULL,
      PRIMARY KEY (workspace, profile)) STRICT, WITHOUT ROWID;
    CREATE TABLE profiles (workspace INTEGER NOT NULL, profile BLOB NOT NULL, card BLOB NOT NULL,
      PRIMARY KEY (workspace, profile)) STRICT, WITHOUT ROWID;
    CREATE TABLE spans (segment INTEGER NOT NULL, past INTEGER NOT NULL, enters_at INTEGER NOT NULL,
      profile BLOB NOT NULL, leaves_at INTEGER NOT NULL,
      PRIMARY KEY (segment, past, enters_at, profile)) STRICT, WITHOUT ROWID;
    CREATE INDEX spans_of_profile ON spans (profile, segment, enters_at, leaves_at);
    CREATE TABLE scores (score INTEGER NOT NULL, place BLOB NOT NULL, profile BLOB NOT NULL,
      PRIMARY KEY (score, place, profile)) STRICT, WITHOUT ROWID";
const TIMELINE: &str = "
    CREATE TABLE records (partition INTEGER NOT NULL, log_offset INTEGER NOT NULL, record BLOB NOT NULL,
      PRIMARY KEY (partition, log_offset)) STRICT, WITHOUT ROWID;
    CREATE TABLE timeline (workspace INTEGER NOT NULL, profile BLOB NOT NULL, place BLOB NOT NULL,
      partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
      PRIMARY KEY (workspace, profile, place, partition, log_offset)) STRICT, WITHOUT ROWID";
/// All places of the program's timeline, those that wait and those that have moved.
const PLACES: &str = "(SELECT place FROM timeline UNION ALL SELECT place FROM timeline_new)";
/// Events of a transaction.
const BATCH: u64 = 10_000;
/// Rows of a statement.
const ROWS: usize = 500;

/// How many rows of what size a run of `live` left behind.
pub(super) struct Shape {
    pub(super) profiles: u64,
    /// Bytes of a state row's blobs: state, open spans, event ids.
    pub(super) state: [usize; 3],
    pub(super) card: Kind,
    pub(super) span: Kind,
    pub(super) score: Kind,
    pub(super) record: usize,
    pub(super) place: usize,
}

/// A table that not every event writes to.
pub(super) struct Kind {
    pub(super) per_event: f64,
    pub(super) bytes: usize,
}

impl Kind {
    /// How many rows the events in a range write.
    pub(super) fn rows(&self, (from, to): (u64, u64)) -> usize {
        let by = |events: u64| (events as f64 * self.per_event) as usize;
        by(to) - by(from)
    }
}

/// How far the plain statements came.
pub(crate) struct Plain {
    pub(crate) events: u64,
    pub(crate) elapsed: Duration,
}

impl Plain {
    /// Events a second whose rows were written.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }
}

impl Shape {
    /// Reads it from the tables that a `weir` that has ended left in `data`.
    pub(crate) async fn of(data: &Path, events: u64, profiles: u64) -> Result<Self> {
        let mut store = open(&data.join("store.db"), 2).await?;
        let live: i64 = sqlx::query_scalar("SELECT live FROM store").fetch_one(&mut store).await?;
        let mut tables = open(&data.join(format!("store.db.{live}")), 64).await?;
        let mut timeline = open(&data.join(format!("store.db.{live}-timeline")), 64).await?;
        let state =
            sqlx::query("SELECT avg(length(state)), avg(length(open_spans)), avg(length(event_ids)) FROM states")
                .fetch_one(&mut tables)
                .await?;
        let state = [0, 1, 2].map(|column| state.get::<Option<f64>, _>(column).unwrap_or(0.0) as usize);
        Ok(Self {
            profiles,
            state,
            card: kind(&mut tables, "profiles", "card", events).await?,
            span: kind(&mut tables, "spans", "profile", events).await?,
            score: kind(&mut tables, "scores", "place", events).await?,
            record: kind(&mut timeline, "records", "record", events).await?.bytes,
            place: kind(&mut timeline, PLACES, "place", events).await?.bytes,
        })
    }

    /// How the rows are written to SQLite, in a sentence.
    pub(crate) fn describe(&self) -> String {
        format!(
            "plain statements: transactions of {BATCH} events, multi-row INSERT … ON CONFLICT of {ROWS} rows, the same \
             columns, WAL, synchronous=NORMAL; {}",
            self.describe_rows()
        )
    }

    /// What the rows are.
    pub(super) fn describe_rows(&self) -> String {
        format!(
            "per event a state of {} B, a record of {} B and its place, {:.2} cards of {} B, {:.2} spans, {:.2} scores",
            self.state.iter().sum::<usize>(),
            self.record,
            self.card.per_event,
            self.card.bytes,
            self.span.per_event,
            self.score.per_event
        )
    }
}

async fn kind(file: &mut SqliteConnection, table: &str, blob: &str, events: u64) -> Result<Kind> {
    let sql = format!("SELECT count(*), avg(length({blob})) FROM {table}");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(file).await.with_context(|| format!("look at {table}"))?;
    let (count, bytes) = (row.get::<i64, _>(0), row.get::<Option<f64>, _>(1).unwrap_or(0.0));
    Ok(Kind { per_event: count as f64 / events as f64, bytes: bytes as usize })
}

pub(super) async fn open(path: &Path, cache_mib: u32) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", "16000")
        // A statement of many rows may have to be undone alone; SQLite would keep the pages for that in a file.
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", format!("-{}", cache_mib * 1024));
    options.connect().await.with_context(|| format!("open {}", path.display()))
}

/// Writes the rows of `events` events into empty tables in `dir`, or of as many as `long` allows.
pub(crate) async fn write(dir: &Path, shape: &Shape, events: u64, long: Duration) -> Result<Plain> {
    let mut tables = open(&dir.join("plain.db"), 256).await?;
    let mut timeline = open(&dir.join("plain-timeline.db"), 128).await?;
    sqlx::raw_sql(TABLES).execute(&mut tables).await?;
    sqlx::raw_sql(TIMELINE).execute(&mut timeline).await?;
    let mut random = Random::new(11);
    let mut progress = Progress::begin("plain statements", events);
    let (began, mut done) = (Instant::now(), 0);
    while done < events && began.elapsed() < long {
        let next = events.min(done + BATCH);
        let picked: Vec<Vec<u8>> = (done..next).map(|_| key(random.below(shape.profiles))).collect();
        write_tables(&mut tables, shape, (done, next), &picked).await?;
        write_timeline(&mut timeline, shape, done, picked).await?;
        done = next;
        progress.at(done, "");
    }
    Ok(Plain { events: done, elapsed: began.elapsed() })
}

/// A profile's id: spread evenly, as hashes are.
pub(super) fn key(profile: u64) -> Vec<u8> {
    let mut random = Random::new(profile.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    [random.number().to_be_bytes(), random.number().to_be_bytes()].concat()
}

/// A column's value.
enum Cell {
    Int(i64),
    Blob(Vec<u8>),
}

async fn write_tables(
    file: &mut SqliteConnection,
    shape: &Shape,
    (from, to): (u64, u64),
    picked: &[Vec<u8>],
) -> Result<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *file).await?;
    let sorted: BTreeSet<&Vec<u8>> = picked.iter().collect();
    let states = sorted.iter().map(|profile| {
        let [state, open, ids] = shape.state.map(|bytes| Cell::Blob(vec![7; bytes]));
        vec![
            Cell::Int(1),
            Cell::Blob((*profile).clone()),
            Cell::Int(from.cast_signed()),
            state,
            open,
            ids,
            Cell::Int(0),
        ]
    });
    upsert(file, "states", states.collect()).await?;
    let share = |kind: &Kind| kind.rows((from, to));
    let cards = sorted
        .iter()
        .take(share(&shape.card))
        .map(|profile| vec![Cell::Int(1), Cell::Blob((*profile).clone()), Cell::Blob(vec![7; shape.card.bytes])]);
    upsert(file, "profiles", cards.collect()).await?;
    let spans = picked.iter().cycle().take(share(&shape.span)).enumerate().map(|(index, profile)| {
        let enters = from.cast_signed() + index as i64;
        vec![Cell::Int(1), Cell::Int(0), Cell::Int(enters), Cell::Blob(profile.clone()), Cell::Int(i64::MAX)]
    });
    upsert(file, "spans", spans.collect()).await?;
    let scores = picked
        .iter()
        .take(share(&shape.score))
        .map(|profile| vec![Cell::Int(1), Cell::Blob(vec![7; shape.score.bytes]), Cell::Blob(profile.clone())]);
    upsert(file, "scores", scores.collect()).await?;
    sqlx::query("COMMIT").execute(file).await?;
    Ok(())
}

async fn write_timeline(file: &mut SqliteConnection, shape: &Shape, from: u64, picked: Vec<Vec<u8>>) -> Result<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *file).await?;
    let offset = |index: usize| Cell::Int(from.cast_signed() + index as i64);
    let records =
        (0..picked.len()).map(|index| vec![Cell::Int(0), offset(index), Cell::Blob(vec![7; shape.record])]).collect();
    upsert(file, "records", records).await?;
    let mut places: Vec<(Vec<u8>, usize)> = picked.into_iter().enumerate().map(|(index, key)| (key, index)).collect();
    places.sort_unstable();
    let places = places.into_iter().map(|(profile, index)| {
        let mut place = vec![7; shape.place];
        place.splice(..8.min(shape.place), (from + index as u64).to_be_bytes().into_iter().take(shape.place));
        vec![Cell::Int(1), Cell::Blob(profile), Cell::Blob(place), Cell::Int(0), offset(index)]
    });
    upsert(file, "timeline", places.collect()).await?;
    sqlx::query("COMMIT").execute(file).await?;
    Ok(())
}

/// Writes rows by statements of [`ROWS`] rows; a row that is there is written over.
async fn upsert(file: &mut SqliteConnection, table: &str, rows: Vec<Vec<Cell>>) -> Result<()> {
    let verb = conflict(table);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let some: Vec<Vec<Cell>> = rows.by_ref().take(ROWS).collect();
        let values = vec![placeholders(some.first().map_or(0, Vec::len)); some.len()].join(",");
        let mut query = sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} VALUES {values} {verb}")));
        // Statements of fewer rows are as many as there are remainders: not worth keeping.
        query = query.persistent(some.len() == ROWS);
        for cell in some.into_iter().flatten() {
            query = match cell {
                Cell::Int(value) => query.bind(value),
                Cell::Blob(bytes) => query.bind(bytes),
            };
        }
        query.execute(&mut *file).await.with_context(|| format!("write {table}"))?;
    }
    Ok(())
}

fn placeholders(columns: usize) -> String {
    format!("({})", vec!["?"; columns].join(","))
}

fn conflict(table: &str) -> &'static str {
    match table {
        "states" => {
            "ON CONFLICT DO UPDATE SET last_offset = excluded.last_offset, state = excluded.state, \
             open_spans = excluded.open_spans, event_ids = excluded.event_ids"
        }
        "profiles" => "ON CONFLICT DO UPDATE SET card = excluded.card",
        "spans" => "ON CONFLICT DO UPDATE SET leaves_at = excluded.leaves_at",
        _ => "ON CONFLICT DO NOTHING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_rows_are_written_as_the_shape_says() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |per_event, bytes| Kind { per_event, bytes };
        let shape = Shape {
            profiles: 1_000_000,
            state: [120, 20, 80],
            card: kind(0.25, 40),
            span: kind(0.5, 16),
            score: kind(0.1, 9),
            record: 300,
            place: 34,
        };
        let plain = write(dir.path(), &shape, 25_000, Duration::from_secs(60)).await.unwrap();
        assert_eq!(plain.events, 25_000);
        let mut tables = open(&dir.path().join("plain.db"), 2).await.unwrap();
        let mut timeline = open(&dir.path().join("plain-timeline.db"), 2).await.unwrap();
        let span = super::kind(&mut tables, "spans", "profile", 25_000).await.unwrap();
        assert_eq!((span.per_event, span.bytes), (0.5, 16));
        let record = super::kind(&mut timeline, "timeline", "place", 25_000).await.unwrap();
        assert_eq!((record.per_event, record.bytes), (1.0, 34));
    }
}
