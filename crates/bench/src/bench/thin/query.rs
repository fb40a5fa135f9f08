//! The thin query server: a page of members from Weir's own tables by the same two statements, one keyset over spans and
//! one look-up of cards, each a transaction of its own.
//!
//! No keys, no snapshot over both, no positions, no spans that were written as past ones, no steps over spans that lapsed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;
use weir_event::{Identifier, Timestamp};
use weir_segment::State as Card;

#[derive(Args)]
pub(crate) struct Options {
    /// A database
    #[arg(long)]
    postgres: Option<String>,
    /// The schema of a generation in it
    #[arg(long, default_value = "")]
    schema: String,
    /// The file of a generation
    #[arg(long)]
    sqlite: Option<PathBuf>,
    #[arg(long)]
    segment: i64,
    #[arg(long)]
    workspace: i64,
    /// The instant, microseconds
    #[arg(long)]
    as_of: i64,
}

/// Connections, as many as Weir's readers.
const CONNECTIONS: u32 = 8;
const LIMIT: i64 = 100;

enum Tables {
    Postgres { pool: PgPool, spans: String, cards: String },
    Sqlite(SqlitePool),
}

struct Thin {
    tables: Tables,
    segment: i64,
    workspace: i64,
    as_of: i64,
}

/// The place behind which a page begins.
#[derive(Deserialize)]
struct After {
    #[serde(default = "first")]
    enters: i64,
    #[serde(default)]
    profile: Uuid,
}

const fn first() -> i64 {
    i64::MIN
}

struct Span {
    enters: i64,
    profile: Uuid,
    leaves: i64,
}

#[derive(Serialize)]
struct Page<'a> {
    segment: &'a str,
    profiles: Vec<Member>,
    next_cursor: Option<String>,
    as_of: Timestamp,
}

#[derive(Serialize)]
struct Member {
    id: Uuid,
    identifiers: Vec<Identifier>,
    email: Option<String>,
    name: Option<String>,
    entered_at: Timestamp,
    leaves_at: Option<Timestamp>,
}

pub(super) async fn router(options: &Options) -> Result<Router> {
    let tables = match (&options.postgres, &options.sqlite) {
        (Some(url), None) => postgres(url, &options.schema).await?,
        (None, Some(path)) => sqlite(path).await?,
        _ => bail!("one of --postgres and --sqlite"),
    };
    let (segment, workspace, as_of) = (options.segment, options.workspace, options.as_of);
    Ok(Router::new().route("/page", get(page)).with_state(Arc::new(Thin { tables, segment, workspace, as_of })))
}

async fn postgres(url: &str, schema: &str) -> Result<Tables> {
    let options: PgConnectOptions = url.parse().context("--postgres")?;
    // What Weir tells its connections too, so that the plans are the same.
    let options = options.options([
        ("jit", "off"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    let pool =
        PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false).connect_with(options).await?;
    let spans = format!(
        "SELECT enters_at, profile, leaves_at FROM {schema}.spans
         WHERE segment = $1 AND past = false AND enters_at <= $2 AND leaves_at > $2
           AND (enters_at, profile) > ($3, $4) ORDER BY enters_at, profile LIMIT $5"
    );
    let cards = format!(
        "SELECT p.profile, p.card FROM unnest($2::uuid[]) AS k (profile) CROSS JOIN LATERAL
           (SELECT * FROM {schema}.profiles p WHERE p.workspace = $1 AND p.profile = k.profile OFFSET 0) AS p"
    );
    Ok(Tables::Postgres { pool, spans, cards })
}

async fn sqlite(path: &PathBuf) -> Result<Tables> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("cache_size", "-65536")
        .pragma("query_only", "1");
    Ok(Tables::Sqlite(
        SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false).connect_with(options).await?,
    ))
}

impl Thin {
    async fn spans(&self, after: &After) -> Result<Vec<Span>, sqlx::Error> {
        match &self.tables {
            Tables::Postgres { pool, spans, .. } => {
                let query = sqlx::query(AssertSqlSafe(spans.as_str())).bind(self.segment).bind(self.as_of);
                let rows = query.bind(after.enters).bind(after.profile).bind(LIMIT + 1).fetch_all(pool).await?;
                Ok(rows
                    .iter()
                    .map(|row| Span { enters: row.get(0), profile: row.get(1), leaves: row.get(2) })
                    .collect())
            }
            Tables::Sqlite(pool) => {
                let sql = "SELECT enters_at, profile, leaves_at FROM spans
                    WHERE segment = ?1 AND past = 0 AND enters_at <= ?2 AND leaves_at > ?2
                      AND (enters_at, profile) > (?3, ?4) ORDER BY enters_at, profile LIMIT ?5";
                let query = sqlx::query(sql).bind(self.segment).bind(self.as_of).bind(after.enters);
                let rows = query.bind(after.profile).bind(LIMIT + 1).fetch_all(pool).await?;
                Ok(rows
                    .iter()
                    .map(|row| Span { enters: row.get(0), profile: row.get(1), leaves: row.get(2) })
                    .collect())
            }
        }
    }

    async fn cards(&self, spans: &[Span]) -> Result<HashMap<Uuid, Vec<u8>>, sqlx::Error> {
        let profiles: Vec<Uuid> = spans.iter().map(|span| span.profile).collect();
        match &self.tables {
            Tables::Postgres { pool, cards, .. } => {
                let query = sqlx::query(AssertSqlSafe(cards.as_str())).bind(self.workspace).bind(profiles);
                Ok(query.fetch_all(pool).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
            }
            Tables::Sqlite(pool) => {
                let marks = vec!["(?,?)"; profiles.len()].join(",");
                let sql = format!("SELECT profile, card FROM profiles WHERE (workspace, profile) IN (VALUES {marks})");
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for profile in profiles {
                    query = query.bind(self.workspace).bind(profile);
                }
                Ok(query.fetch_all(pool).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
            }
        }
    }

    async fn page(&self, after: &After) -> Result<Page<'static>> {
        let mut spans = self.spans(after).await?;
        let more = spans.len() > LIMIT as usize;
        spans.truncate(LIMIT as usize);
        let cards = self.cards(&spans).await?;
        let next_cursor =
            spans.last().filter(|_| more).map(|last| format!("enters={}&profile={}", last.enters, last.profile));
        let member = |span: Span| {
            let facts = cards.get(&span.profile).map(|card| Card::decode(card)).transpose()?.map(|state| state.facts);
            let text = |name: &str| {
                let value = facts.as_ref().and_then(|facts| facts.value(name))?;
                serde_json::from_str::<String>(&value).ok()
            };
            anyhow::Ok(Member {
                id: span.profile,
                email: text("email"),
                name: text("name"),
                identifiers: facts.as_ref().and_then(|facts| facts.identifier.clone()).into_iter().collect(),
                entered_at: Timestamp::from_micros(span.enters),
                leaves_at: (span.leaves != i64::MAX).then(|| Timestamp::from_micros(span.leaves)),
            })
        };
        let profiles = spans.into_iter().map(member).collect::<Result<_>>()?;
        Ok(Page { segment: "recent", profiles, next_cursor, as_of: Timestamp::from_micros(self.as_of) })
    }
}

async fn page(State(thin): State<Arc<Thin>>, Query(after): Query<After>) -> Response {
    match thin.page(&after).await {
        Ok(page) => Json(page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}
