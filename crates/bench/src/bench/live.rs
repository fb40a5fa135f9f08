//! `weir-bench live`: many events of many profiles, and how soon they are in the tables.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::events::Population;
use super::load::{Load, Loaded, Until};
use super::metrics::Metrics;
use super::progress::Progress;
use super::report::Report;
use super::server::Server;
use super::{Place, one_thread, rows};

#[derive(Args)]
pub(crate) struct Options {
    /// Events to post
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Profiles that they are of
    #[arg(long, default_value_t = 1_000_000)]
    profiles: u64,
    /// Pick profiles by Zipf 1.0 instead of uniformly
    #[arg(long)]
    zipf: bool,
    /// Events of a request
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Threads of the load generator
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measurements, on fresh directories
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// The plain statements end after so many seconds, if not before; 0 leaves them out
    #[arg(long, default_value_t = 120)]
    reference_seconds: u64,
}

/// The definitions beside the built-in ones.
pub(crate) const SEGMENTS: [(&str, &str); 2] = [
    ("viewed-often", r#"{"event":"product.viewed","at_least":3,"within":"7d"}"#),
    ("abandoned-1h", r#"{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"1h"}"#),
];

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    report.note(format!(
        "{} events of {} profiles ({}), batches of {} on {} connections, closed loop, {} generator threads on the same \
         cores; segments: the two built in, product.viewed at least 3 within 7d, abandoned for 1h; score points",
        options.events,
        options.profiles,
        if options.zipf { "Zipf 1.0" } else { "uniform" },
        options.batch,
        options.connections,
        options.threads
    ));
    let runtime = one_thread()?;
    for run in 0..options.runs {
        let scratch = place.scratch()?;
        let server = Server::start(place, &scratch.path().join("data"), &[])?;
        let rate = runtime.block_on(measure(&server, options, run, report))?;
        let data = server.data.clone();
        server.stop()?;
        report.look_at_load();
        if options.reference_seconds > 0 {
            let long = Duration::from_secs(options.reference_seconds);
            let shape = runtime.block_on(rows::Shape::of(&data, options.events, options.profiles))?;
            report.note(shape.describe());
            let plain = runtime.block_on(rows::write(scratch.path(), &shape, options.events, long))?;
            report.add("plain statements: events whose rows were written", "events", plain.events as f64);
            report.add("plain statements writing the same rows", "events/s", plain.rate());
            report.add("ratio to the plain statements, first post to lag 0", "", rate / plain.rate());
        }
        report.look_at_load();
    }
    Ok(())
}

/// Posts, waits until everything is in the tables, and answers events a second from the first post until then.
async fn measure(server: &Server, options: &Options, run: u64, report: &mut Report) -> Result<f64> {
    server.put_segments(&SEGMENTS).await?;
    let (before, began) = (server.spent()?, Instant::now());
    let loaded = post(server, options, run).await?;
    let last_acknowledged = Instant::now();
    let accepting = server.spent()?;
    let (folded, settled) = catch_up(server, options.events).await?;
    let (whole, spent) = (began.elapsed(), server.spent()?);
    let events = loaded.events as f64;
    report.add("acknowledged", "events/s", loaded.rate());
    report.add("acknowledged: p50", "ms", loaded.latency_ms(0.5));
    report.add("acknowledged: p99", "ms", loaded.latency_ms(0.99));
    report.add("last acknowledgement to all memberships", "s", (folded - last_acknowledged).as_secs_f64());
    report.add("last acknowledgement to lag 0, timeline included", "s", (settled - last_acknowledged).as_secs_f64());
    report.add("first post to lag 0", "events/s", events / whole.as_secs_f64());
    report.add("peak memory of weir", "MB", server.peak_memory()? as f64 / 1e6);
    report.add("CPU of weir until the last acknowledgement", "s", accepting.cpu - before.cpu);
    report.add("CPU of weir until lag 0", "s", spent.cpu - before.cpu);
    report.add("CPU of weir", "µs/event", (spent.cpu - before.cpu) * 1e6 / events);
    report.add("CPU of the generator", "µs/event", loaded.cpu * 1e6 / events);
    report.add("bytes given to write()", "bytes/event", (spent.written - before.written) as f64 / events);
    report.add("bytes to storage", "bytes/event", (spent.storage - before.storage) as f64 / events);
    insides(server, events, report).await?;
    Ok(events / whole.as_secs_f64())
}

async fn post(server: &Server, options: &Options, run: u64) -> Result<Loaded> {
    let load = Load {
        at: server.at,
        key: server.keys.write.clone(),
        connections: options.connections,
        threads: options.threads,
        batch: options.batch,
        population: Population { profiles: options.profiles, zipf: options.zipf },
        until: Until::Events(options.events),
        seed: run,
    };
    let (running, mut connection) = (load.start()?, server.connect().await?);
    let mut progress = Progress::begin("posting", options.events);
    for tenth in 0_u64.. {
        if running.is_over() {
            break;
        }
        if tenth % 20 == 0 {
            let lag = server.lag(&mut connection).await?;
            let lag = lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string());
            progress.at(running.acknowledged(), &format!("lag {lag}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.finish()
}

/// Waits; answers when all memberships were there, and when the lag was 0.
async fn catch_up(server: &Server, events: u64) -> Result<(Instant, Instant)> {
    let mut connection = server.connect().await?;
    let mut progress = Progress::begin("catching up", events);
    let (mut folded, began) = (None, Instant::now());
    loop {
        let metrics = Metrics::read(&mut connection).await?;
        if folded.is_none() && metrics.sum("weir_projector_records_total") >= events as f64 {
            folded = Some(Instant::now());
        }
        let lag = server.lag(&mut connection).await?;
        if lag == Some(0) {
            let settled = Instant::now();
            return Ok((folded.unwrap_or(settled), settled));
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(1_800), "the tables don't catch up");
        progress.at(events.saturating_sub(lag.unwrap_or(events)), if folded.is_some() { "timeline" } else { "" });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where the time went, as the program counts it.
async fn insides(server: &Server, events: f64, report: &mut Report) -> Result<()> {
    let metrics = Metrics::read(&mut server.connect().await?).await?;
    let per_event = [
        ("projector: folding", "weir_projector_fold_seconds_sum"),
        ("projector: committing memberships", "weir_projector_commit_seconds_sum"),
        ("log: committing", "weir_log_commit_seconds_sum"),
    ];
    for (name, metric) in per_event {
        report.add(name, "µs/event", metrics.sum(metric) * 1e6 / events);
    }
    let batches = metrics.sum("weir_projector_fold_seconds_count");
    report.add("projector: events a batch", "events", events / batches);
    report.add(
        "log: records a commit",
        "records",
        metrics.sum("weir_log_commit_records_sum") / metrics.sum("weir_log_commit_records_count"),
    );
    Ok(())
}
