//! The shapes: how states and event ids of profiles lie in a SQLite file.
//!
//! A [`StateFile`] owns one database file and writes batches into it, each batch one transaction with a position as a
//! fence. The memory of the projector is played by [`States`]: nothing is read back while writing.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, Sqlite, SqliteConnection, query::Query};

use crate::state_workload::{Random, States, Touch};

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Largest body of a row of the redo log.
const LOG_ROW_BYTES: usize = 1 << 20;
/// Pieces of work written in one transaction when everything that changed is written back at once.
const WRITE_BACK_PROFILES: usize = 32_768;
const WORKSPACE: i64 = 7;
const WEEK: i64 = 2_900;

/// How states lie in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row a profile, ids in it.
    Rows,
    /// A row a profile; ids in rows of their own by (week, profile).
    IdRows,
    /// A row for each run of this many profiles in key order (the same as hashing random keys to rows).
    Wide(usize),
}

/// When changed states reach their table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// In the transaction of their batch.
    Direct,
    /// Later: the batch writes what changed as one redo record, and after `every` events all that changed is written.
    Snapshot {
        /// Events between two snapshots.
        every: usize,
    },
    /// Later: each batch also writes the next piece of the key space, so that the table is passed once in `every` events.
    Sweep {
        /// Events in one pass.
        every: usize,
        /// Whether batches write a redo record; if not, the event log itself must be read again from the oldest piece.
        redo: bool,
    },
}

/// What SQLite is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pragmas {
    /// `page_size`, bytes (fixed when the file is made).
    pub page: u32,
    /// `cache_size`, MB.
    pub cache: u32,
    /// `wal_autocheckpoint`, MB (SQLite is told pages).
    pub checkpoint: u32,
    /// `mmap_size`, MB.
    pub mmap: u32,
    /// `synchronous=FULL` instead of NORMAL.
    pub full: bool,
    /// `INSERT OR REPLACE` instead of `INSERT … ON CONFLICT DO UPDATE`.
    pub replace: bool,
}

/// One database file, its states and its redo log.
pub struct StateFile {
    path: PathBuf,
    layout: Layout,
    writing: Writing,
    states: States,
    dirty: Vec<bool>,
    cursor: f64,
    events: usize,
    logged: VecDeque<(i64, usize)>,
    next_row: i64,
    snapshot_at: usize,
}

/// A file as found after a crash.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Open and first statement, the WAL being recovered.
    pub open: Duration,
    /// Reading the redo log and making the index, if the shape has one.
    pub redo: Duration,
    /// Bytes of the redo log.
    pub redo_bytes: usize,
    /// Profiles in the index.
    pub index_entries: usize,
    /// Memory of the index.
    pub index_bytes: usize,
    /// Reading all states once, in key order.
    pub read_all: Duration,
    /// Random reads of one profile, the operating system's cache dropped before: median and 99th percentile.
    pub cold: (Duration, Duration),
    /// Database and WAL.
    pub file_bytes: u64,
}

impl StateFile {
    /// Makes the file and fills it with all profiles in key order.
    ///
    /// # Errors
    /// SQLite fails.
    pub async fn create(path: &Path, layout: Layout, writing: Writing, states: States, page: u32) -> Result<Self> {
        let (dirty, path) = (vec![false; states.len()], path.to_owned());
        let snapshot_at = if let Writing::Snapshot { every } = writing { every } else { 0 };
        let (logged, cursor, events, next_row) = (VecDeque::new(), 0.0, 0, 0);
        let file = Self { path, layout, writing, states, dirty, cursor, events, logged, next_row, snapshot_at };
        let pragmas = Pragmas { page, cache: 256, checkpoint: 64, mmap: 0, full: false, replace: false };
        let mut db = file.open(&pragmas).await?;
        for sql in TABLES {
            db.execute(*sql).await?;
        }
        let unit = file.unit();
        for start in (0..file.states.len()).step_by(WRITE_BACK_PROFILES / unit * unit) {
            let end = (start + WRITE_BACK_PROFILES / unit * unit).min(file.states.len());
            let mut tx = db.begin().await?;
            file.write_profiles(&mut tx, &(start..end).collect::<Vec<_>>(), false).await?;
            tx.commit().await?;
        }
        if layout == Layout::IdRows {
            // The weeks before: 2 with 4 ids in them, made by SQLite itself since nothing touches them again.
            db.execute(PAST_WEEKS).await?;
        }
        db.close().await?;
        Ok(file)
    }

    /// Opens a connection; the one writer.
    ///
    /// # Errors
    /// SQLite fails.
    pub async fn open(&self, pragmas: &Pragmas) -> Result<SqliteConnection> {
        open(&self.path, pragmas).await
    }

    /// Picks and writes one batch; answers how long the transaction with all its encoding took.
    ///
    /// # Errors
    /// SQLite fails.
    pub async fn batch(
        &mut self,
        db: &mut SqliteConnection,
        random: &mut Random,
        events: usize,
        how: (bool, &Pragmas),
    ) -> Result<Duration> {
        let (zipf, pragmas) = how;
        let touched = self.states.touch(random, events, zipf);
        let began = Instant::now();
        let mut tx = db.begin().await?;
        let moved = sqlx::query("UPDATE positions SET next = ? WHERE next = ?")
            .bind((self.events + events) as i64)
            .bind(self.events as i64)
            .execute(&mut *tx)
            .await?;
        ensure!(moved.rows_affected() == 1, "the fence does not hold");
        self.events += events;
        match self.writing {
            Writing::Direct => {
                let profiles: Vec<usize> = touched.iter().map(|t| t.profile).collect();
                self.write_profiles(&mut tx, &profiles, pragmas.replace).await?;
            }
            Writing::Snapshot { .. } => self.write_redo(&mut tx, &touched).await?,
            Writing::Sweep { every, redo } => {
                touched.iter().for_each(|t| self.dirty[t.profile] = true);
                if redo {
                    self.write_redo(&mut tx, &touched).await?;
                }
                self.sweep(&mut tx, events, every).await?;
            }
        }
        tx.commit().await?;
        if let Writing::Snapshot { every } = self.writing
            && self.events >= self.snapshot_at
        {
            self.snapshot(db).await?;
            self.snapshot_at = self.events + every;
        }
        Ok(began.elapsed())
    }

    /// Whether the file stands at the end of a whole number of snapshots: rates are only fair from there to there.
    #[must_use]
    pub fn at_snapshot(&self) -> bool {
        match self.writing {
            Writing::Snapshot { every } => self.snapshot_at == self.events + every,
            Writing::Direct | Writing::Sweep { .. } => true,
        }
    }

    /// Profiles that are always written together.
    fn unit(&self) -> usize {
        if let Layout::Wide(n) = self.layout { n } else { 1 }
    }

    async fn write_redo(&mut self, tx: &mut SqliteConnection, touched: &[Touch]) -> Result<()> {
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for touch in touched {
            self.dirty[touch.profile] = true;
            if bodies.last().is_none_or(|b| b.len() > LOG_ROW_BYTES - 2_048) {
                bodies.push(Vec::with_capacity(LOG_ROW_BYTES));
            }
            let body = bodies.last_mut().context("one was pushed")?;
            let new_ids = self.states.last_ids(touch.profile, touch.events.min(20));
            put_profile(body, self.states.key(touch.profile), self.states.state(touch.profile), new_ids);
        }
        for body in bodies {
            self.next_row += 1;
            sqlx::query("INSERT INTO redo VALUES (?, ?)").bind(self.next_row).bind(body).execute(&mut *tx).await?;
            self.logged.push_back((self.next_row, self.events));
        }
        Ok(())
    }

    async fn sweep(&mut self, tx: &mut SqliteConnection, events: usize, every: usize) -> Result<()> {
        let (all, unit) = (self.states.len(), self.unit());
        let from = self.cursor as usize / unit * unit;
        self.cursor += events as f64 / every as f64 * all as f64;
        let to = self.cursor as usize / unit * unit;
        let mut changed = Vec::new();
        for piece in (from..to).step_by(unit) {
            let start = piece % all;
            let end = (start + unit).min(all);
            if self.dirty[start..end].contains(&true) {
                changed.extend((start..end).filter(|p| unit > 1 || self.dirty[*p]));
                self.dirty[start..end].fill(false);
            }
        }
        if self.cursor >= (2 * all) as f64 {
            self.cursor -= all as f64;
        }
        self.write_profiles(tx, &changed, false).await?;
        let passed = self.events.saturating_sub(every + 2 * events);
        self.drop_redo(tx, passed).await
    }

    async fn drop_redo(&mut self, tx: &mut SqliteConnection, passed: usize) -> Result<()> {
        let mut last = None;
        while let Some((row, at)) = self.logged.front().copied().filter(|(_, at)| *at <= passed) {
            last = Some((row, at));
            self.logged.pop_front();
        }
        if let Some((row, _)) = last {
            sqlx::query("DELETE FROM redo WHERE seq <= ?").bind(row).execute(tx).await?;
        }
        Ok(())
    }

    async fn snapshot(&mut self, db: &mut SqliteConnection) -> Result<()> {
        let unit = self.unit();
        for start in (0..self.states.len()).step_by(WRITE_BACK_PROFILES / unit * unit) {
            let end = (start + WRITE_BACK_PROFILES / unit * unit).min(self.states.len());
            let changed = |from: usize| self.dirty[from..(from + unit).min(end)].contains(&true);
            let pieces = (start..end).step_by(unit).filter(|from| changed(*from));
            let profiles: Vec<usize> = pieces.flat_map(|from| from..(from + unit).min(end)).collect();
            let mut tx = db.begin().await?;
            self.write_profiles(&mut tx, &profiles, false).await?;
            tx.commit().await?;
        }
        self.dirty.fill(false);
        let mut tx = db.begin().await?;
        self.drop_redo(&mut tx, self.events).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes whole rows for these profiles (in key order; whole units).
    async fn write_profiles(&self, tx: &mut SqliteConnection, profiles: &[usize], replace: bool) -> Result<()> {
        let states = &self.states;
        match self.layout {
            Layout::Rows => {
                let statement = Upsert::new("states", &["ws", "profile"], &["state", "spans", "ids"], replace, 500);
                let bind = |q: Statement<'static>, p: &usize| {
                    let (state, spans, ids) = (states.state(*p), states.spans(*p), states.ids(*p));
                    q.bind(WORKSPACE)
                        .bind(states.key(*p).to_vec())
                        .bind(state.to_vec())
                        .bind(spans.to_vec())
                        .bind(ids.to_vec())
                };
                statement.run(tx, profiles, bind).await
            }
            Layout::IdRows => {
                let statement = Upsert::new("states", &["ws", "profile"], &["state", "spans", "ids"], replace, 500);
                let bind = |q: Statement<'static>, p: &usize| {
                    let (state, spans) = (states.state(*p).to_vec(), states.spans(*p).to_vec());
                    q.bind(WORKSPACE).bind(states.key(*p).to_vec()).bind(state).bind(spans).bind(Vec::new())
                };
                statement.run(tx, profiles, bind).await?;
                let statement = Upsert::new("ids", &["ws", "week", "profile"], &["ids"], replace, 500);
                let bind = |q: Statement<'static>, p: &usize| {
                    q.bind(WORKSPACE).bind(WEEK).bind(states.key(*p).to_vec()).bind(states.week_ids(*p).to_vec())
                };
                statement.run(tx, profiles, bind).await
            }
            Layout::Wide(unit) => {
                let statement =
                    Upsert::new("chunks", &["ws", "chunk"], &["body"], replace, if unit > 32 { 50 } else { 500 });
                let mut chunks: Vec<usize> = profiles.iter().map(|p| p / unit).collect();
                chunks.dedup();
                let bind = |q: Statement<'static>, chunk: &usize| {
                    let mut body = Vec::with_capacity(unit * 700);
                    for p in chunk * unit..((chunk + 1) * unit).min(states.len()) {
                        put_profile(&mut body, states.key(p), states.state(p), states.ids(p));
                    }
                    q.bind(WORKSPACE).bind(*chunk as i64).bind(body)
                };
                statement.run(tx, &chunks, bind).await
            }
        }
    }

    /// Copies the file as a crash would leave it, opens the copy cold and checks what it holds against memory.
    ///
    /// # Errors
    /// SQLite fails, or a profile is not as it should be.
    pub async fn recover(&mut self, pragmas: &Pragmas) -> Result<Recovery> {
        let mut writer = self.open(pragmas).await?;
        let mut random = Random::new(77);
        for _ in 0..20 {
            self.batch(&mut writer, &mut random, 10_000, (false, pragmas)).await?;
        }
        let copy = self.path.with_extension("crashed");
        let wal = |p: &Path| PathBuf::from(format!("{}-wal", p.display()));
        let mut found = Recovery { file_bytes: std::fs::copy(&self.path, &copy)?, ..Recovery::default() };
        if wal(&self.path).exists() {
            found.file_bytes += std::fs::copy(wal(&self.path), wal(&copy))?;
            drop_cached(&wal(&copy));
        }
        writer.close().await?;
        drop_cached(&copy);
        let began = Instant::now();
        let mut db = open(&copy, pragmas).await?;
        let next: i64 = sqlx::query_scalar("SELECT next FROM positions").fetch_one(&mut db).await?;
        found.open = began.elapsed();
        ensure!(next as usize == self.events, "position {next} is not {}", self.events);
        let began = Instant::now();
        let index = read_redo(&mut db, &mut found.redo_bytes).await?;
        (found.redo, found.index_entries) = (began.elapsed(), index.len());
        found.index_bytes = index.capacity() * (size_of::<([u8; 16], (u32, u32))>() + 1);
        self.read_at_random(&mut db, &index, &mut found).await?;
        db.close().await?;
        drop_cached(&copy);
        let mut db = open(&copy, pragmas).await?;
        let began = Instant::now();
        self.read_all(&mut db).await?;
        found.read_all = began.elapsed();
        db.close().await?;
        std::fs::remove_file(&copy)?;
        Ok(found)
    }

    async fn read_at_random(&self, db: &mut SqliteConnection, index: &RedoIndex, found: &mut Recovery) -> Result<()> {
        let mut random = Random::new(99);
        let mut times = Vec::new();
        let sql = match self.layout {
            Layout::Rows => "SELECT state, ids FROM states WHERE ws = ? AND profile = ?",
            Layout::IdRows => {
                "SELECT state, (SELECT group_concat(hex(i.ids)) FROM ids i WHERE i.ws = s.ws AND i.week IN (2898, 2899, 2900) \
                 AND i.profile = s.profile) FROM states s WHERE ws = ? AND profile = ?"
            }
            Layout::Wide(_) => "SELECT body FROM chunks WHERE ws = ? AND chunk = ?",
        };
        for _ in 0..1_000 {
            let profile = (random.number() % self.states.len() as u64) as usize;
            let key = self.states.key(profile);
            let began = Instant::now();
            let query = sqlx::query(sql).bind(WORKSPACE);
            let query = if let Layout::Wide(unit) = self.layout {
                query.bind((profile / unit) as i64)
            } else {
                query.bind(key.to_vec())
            };
            let row = query.fetch_one(&mut *db).await?;
            let mut state: Vec<u8> = row.get(0);
            if let Layout::Wide(_) = self.layout {
                state = find_in_chunk(&state, &key).context("profile is in its chunk")?;
            }
            if let Some((seq, at)) = index.get(&key) {
                let sql = "SELECT substr(body, ?, 700) FROM redo WHERE seq = ?";
                let row = sqlx::query(sql).bind(i64::from(*at) + 1).bind(*seq).fetch_one(&mut *db).await?;
                state = find_in_chunk(&row.get::<Vec<u8>, _>(0), &key).context("profile is in the redo log")?;
            }
            times.push(began.elapsed());
            let checked = !matches!(self.writing, Writing::Sweep { redo: false, .. }) || !self.dirty[profile];
            ensure!(!checked || state == self.states.state(profile), "profile {profile} was lost");
        }
        times.sort_unstable();
        found.cold = (times[times.len() / 2], times[times.len() * 99 / 100]);
        Ok(())
    }

    async fn read_all(&self, db: &mut SqliteConnection) -> Result<()> {
        let sql = match self.layout {
            Layout::Rows => {
                "SELECT profile, state, spans, ids FROM states WHERE ws = 7 AND profile > ? ORDER BY profile LIMIT 5000"
            }
            Layout::IdRows => {
                "SELECT s.profile, state, spans, i.ids FROM states s JOIN ids i ON i.ws = 7 AND i.week = 2900 AND \
                 i.profile = s.profile WHERE s.ws = 7 AND s.profile > ? ORDER BY s.profile LIMIT 5000"
            }
            Layout::Wide(_) => "SELECT chunk, body FROM chunks WHERE ws = 7 AND chunk > ? ORDER BY chunk LIMIT 100",
        };
        let (mut chunk, mut profile) = (-1_i64, Vec::new());
        loop {
            let wide = matches!(self.layout, Layout::Wide(_));
            let query = if wide { sqlx::query(sql).bind(chunk) } else { sqlx::query(sql).bind(profile.clone()) };
            let rows = query.fetch_all(&mut *db).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            if wide { chunk = last.get(0) } else { profile = last.get(0) }
        }
    }
}

const TABLES: &[&str] = &[
    "CREATE TABLE positions (next INTEGER NOT NULL)",
    "INSERT INTO positions VALUES (0)",
    "CREATE TABLE states (ws INTEGER NOT NULL, profile BLOB NOT NULL, state BLOB NOT NULL, spans BLOB NOT NULL, \
     ids BLOB NOT NULL, PRIMARY KEY (ws, profile)) WITHOUT ROWID",
    "CREATE TABLE ids (ws INTEGER NOT NULL, week INTEGER NOT NULL, profile BLOB NOT NULL, ids BLOB NOT NULL, \
     PRIMARY KEY (ws, week, profile)) WITHOUT ROWID",
    "CREATE TABLE chunks (ws INTEGER NOT NULL, chunk INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (ws, chunk))",
    "CREATE TABLE redo (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
];

const PAST_WEEKS: &str = "INSERT INTO ids SELECT ws, w, profile, randomblob(160) FROM \
     (SELECT 2898 AS w UNION ALL SELECT 2899) CROSS JOIN states";

async fn open(path: &Path, pragmas: &Pragmas) -> Result<SqliteConnection> {
    let synchronous = if pragmas.full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(pragmas.page)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .pragma("cache_size", format!("-{}", u64::from(pragmas.cache) * 1_024))
        .pragma("wal_autocheckpoint", ((pragmas.checkpoint << 20) / pragmas.page).to_string())
        .pragma("mmap_size", (u64::from(pragmas.mmap) << 20).to_string())
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// A multi-row upsert in groups of fixed sizes, so that few statements are prepared and all stay cached.
struct Upsert {
    head: String,
    row: String,
    tail: String,
    groups: [usize; 4],
}

impl Upsert {
    fn new(table: &str, key: &[&str], rest: &[&str], replace: bool, most: usize) -> Self {
        let columns = [key, rest].concat();
        let verb = if replace { "INSERT OR REPLACE" } else { "INSERT" };
        let sets: Vec<String> = rest.iter().map(|c| format!("{c} = excluded.{c}")).collect();
        let tail = format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), sets.join(", "));
        Self {
            head: format!("{verb} INTO {table} ({}) VALUES ", columns.join(", ")),
            row: format!("({})", vec!["?"; columns.len()].join(", ")),
            tail: if replace { String::new() } else { tail },
            groups: [most, most / 10, (most / 100).max(2), 1],
        }
    }

    async fn run<T>(
        &self,
        tx: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(Statement<'static>, &T) -> Statement<'static>,
    ) -> Result<()> {
        for group in self.groups {
            if rows.len() < group {
                continue;
            }
            let sql: std::sync::Arc<str> =
                format!("{}{}{}", self.head, vec![self.row.as_str(); group].join(", "), self.tail).into();
            while rows.len() >= group {
                let (now, later) = rows.split_at(group);
                let query = now.iter().fold(sqlx::query(AssertSqlSafe(sql.clone())), &bind);
                query.execute(&mut *tx).await?;
                rows = later;
            }
        }
        Ok(())
    }
}

fn put_profile(body: &mut Vec<u8>, key: [u8; 16], state: &[u8], ids: &[u8]) {
    body.extend_from_slice(&key);
    body.extend_from_slice(&(state.len() as u16).to_le_bytes());
    body.extend_from_slice(&(ids.len() as u16).to_le_bytes());
    body.extend_from_slice(state);
    body.extend_from_slice(ids);
}

/// Walks (key, offset of the entry, state) over a body; a cut entry at the end is left out.
fn walk(body: &[u8]) -> impl Iterator<Item = ([u8; 16], usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = body.get(at..at + 20)?;
        let key: [u8; 16] = head[..16].try_into().ok()?;
        let (state, ids) = (u16::from_le_bytes([head[16], head[17]]), u16::from_le_bytes([head[18], head[19]]));
        let state = body.get(at + 20..at + 20 + usize::from(state))?;
        let entry = at;
        at += 20 + state.len() + usize::from(ids);
        Some((key, entry, state))
    })
}

fn find_in_chunk(body: &[u8], key: &[u8; 16]) -> Option<Vec<u8>> {
    walk(body).find(|(k, ..)| k == key).map(|(_, _, state)| state.to_vec())
}

/// Profile → (row of the redo log, offset in its body) of the newest state.
type RedoIndex = std::collections::HashMap<[u8; 16], (u32, u32)>;

async fn read_redo(db: &mut SqliteConnection, bytes: &mut usize) -> Result<RedoIndex> {
    let mut index = RedoIndex::new();
    let mut last = 0_i64;
    loop {
        let sql = "SELECT seq, body FROM redo WHERE seq > ? ORDER BY seq LIMIT 16";
        let rows = sqlx::query(sql).bind(last).fetch_all(&mut *db).await?;
        if rows.is_empty() {
            return Ok(index);
        }
        for row in rows {
            last = row.get(0);
            let body: Vec<u8> = row.get(1);
            *bytes += body.len();
            index.extend(walk(&body).map(|(key, at, _)| (key, (last as u32, at as u32))));
        }
    }
}

/// Asks the operating system to forget the pages of a file, through `dd` since std has no `posix_fadvise`; where there is
/// no `dd`, the reads are warm.
fn drop_cached(path: &Path) {
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.sync_all();
    }
    let input = format!("if={}", path.display());
    let _ = std::process::Command::new("dd").args([&input, "iflag=nocache", "count=0", "status=none"]).status();
}
