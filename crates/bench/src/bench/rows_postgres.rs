//! The peer of the projector over PostgreSQL: plain statements that write rows of the same tables, numbers and sizes,
//! without a log to read, without folding and without admission: many rows at a time from arrays, or event by event.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

use super::events::Random;
use super::progress::Progress;
use super::rows::{Kind, Plain, Shape, key};
use super::services::Services;
use super::site::Remote;

/// Tables of the program's columns and keys, with its fill factors.
const TABLES: [(&str, u32); 7] = [
    ("states", 70),
    ("profiles", 80),
    ("spans", 90),
    ("profile_spans", 90),
    ("scores", 100),
    ("records", 100),
    ("timeline", 100),
];
/// Events of a transaction where they are written one by one.
const SINGLES: u64 = 1_000;

const STATES: &str = "INSERT INTO states (workspace, profile, last_offset, state, open_spans, event_ids, id_chunks)
    SELECT 1, k.profile, $2, $3, $4, $5, 0 FROM unnest($1::uuid[]) AS k (profile)
    ON CONFLICT (workspace, profile) DO UPDATE SET last_offset = excluded.last_offset, state = excluded.state,
      open_spans = excluded.open_spans, event_ids = excluded.event_ids";
const CARDS: &str = "INSERT INTO profiles (workspace, profile, card)
    SELECT 1, k.profile, $2 FROM unnest($1::uuid[]) AS k (profile)
    ON CONFLICT (workspace, profile) DO UPDATE SET card = excluded.card";
const SPANS: &str = "INSERT INTO spans (segment, past, enters_at, profile, leaves_at)
    SELECT 1, false, k.enters_at, k.profile, 9223372036854775807
    FROM unnest($1::bigint[], $2::uuid[]) AS k (enters_at, profile)
    ON CONFLICT (segment, past, enters_at, profile) DO UPDATE SET leaves_at = excluded.leaves_at";
const PROFILE_SPANS: &str = "INSERT INTO profile_spans (profile, segment, enters_at, past, leaves_at)
    SELECT k.profile, 1, k.enters_at, false, 9223372036854775807
    FROM unnest($1::bigint[], $2::uuid[]) AS k (enters_at, profile)
    ON CONFLICT (profile, segment, enters_at) DO UPDATE SET past = excluded.past, leaves_at = excluded.leaves_at";
const SCORES: &str = "INSERT INTO scores (score, place, profile)
    SELECT 1, $2, k.profile FROM unnest($1::uuid[]) AS k (profile) ON CONFLICT DO NOTHING";
const RECORDS: &str = "INSERT INTO records (partition, log_offset, record)
    SELECT 0, k.log_offset, k.record FROM unnest($1::bigint[], $2::bytea[]) AS k (log_offset, record)";
const TIMELINE: &str = "INSERT INTO timeline (profile, workspace, place, partition, log_offset)
    SELECT k.profile, 1, k.place, 0, k.log_offset
    FROM unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS k (profile, place, log_offset)";

/// The schema of the generation that is read.
pub(super) async fn live_schema(remote: &Remote, database: &mut PgConnection) -> Result<String> {
    let live = format!("SELECT live FROM {}.store", remote.name);
    let live: i64 = sqlx::query_scalar(AssertSqlSafe(live)).fetch_one(database).await.context("the live generation")?;
    Ok(format!("{}_g{live}", remote.name))
}

/// Reads it from the tables that a `weir` left behind.
pub(super) async fn shape(remote: &Remote, events: u64, profiles: u64) -> Result<Shape> {
    let mut database = remote.services.database().await?;
    let schema = live_schema(remote, &mut database).await?;
    let kind =
        |table: &str, blob: &str| format!("SELECT count(*), coalesce(avg({blob}), 0)::float8 FROM {schema}.{table}");
    let state = format!(
        "SELECT coalesce(avg(octet_length(state)), 0)::float8, coalesce(avg(octet_length(open_spans)), 0)::float8,
           coalesce(avg(octet_length(event_ids)), 0)::float8 FROM {schema}.states"
    );
    let state = sqlx::query(AssertSqlSafe(state)).fetch_one(&mut database).await.context("look at states")?;
    let mut kinds = Vec::new();
    for (table, blob) in [
        ("profiles", "octet_length(card)"),
        ("spans", "16"),
        ("scores", "octet_length(place)"),
        ("records", "octet_length(record)"),
        ("timeline", "octet_length(place)"),
    ] {
        let row = sqlx::query(AssertSqlSafe(kind(table, blob))).fetch_one(&mut database).await.context(table)?;
        let per_event = row.get::<i64, _>(0) as f64 / events as f64;
        kinds.push(Kind { per_event, bytes: row.get::<f64, _>(1) as usize });
    }
    let [card, span, score, record, place] =
        <[Kind; 5]>::try_from(kinds).map_err(|_| anyhow::anyhow!("five tables were looked at"))?;
    Ok(Shape {
        profiles,
        state: [0, 1, 2].map(|column| state.get::<f64, _>(column) as usize),
        card,
        span,
        score,
        record: record.bytes,
        place: place.bytes,
    })
}

/// What the plain statements are, in a sentence.
pub(super) fn describe(shape: &Shape, batch: u64) -> String {
    format!(
        "plain statements: transactions of {batch} events (Weir's own mean, never below 1,000), INSERT … SELECT … FROM unnest \
         ON CONFLICT, the same columns, keys and fill factors, synchronous_commit=off, tables and timeline on a connection \
         each at the same time; {}; event by event: single-row statements of the same rows, one after the other, on one \
         connection, {SINGLES} events a transaction",
        shape.describe_rows()
    )
}

/// Makes empty tables beside those of the run, and connections whose statements find them.
struct Place<'a> {
    services: &'a Services,
    schema: String,
}

impl<'a> Place<'a> {
    async fn new(remote: &'a Remote, name: &str) -> Result<Self> {
        let mut database = remote.services.database().await?;
        let (live, schema) = (live_schema(remote, &mut database).await?, format!("{}_{name}", remote.name));
        let mut sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};");
        for (table, fill) in TABLES {
            let made = format!(
                "CREATE TABLE {schema}.{table} (LIKE {live}.{table} INCLUDING ALL) WITH (fillfactor = {fill});"
            );
            sql.push_str(&made);
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.context("make plain tables")?;
        Ok(Self { services: &remote.services, schema })
    }

    async fn connection(&self) -> Result<PgConnection> {
        let mut connection = self.services.database().await?;
        let settings = format!(
            "SET search_path = {}; SET synchronous_commit = off; SET jit = off; SET plan_cache_mode = force_generic_plan",
            self.schema
        );
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
        Ok(connection)
    }
}

/// Writes the rows of `events` events into empty tables, or of as many as `long` allows.
pub(super) async fn write(remote: &Remote, shape: &Shape, batch: u64, events: u64, long: Duration) -> Result<Plain> {
    let place = Place::new(remote, "plain").await?;
    let (mut tables, mut timeline) = (place.connection().await?, place.connection().await?);
    let mut random = Random::new(11);
    let mut progress = Progress::begin("plain statements", events);
    let (began, mut done) = (Instant::now(), 0);
    while done < events && began.elapsed() < long {
        let range = (done, events.min(done + batch));
        let picked: Vec<Uuid> = (range.0..range.1).map(|_| profile(random.below(shape.profiles))).collect();
        tokio::try_join!(
            write_tables(&mut tables, shape, range, &picked),
            write_timeline(&mut timeline, shape, range, &picked)
        )?;
        done = range.1;
        progress.at(done, "");
    }
    Ok(Plain { events: done, elapsed: began.elapsed() })
}

/// The same event by event.
pub(super) async fn write_singly(remote: &Remote, shape: &Shape, events: u64, long: Duration) -> Result<Plain> {
    let place = Place::new(remote, "singly").await?;
    let mut connection = place.connection().await?;
    let mut random = Random::new(12);
    let mut progress = Progress::begin("event by event", events);
    let (began, mut done) = (Instant::now(), 0);
    while done < events && began.elapsed() < long {
        let to = events.min(done + SINGLES);
        let mut transaction = connection.begin().await?;
        for event in done..to {
            let picked = [profile(random.below(shape.profiles))];
            tables_of(&mut transaction, shape, (event, event + 1), &picked, &picked).await?;
            timeline_of(&mut transaction, shape, event, &picked).await?;
        }
        transaction.commit().await?;
        done = to;
        progress.at(done, "");
    }
    Ok(Plain { events: done, elapsed: began.elapsed() })
}

fn profile(number: u64) -> Uuid {
    Uuid::from_slice(&key(number)).unwrap_or_default()
}

async fn write_tables(to: &mut PgConnection, shape: &Shape, range: (u64, u64), picked: &[Uuid]) -> Result<()> {
    let sorted: Vec<Uuid> = picked.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let mut transaction = to.begin().await?;
    tables_of(&mut transaction, shape, range, picked, &sorted).await?;
    Ok(transaction.commit().await?)
}

/// Writes the rows of tables; `sorted` are the profiles of `picked`, each once.
async fn tables_of(
    to: &mut PgConnection,
    shape: &Shape,
    range: (u64, u64),
    picked: &[Uuid],
    sorted: &[Uuid],
) -> Result<()> {
    let [state, open, ids] = shape.state.map(|bytes| vec![7_u8; bytes]);
    let query = sqlx::query(STATES).bind(sorted.to_vec()).bind(range.0.cast_signed());
    query.bind(state).bind(open).bind(ids).execute(&mut *to).await.context("write states")?;
    let cards = &sorted[..shape.card.rows(range).min(sorted.len())];
    if !cards.is_empty() {
        let query = sqlx::query(CARDS).bind(cards.to_vec()).bind(vec![7_u8; shape.card.bytes]);
        query.execute(&mut *to).await.context("write cards")?;
    }
    let spans = shape.span.rows(range);
    if spans > 0 {
        let enters: Vec<i64> = (0..spans).map(|index| range.0.cast_signed() * 8 + index as i64).collect();
        let profiles: Vec<Uuid> = picked.iter().copied().cycle().take(spans).collect();
        for statement in [SPANS, PROFILE_SPANS] {
            let query = sqlx::query(statement).bind(enters.clone()).bind(profiles.clone());
            query.execute(&mut *to).await.context("write spans")?;
        }
    }
    let scores = &sorted[..shape.score.rows(range).min(sorted.len())];
    if !scores.is_empty() {
        let query = sqlx::query(SCORES).bind(scores.to_vec()).bind(vec![7_u8; shape.score.bytes]);
        query.execute(&mut *to).await.context("write scores")?;
    }
    Ok(())
}

async fn write_timeline(to: &mut PgConnection, shape: &Shape, range: (u64, u64), picked: &[Uuid]) -> Result<()> {
    let mut transaction = to.begin().await?;
    timeline_of(&mut transaction, shape, range.0, picked).await?;
    Ok(transaction.commit().await?)
}

async fn timeline_of(to: &mut PgConnection, shape: &Shape, from: u64, picked: &[Uuid]) -> Result<()> {
    let offsets: Vec<i64> = (0..picked.len()).map(|index| from.cast_signed() + index as i64).collect();
    let record = vec![7_u8; shape.record];
    let records: Vec<&[u8]> = picked.iter().map(|_| record.as_slice()).collect();
    sqlx::query(RECORDS).bind(offsets.clone()).bind(records).execute(&mut *to).await.context("write records")?;
    let mut rows: Vec<(Uuid, i64)> = picked.iter().copied().zip(offsets).collect();
    rows.sort_unstable();
    let place = |offset: i64| {
        let mut place = vec![7_u8; shape.place];
        let ordered = offset.to_be_bytes();
        let ends = ordered.len().min(place.len());
        place[..ends].copy_from_slice(&ordered[..ends]);
        place
    };
    let query = sqlx::query(TIMELINE).bind(rows.iter().map(|(profile, _)| *profile).collect::<Vec<_>>());
    let query = query.bind(rows.iter().map(|(_, offset)| place(*offset)).collect::<Vec<_>>());
    let query = query.bind(rows.iter().map(|(_, offset)| *offset).collect::<Vec<_>>());
    query.execute(to).await.context("write the timeline")?;
    Ok(())
}
