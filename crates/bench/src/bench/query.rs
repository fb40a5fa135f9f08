//! `weir-bench query`: a large segment that many leave at one instant.
//!
//! The clock is held (`--test-clock`), so the instant can be chosen: members of the first wave are in for seven days
//! from one receipt and leave together, while those who came later stay. They are also first in the list's order, so
//! that the first page has to pass over all of them once they have left.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::events::{Random, Request, user};
use super::http::{Connection, request};
use super::load::histogram;
use super::progress::Progress;
use super::report::Report;
use super::server::Server;
use super::{Place, one_thread};

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
    let scratch = place.scratch()?;
    let server = Server::start(place, &scratch.path().join("data"), &["--test-clock"])?;
    one_thread()?.block_on(async {
        fill(&server, options).await?;
        let mut ask = Asking { connection: server.connect().await?, server: &server, report };
        ask.set_clock(BEFORE).await?;
        ask.all("before the instant", options, options.members).await?;
        ask.set_clock(EDGE).await?;
        ask.all("after the instant", options, options.members - options.leave).await
    })?;
    report.add("peak memory of weir", "MB", server.peak_memory()? as f64 / 1e6);
    server.stop()
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
