//! `weir-bench rebuild --promote`: a rebuild is filled, verified, promoted and rolled back while others read and write. No
//! request may fail, no count may fall (who writes only adds members), and whoever reads by the token of a write must see it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::http::{Connection, request};
use super::one_thread;
use super::progress::Progress;
use super::report::Report;
use super::server::{Keys, Server};

const PAGES: usize = 2;
const COUNTS: usize = 2;
const WRITERS: usize = 3;
/// Between two requests of one of them.
const PAUSE: Duration = Duration::from_millis(5);
/// Reads that must be answered between a promotion and what comes after it.
const BETWEEN: u64 = 500;

/// What the others saw.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    reads: AtomicU64,
    pairs: AtomicU64,
    fallen: AtomicU64,
    slowest_us: AtomicU64,
    generations: Mutex<BTreeSet<String>>,
}

/// Runs it on a server whose tables are full.
pub(crate) fn run(server: &Server, report: &mut Report) -> Result<()> {
    let seen = Arc::new(Seen::default());
    let others = {
        let (at, keys, seen) = (server.at, server.keys.clone(), Arc::clone(&seen));
        std::thread::spawn(move || one_thread()?.block_on(others(at, keys, seen)))
    };
    let steps = one_thread()?.block_on(steps(server, &seen));
    seen.over.store(true, Ordering::Relaxed);
    match others.join() {
        Ok(ended) => ended.context("a request failed while the rebuild was under way")?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    for (step, took) in steps? {
        report.add(format!("under readers and writers: {step}"), "s", took.as_secs_f64());
    }
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    report.add("… reads answered, none failed", "", count(&seen.reads) as f64);
    report.add("… writes read back by their token, none stale", "", count(&seen.pairs) as f64);
    report.add("… the slowest read", "ms", count(&seen.slowest_us) as f64 / 1e3);
    ensure!(count(&seen.fallen) == 0, "a count fell {} times", count(&seen.fallen));
    let generations = seen.generations.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(generations.len() == 2, "answers were of the generations {generations:?}");
    Ok(())
}

async fn steps(server: &Server, seen: &Seen) -> Result<Vec<(&'static str, Duration)>> {
    let (mut connection, key) = (server.connect().await?, &server.keys.operator);
    let began = Instant::now();
    let started = connection.ask("POST", "/api/rebuilds", key, None).await?;
    let path = format!("/api/rebuilds/{}", started["id"].as_str().context("the rebuild's id")?);
    let mut progress = Progress::begin("rebuilding under readers and writers", 100);
    loop {
        let row = connection.ask("GET", &path, key, None).await?;
        if row["state"] == "following" {
            break;
        }
        ensure!(row["state"] == "filling", "the rebuild came to {row}");
        progress.at((row["progress"].as_f64().unwrap_or(0.0) * 100.0) as u64, "");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(progress);
    let mut steps = vec![("until it follows", began.elapsed())];
    for (step, state) in [("verify", "verified"), ("promote", "promoted"), ("rollback", "rolled_back")] {
        let began = Instant::now();
        let row: Value = connection.ask("POST", &format!("{path}/{step}"), key, None).await?;
        steps.push((step, began.elapsed()));
        ensure!(row["state"] == state, "{step} came to {row}");
        let goal = seen.reads.load(Ordering::Relaxed) + BETWEEN;
        while seen.reads.load(Ordering::Relaxed) < goal && !seen.over.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(steps)
}

/// Reads and writes until told to end; the first failure ends all.
async fn others(at: std::net::SocketAddr, keys: Keys, seen: Arc<Seen>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..PAGES {
        let (connection, key, seen) = (Connection::open(at).await?, keys.read.clone(), Arc::clone(&seen));
        tasks.spawn(read(connection, "/api/segments/abandoned-cart", key, seen));
    }
    for _ in 0..COUNTS {
        let (connection, key, seen) = (Connection::open(at).await?, keys.read.clone(), Arc::clone(&seen));
        tasks.spawn(read(connection, "/api/segments/abandoned-cart/count", key, seen));
    }
    for number in 0..WRITERS {
        tasks.spawn(write(Connection::open(at).await?, number, keys.clone(), Arc::clone(&seen)));
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended?;
        if ended.is_err() {
            seen.over.store(true, Ordering::Relaxed);
            outcome = outcome.and(ended);
        }
    }
    outcome
}

async fn read(mut connection: Connection, path: &'static str, key: String, seen: Arc<Seen>) -> Result<()> {
    let (request, mut last) = (request("GET", path, &key, b""), 0);
    while !seen.over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = connection.send(&request).await?;
        let text = String::from_utf8_lossy(answer.body);
        ensure!(answer.status == 200, "{path}: {} {text}", answer.status);
        let generation = answer.header("weir-generation").context("no Weir-Generation")?.to_owned();
        let body: Value = serde_json::from_str(&text)?;
        seen.slowest_us.fetch_max(u64::try_from(began.elapsed().as_micros())?, Ordering::Relaxed);
        seen.reads.fetch_add(1, Ordering::Relaxed);
        seen.generations.lock().unwrap_or_else(PoisonError::into_inner).insert(generation);
        if let Some(count) = body["count"].as_u64() {
            seen.fallen.fetch_add(u64::from(count < last), Ordering::Relaxed);
            last = count;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Somebody new puts something into the cart, and must be a member for whoever has the write's token.
async fn write(mut connection: Connection, writer: usize, keys: Keys, seen: Arc<Seen>) -> Result<()> {
    for number in 0.. {
        if seen.over.load(Ordering::Relaxed) {
            break;
        }
        let profile = format!("user:w{writer}-{number}");
        let path = format!("/api/profiles/{profile}/events");
        let answer = connection.send(&request("POST", &path, &keys.write, br#"{"name":"cart.added"}"#)).await?;
        ensure!(answer.status == 201, "{path}: {} {}", answer.status, String::from_utf8_lossy(answer.body));
        let position = answer.header("weir-position").context("no Weir-Position")?;
        let path = format!("/api/segments/abandoned-cart/members/{profile}");
        let read = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nweir-after: {position}\r\n\
             prefer: wait=30\r\n\r\n",
            keys.read
        );
        let answer = connection.send(read.as_bytes()).await?;
        let text = String::from_utf8_lossy(answer.body);
        ensure!(answer.status == 200, "{path}: {} {text}", answer.status);
        ensure!(text.contains(r#""member":true"#), "a write is not seen by its own token: {text}");
        seen.pairs.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
