//! `weir-bench baskets`: many removals, listed, summed up and exported.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;
use weir_bench::process::{memory, peak_memory, reset_peak_memory};
use weir_event::{Clock, Timestamp};

use super::events::Random;
use super::http::{Connection, request};
use super::load::histogram;
use super::progress::Progress;
use super::report::Report;
use super::server::Server;
use super::site::Site;
use super::{Place, one_thread};

#[derive(Args)]
pub(crate) struct Options {
    /// Removals, each of an addition of its own
    #[arg(long, default_value_t = 1_000_000)]
    removals: u64,
    /// Products that they are of
    #[arg(long, default_value_t = 10_000)]
    products: u64,
    /// Profiles that they are by
    #[arg(long, default_value_t = 200_000)]
    profiles: u64,
    /// Days that they are spread over
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// Requests of each kind
    #[arg(long, default_value_t = 200)]
    requests: u64,
}

const DAY: i64 = 86_400_000_000;
/// Events of a request.
const BATCH: u64 = 1_000;
const CONNECTIONS: u64 = 8;
/// The list is walked in such pages to its far place.
const STEP: usize = 1_000;

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    report.note(format!(
        "{} removals of {} products by {} profiles over {} days, uniformly, a tenth of them checked out afterwards; one \
         connection, one request after the other, {} a row; nothing is posted meanwhile",
        options.removals, options.products, options.profiles, options.days, options.requests
    ));
    for backend in place.backend.each() {
        report.section(backend.name());
        let site = Site::new(place, *backend)?;
        let server = Server::start(place, &site, &[])?;
        // Midnight before today's, so that all of it has happened.
        let end = Clock::system().now().micros().div_euclid(DAY) * DAY;
        fill(&server, options, end, report)?;
        one_thread()?.block_on(read(&server, options, end, report))?;
        report.add("peak memory of weir, filling included", "MB", server.peak_memory()? as f64 / 1e6);
        server.stop()?;
        report.look_at_load();
    }
    Ok(())
}

fn fill(server: &Server, options: &Options, end: i64, report: &mut Report) -> Result<()> {
    let began = Instant::now();
    let runtime = one_thread()?;
    let events = 2 * options.removals;
    let mut progress = Progress::begin("posting", events);
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let (posted, seen) = tokio::sync::mpsc::unbounded_channel::<u64>();
        for connection in 0..CONNECTIONS {
            let share = options.removals / CONNECTIONS + u64::from(connection < options.removals % CONNECTIONS);
            let poster = Poster { at: server.at, key: server.keys.write.clone(), end, posted: posted.clone() };
            tasks.spawn(poster.run(connection, share, options.products, options.profiles, options.days));
        }
        drop(posted);
        let (mut seen, mut total) = (seen, 0);
        while let Some(more) = seen.recv().await {
            total += more;
            progress.at(total, "");
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    })?;
    drop(progress);
    report.add("additions and removals acknowledged", "events/s", events as f64 / began.elapsed().as_secs_f64());
    runtime.block_on(server.settle())?;
    report.add("first post to lag 0", "events/s", events as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

struct Poster {
    at: SocketAddr,
    key: String,
    end: i64,
    posted: tokio::sync::mpsc::UnboundedSender<u64>,
}

impl Poster {
    async fn run(self, number: u64, removals: u64, products: u64, profiles: u64, days: u64) -> Result<()> {
        let mut connection = Connection::open(self.at).await?;
        let mut random = Random::new(number + 1);
        let mut left = removals;
        while left > 0 {
            let count = left.min(BATCH / 2);
            let mut body = String::from("[");
            for n in 0..count {
                let (profile, product) = (random.below(profiles), random.below(products));
                let long = u64::try_from(DAY)? * days;
                let at = self.end - i64::try_from(1 + random.below(long))?;
                let (added, removed) = (Timestamp::from_micros(at), Timestamp::from_micros(at + 1));
                let comma = if n == 0 { "" } else { "," };
                body.push_str(&format!(
                    r#"{comma}{{"user_id":"u{profile}","name":"cart.added","timestamp":"{added}","properties":{{"product_id":"sku-{product}","name":"Product {product}","price":{}.{:02},"currency":"EUR","quantity":{}}}}},{{"user_id":"u{profile}","name":"cart.removed","timestamp":"{removed}","properties":{{"product_id":"sku-{product}"}}}}"#,
                    product % 200,
                    product % 100,
                    1 + product % 3
                ));
                if random.below(10) == 0 {
                    let ordered = Timestamp::from_micros(at + 2);
                    body.push_str(&format!(
                        r#",{{"user_id":"u{profile}","name":"order.completed","timestamp":"{ordered}","properties":{{"order_id":"o-{at}"}}}}"#
                    ));
                }
            }
            body.push(']');
            let answer = connection.send(&request("POST", "/api/events", &self.key, body.as_bytes())).await?;
            let text = String::from_utf8_lossy(answer.body);
            ensure!(answer.status == 200 && text.contains(r#""rejected":[]"#), "{}: {text}", answer.status);
            left -= count;
            // Who counts has gone only with an error of its own.
            let _ = self.posted.send(2 * count);
        }
        Ok(())
    }
}

async fn read(server: &Server, options: &Options, end: i64, report: &mut Report) -> Result<()> {
    const LIST: &str = "/api/baskets/removed-items";
    let (mut connection, key) = (server.connect().await?, server.keys.read.as_str());
    let page: Value = connection.ask("GET", &format!("{LIST}?limit=1"), key, None).await?;
    let profile = page["items"][0]["profile_id"].as_str().context("no removal is listed")?.to_owned();
    let far = far(&mut connection, key, options.removals / 2).await?;
    let day = |days: i64| Timestamp::from_micros(end - days * DAY).to_string();
    let (month, of_month) = (i64::try_from(options.days)?, format!("summary of the last {} days", options.days));
    for (name, path) in [
        ("first page of 100", LIST.to_owned()),
        ("first page of 100, drafts", format!("{LIST}?status=draft")),
        ("page of 100 in the middle of the list", format!("{LIST}?cursor={far}")),
        ("first page of 100, a product", format!("{LIST}?product_id=sku-7")),
        ("first page of 100, a profile", format!("{LIST}?profile_id={profile}")),
        ("a profile's basket", format!("/api/profiles/{profile}/basket")),
        ("summary of a day", format!("{LIST}/summary?from={}&to={}", day(1), day(0))),
        ("summary of a week, by profiles", format!("{LIST}/summary?sort=profiles&from={}&to={}", day(7), day(0))),
        (&of_month, format!("{LIST}/summary?from={}&to={}", day(month), day(0))),
        ("summary of all, drafts, by value", format!("{LIST}/summary?sort=value&status=draft")),
    ] {
        ask(&mut connection, key, name, &path, options.requests, report).await?;
    }
    let path = format!("{LIST}/summary?from={}&to={}", Timestamp::from_micros(end - DAY / 2), day(0));
    ask(&mut connection, key, "summary of twelve hours", &path, options.requests.div_ceil(20), report).await?;
    for (name, media) in [("CSV", "text/csv"), ("lines of JSON", "application/x-ndjson")] {
        reset_peak_memory(server.pid())?;
        let (before, began) = (memory(server.pid())?, Instant::now());
        let export =
            format!("GET {LIST} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\naccept: {media}\r\n\r\n");
        let (bytes, lines) = connection.export(export.as_bytes()).await?;
        let more = peak_memory(server.pid())?.saturating_sub(before);
        ensure!(lines >= options.removals, "{lines} lines of {} removals", options.removals);
        report.add(format!("export as {name}"), "rows/s", options.removals as f64 / began.elapsed().as_secs_f64());
        report.add(format!("export as {name}: size"), "MB", bytes as f64 / 1e6);
        report.add(format!("export as {name}: memory that it took"), "MB", more as f64 / 1e6);
    }
    Ok(())
}

/// The cursor behind so many removals.
async fn far(connection: &mut Connection, key: &str, removals: u64) -> Result<String> {
    let mut cursor = String::new();
    for _ in 0..removals.div_ceil(STEP as u64).max(1) {
        let after = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let path = format!("/api/baskets/removed-items?limit={STEP}{after}");
        let page = connection.ask("GET", &path, key, None).await?;
        cursor = page["next_cursor"].as_str().context("the list is shorter than was posted")?.to_owned();
    }
    Ok(cursor)
}

async fn ask(
    connection: &mut Connection,
    key: &str,
    name: &str,
    path: &str,
    requests: u64,
    report: &mut Report,
) -> Result<()> {
    let (request, mut times) = (request("GET", path, key, b""), histogram()?);
    for number in 0..=requests {
        let began = Instant::now();
        let answer = connection.send(&request).await?;
        let text = || String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)]).into_owned();
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, text());
        let took = u64::try_from(began.elapsed().as_micros())?;
        if number == 0 {
            report.add(format!("{name}: the first"), "ms", took as f64 / 1e3);
        } else {
            times.saturating_record(took);
        }
    }
    for (quantile, of) in [(0.5, "p50"), (0.99, "p99"), (1.0, "slowest")] {
        report.add(format!("{name}: {of}"), "ms", times.value_at_quantile(quantile) as f64 / 1e3);
    }
    Ok(())
}
