//! `weir-bench query`: a large segment that many leave at one instant.
//!
//! The clock is held (`--test-clock`), so the instant can be chosen: members of the first wave are in for seven days
//! from one receipt and leave together, while those who came later stay. They are also first in the list's order, so
//! that the first page has to pass over all of them once they have left.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use weir_event::Timestamp;

use super::events::{Random, Request, user};
use super::http::{Connection, request};
use super::load::histogram;
use super::progress::Progress;
use super::report::Report;
use super::rows_postgres::live_schema;
use super::server::{Process, Server};
use super::site::Site;
use super::{Place, one_thread, rows, thin};

#[derive(Args)]
pub(crate) struct Options {
    /// Members before the instant
    #[arg(long, default_value_t = 1_000_000)]
    members: u64,
    /// How many of them leave at one instant
    #[arg(long, default_value_t = 300_000)]
    leave: u64,
    /// Requests of each kind
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// The page asked for by cursor, of 100 members each
    #[arg(long, default_value_t = 1_000)]
    page: u64,
    /// Connections that ask for pages at the same time, beside one alone
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// Seconds that Weir and the thin server are asked for a page, in turns
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Turns
    #[arg(long, default_value_t = 5)]
    turns: u64,
}

const SLUG: &str = "recent";
const SEGMENT: (&str, &str) = (SLUG, r#"{"event":"visited","within":"7d"}"#);
const BEGIN: &str = "2026-03-02T00:00:00.000000Z";
/// The first wave's receipt plus seven days; a microsecond before they are still in.
const BEFORE: &str = "2026-03-08T23:59:59.999999Z";
const EDGE: &str = "2026-03-09T00:00:00.000000Z";
const BATCH: u64 = 1_000;
const CONNECTIONS: u64 = 8;

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    ensure!(options.leave < options.members, "--leave must be less than --members");
    report.note(format!(
        "one connection, one request after the other, {} requests a row (page walks: one of each page); segment of \
         {} members by event within 7d; {} of them, the first in the list's order, leave at one instant; nothing else \
         is posted meanwhile",
        options.requests, options.members, options.leave
    ));
    for backend in place.backend.each() {
        report.section(backend.name());
        let site = Site::new(place, *backend)?;
        let server = Server::start(place, &site, &["--test-clock"])?;
        let runtime = one_thread()?;
        runtime.block_on(fill(&server, options))?;
        held_against(&runtime, &site, &server, options, report)?;
        runtime.block_on(async {
            let mut ask = Asking { connection: server.connect().await?, server: &server, report };
            ask.set_clock(BEFORE).await?;
            ask.all("before the instant", options, options.members).await?;
            ask.set_clock(EDGE).await?;
            ask.all("after the instant", options, options.members - options.leave).await
        })?;
        report.add("peak memory of weir", "MB", server.peak_memory()? as f64 / 1e6);
        server.stop()?;
    }
    Ok(())
}

/// The same pages from Weir and from a thin server over the same tables, in turns.
fn held_against(
    runtime: &tokio::runtime::Runtime,
    site: &Site,
    server: &Server,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    report.note(format!(
        "thin server: axum and sqlx over Weir's own tables; one keyset over spans and one look-up of cards, each a \
         statement by itself; the same JSON; {} connections of the load for pages a second, {} s a turn, {} turns",
        options.connections, options.seconds, options.turns
    ));
    let peer = runtime.block_on(Peer::start(site))?;
    let (path, key) = (format!("/api/segments/{SLUG}"), &server.keys.read);
    runtime.block_on(put_clock(server, BEFORE))?;
    let deep = runtime.block_on(places(server, peer.at(), options.page))?;
    let pages = [
        ("page 1", path.clone(), "/page".to_owned()),
        ("deep page", format!("{path}?cursor={}", deep.0), format!("/page?{}", deep.1)),
    ];
    for turn in 0..options.turns {
        for (name, ours, thin) in &pages {
            let name = if *name == "page 1" { "page 1".to_owned() } else { format!("page {}", options.page) };
            for (connections, of) in [(1, "one connection"), (options.connections, "several connections")] {
                let long = Duration::from_secs(options.seconds);
                let weir = || pull(server.at, request("GET", ours, key, b""), connections, long);
                let other = || pull(peer.at(), request("GET", thin, "none", b""), connections, long);
                let (weir, other) = if turn % 2 == 0 {
                    let weir = weir()?;
                    (weir, other()?)
                } else {
                    let other = other()?;
                    (weir()?, other)
                };
                report.add(format!("{name}, {of}: weir"), "pages/s", weir.0);
                report.add(format!("{name}, {of}: thin server"), "pages/s", other.0);
                report.add(format!("{name}, {of}: ratio"), "", weir.0 / other.0);
                report.add(format!("{name}, {of}: weir, p50"), "ms", weir.1);
                report.add(format!("{name}, {of}: thin server, p50"), "ms", other.1);
            }
        }
        report.look_at_load();
    }
    peer.process.stop()
}

/// The thin server.
struct Peer {
    process: Process,
}

impl Peer {
    async fn start(site: &Site) -> Result<Self> {
        let (which, segment, workspace) = match &site.remote {
            Some(remote) => {
                let mut database = remote.services.database().await?;
                let schema = live_schema(remote, &mut database).await?;
                let sql = format!("SELECT segment FROM {schema}.spans GROUP BY segment ORDER BY count(*) DESC LIMIT 1");
                let segment: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database).await?;
                let sql = format!("SELECT workspace FROM {schema}.profiles LIMIT 1");
                let workspace: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database).await?;
                // As after any import of this size: the thin server shall not be held up by what nobody has looked after.
                let sql = format!("VACUUM ANALYZE {schema}.spans, {schema}.profiles");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.context("vacuum")?;
                (
                    vec!["--postgres".to_owned(), remote.services.postgres.clone(), "--schema".to_owned(), schema],
                    segment,
                    workspace,
                )
            }
            None => {
                let mut store = rows::open(&site.data().join("store.db"), 2).await?;
                let live: i64 = sqlx::query_scalar("SELECT live FROM store").fetch_one(&mut store).await?;
                let path = site.data().join(format!("store.db.{live}"));
                let mut tables = rows::open(&path, 64).await?;
                let sql = "SELECT segment FROM spans GROUP BY segment ORDER BY count(*) DESC LIMIT 1";
                let segment: i64 = sqlx::query_scalar(sql).fetch_one(&mut tables).await?;
                let sql = "SELECT workspace FROM profiles LIMIT 1";
                let workspace: i64 = sqlx::query_scalar(sql).fetch_one(&mut tables).await?;
                (vec!["--sqlite".to_owned(), path.display().to_string()], segment, workspace)
            }
        };
        let as_of = Timestamp::parse(BEFORE).context("an instant")?.micros();
        let numbers = [segment.to_string(), workspace.to_string(), as_of.to_string()];
        let mut arguments: Vec<&str> = which.iter().map(String::as_str).collect();
        for (name, value) in ["--segment", "--workspace", "--as-of"].into_iter().zip(&numbers) {
            arguments.extend([name, value]);
        }
        Ok(Self { process: thin::start(site, "query", &arguments)? })
    }

    fn at(&self) -> SocketAddr {
        self.process.at
    }
}

/// The cursors of a page in the middle of the list, Weir's and the thin server's. Their pages must be the same.
async fn places(server: &Server, thin: SocketAddr, pages: u64) -> Result<(String, String)> {
    let (mut weir, mut other) = (server.connect().await?, Connection::open(thin).await?);
    let (mut ours, mut theirs) = (None::<String>, None::<String>);
    for page in 1..pages {
        let path = ours.as_ref().map_or_else(String::new, |cursor| format!("?cursor={cursor}"));
        let one = weir.ask("GET", &format!("/api/segments/{SLUG}{path}"), &server.keys.read, None).await?;
        let path = theirs.as_ref().map_or_else(String::new, |cursor| format!("?{cursor}"));
        let two = other.ask("GET", &format!("/page{path}"), "none", None).await?;
        ensure!(one["profiles"] == two["profiles"], "page {page} of the thin server is another one");
        (ours, theirs) =
            (one["next_cursor"].as_str().map(str::to_owned), two["next_cursor"].as_str().map(str::to_owned));
    }
    Ok((ours.context("fewer pages than --page")?, theirs.context("fewer pages than --page")?))
}

/// Asks the same over and over; answers requests a second and their median time in milliseconds.
fn pull(at: SocketAddr, asked: Vec<u8>, connections: u64, long: Duration) -> Result<(f64, f64)> {
    one_thread()?.block_on(async {
        let (began, mut tasks) = (Instant::now(), JoinSet::new());
        for _ in 0..connections {
            let asked = asked.clone();
            tasks.spawn(async move {
                let (mut connection, mut latency) = (Connection::open(at).await?, histogram()?);
                while began.elapsed() < long {
                    let sent = Instant::now();
                    let answer = connection.send(&asked).await?;
                    ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(answer.body));
                    latency.saturating_record(micros(sent.elapsed()));
                }
                Ok(latency)
            });
        }
        let mut all = histogram()?;
        while let Some(ended) = tasks.join_next().await {
            all.add(&ended??)?;
        }
        Ok((all.len() as f64 / began.elapsed().as_secs_f64(), all.value_at_quantile(0.5) as f64 / 1e3))
    })
}

/// Posts the members: the first wave at one receipt, the others spread over the next five days.
async fn fill(server: &Server, options: &Options) -> Result<()> {
    const STEPS: u64 = 100;
    put_clock(server, BEGIN).await?;
    server.put_segments(&[SEGMENT]).await?;
    let mut progress = Progress::begin("posting members", options.members);
    post(server, 0..options.leave).await?;
    let rest = options.members - options.leave;
    for step in 0..STEPS {
        let from = options.leave + rest * step / STEPS;
        let to = options.leave + rest * (step + 1) / STEPS;
        let (day, minute) = (3 + step / 20, step % 20);
        put_clock(server, &format!("2026-03-{day:02}T00:{minute:02}:00.000000Z")).await?;
        post(server, from..to).await?;
        progress.at(to, "");
    }
    drop(progress);
    server.settle().await?;
    Ok(())
}

async fn put_clock(server: &Server, now: &str) -> Result<()> {
    let mut connection = server.connect().await?;
    connection.ask("PUT", "/test/clock", &server.keys.operator, Some(&json!({"now": now}))).await?;
    Ok(())
}

async fn post(server: &Server, profiles: Range<u64>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (at, key, profiles) = (server.at, server.keys.write.clone(), profiles.clone());
        tasks.spawn(async move {
            let mut server = Connection::open(at).await?;
            let starts = (profiles.start..profiles.end).step_by(BATCH as usize).skip(connection as usize);
            for start in starts.step_by(CONNECTIONS as usize) {
                let batch = Request::named(&key, "visited", start..profiles.end.min(start + BATCH));
                let answer = server.send(&batch).await?;
                ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(answer.body));
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Asks and notes how long it takes.
struct Asking<'a> {
    connection: Connection,
    server: &'a Server,
    report: &'a mut Report,
}

impl Asking<'_> {
    async fn set_clock(&mut self, now: &str) -> Result<()> {
        put_clock(self.server, now).await
    }

    /// Everything at one instant; the first answer of each kind is told apart, since it finds cold caches.
    async fn all(&mut self, when: &str, options: &Options, members: u64) -> Result<()> {
        let path = format!("/api/segments/{SLUG}");
        let counted = self.repeat(&format!("count, {when}"), &format!("{path}/count"), options.requests).await?;
        ensure!(counted["count"].as_u64() == Some(members), "{members} members were expected, not {counted}");
        self.repeat(&format!("page 1 of 100, {when}"), &path, options.requests).await?;
        let (cursor, walked) = self.walk(&path, options.page).await?;
        self.note(&format!("pages 1 to {} of 100, {when}", options.page), &walked);
        if let Some(cursor) = cursor {
            let last = format!("{path}?cursor={cursor}");
            self.repeat(&format!("page {} of 100, {when}", options.page), &last, options.requests).await?;
        }
        self.profiles(&format!("profile, {when}"), options).await
    }

    async fn repeat(&mut self, name: &str, path: &str, times: u64) -> Result<Value> {
        let asked = request("GET", path, &self.server.keys.read, b"");
        let (mut latency, mut first, mut last) = (histogram()?, None, Value::Null);
        for turn in 0..times {
            let began = Instant::now();
            let answer = self.connection.send(&asked).await?;
            let took = began.elapsed();
            ensure!(answer.status == 200, "{path}: {} {}", answer.status, String::from_utf8_lossy(answer.body));
            first.get_or_insert(took);
            latency.saturating_record(micros(took));
            if turn + 1 == times {
                last = serde_json::from_slice(answer.body)?;
            }
        }
        self.note(name, &latency);
        self.report.add(format!("{name}: the first"), "ms", first.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3));
        Ok(last)
    }

    /// Goes from page to page; answers the cursor of page `pages` and how long each page before it took.
    async fn walk(&mut self, path: &str, pages: u64) -> Result<(Option<String>, Histogram<u64>)> {
        let (mut latency, mut cursor) = (histogram()?, None::<String>);
        for page in 1..pages {
            let at = cursor.as_ref().map_or_else(|| path.to_owned(), |cursor| format!("{path}?cursor={cursor}"));
            let began = Instant::now();
            let answer = self.connection.send(&request("GET", &at, &self.server.keys.read, b"")).await?;
            latency.saturating_record(micros(began.elapsed()));
            let body: Value = serde_json::from_slice(answer.body).context("a page")?;
            ensure!(answer.status == 200, "page {page}: {body}");
            cursor = body["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok((cursor, latency))
    }

    async fn profiles(&mut self, name: &str, options: &Options) -> Result<()> {
        let (mut random, mut latency) = (Random::new(5), histogram()?);
        for _ in 0..options.requests {
            let path = format!("/api/profiles/user:{}", user(random.below(options.members)));
            let began = Instant::now();
            let answer = self.connection.send(&request("GET", &path, &self.server.keys.read, b"")).await?;
            ensure!(answer.status == 200, "{path}: {}", answer.status);
            latency.saturating_record(micros(began.elapsed()));
        }
        self.note(name, &latency);
        Ok(())
    }

    fn note(&mut self, name: &str, latency: &Histogram<u64>) {
        let ms = |micros: u64| micros as f64 / 1e3;
        self.report.add(format!("{name}: p50"), "ms", ms(latency.value_at_quantile(0.5)));
        self.report.add(format!("{name}: p99"), "ms", ms(latency.value_at_quantile(0.99)));
        self.report.add(format!("{name}: slowest"), "ms", ms(latency.max()));
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
