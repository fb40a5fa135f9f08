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
use super::services::ServersSpent;
use super::site::{Backend, Site};
use super::{Place, one_thread, rows, rows_postgres};

/// Event by event is slow: its rate is known after this.
const SINGLY: Duration = Duration::from_secs(30);

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
    /// Post only events that do nothing to baskets
    #[arg(long)]
    views: bool,
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
    /// Over Kafka: post everything while no projector runs, so that it has the machine to itself when it does
    #[arg(long)]
    behind: bool,
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
    for backend in place.backend.each() {
        report.section(backend.name());
        for run in 0..options.runs {
            let site = Site::new(place, *backend)?;
            let done = match backend {
                Backend::Kafka if options.behind => behind(place, &site, options, run, report)?,
                _ => meanwhile(place, &site, options, run, report)?,
            };
            report.look_at_load();
            if options.reference_seconds > 0 {
                limits(&site, options, &done, report)?;
                report.look_at_load();
            }
        }
    }
    Ok(())
}

/// What the projector did.
struct Done {
    /// Events a second.
    rate: f64,
    events_a_batch: f64,
}

/// Everything at once: posts, and the projector follows.
fn meanwhile(place: &Place, site: &Site, options: &Options, run: u64, report: &mut Report) -> Result<Done> {
    let server = Server::start(place, site, &[])?;
    let done = one_thread()?.block_on(measure(&server, site, options, run, report))?;
    server.stop()?;
    Ok(done)
}

/// Posts while there is no projector, then starts one on tables that are live.
fn behind(place: &Place, site: &Site, options: &Options, run: u64, report: &mut Report) -> Result<Done> {
    report.note(
        "Kafka: all events are on the log before the projector starts on tables that are live: the rate is its own",
    );
    let runtime = one_thread()?;
    let server = Server::start(place, site, &[])?;
    runtime.block_on(async {
        server.put_segments(&SEGMENTS).await?;
        server.settle().await
    })?;
    server.stop()?;
    let ingest = Server::ingest(place, site)?;
    let loaded = runtime.block_on(post(&ingest, options, run, false))?;
    ingest.stop()?;
    report.add("acknowledged, by the ingest service alone", "events/s", loaded.rate());
    let (servers, server) = (site.servers_spent(), Server::start(place, site, &[])?);
    let events = loaded.events as f64;
    let done = runtime.block_on(async {
        let began = Instant::now();
        let (folded, settled) = catch_up(&server, options.events).await?;
        let spent = server.spent()?;
        report.add("start to all memberships", "events/s", events / (folded - began).as_secs_f64());
        let rate = events / (settled - began).as_secs_f64();
        report.add("start to lag 0, timeline included", "events/s", rate);
        report.add("CPU of weir", "µs/event", spent.cpu * 1e6 / events);
        servers_cpu(site, servers, events, report);
        report.add("peak memory of weir", "MB", server.peak_memory()? as f64 / 1e6);
        let events_a_batch = insides(&server, events, report).await?;
        anyhow::Ok(Done { rate, events_a_batch })
    })?;
    server.stop()?;
    Ok(done)
}

fn servers_cpu(site: &Site, before: ServersSpent, events: f64, report: &mut Report) {
    let after = site.servers_spent();
    if after.postgres > 0.0 {
        report.add("CPU of PostgreSQL", "µs/event", (after.postgres - before.postgres) * 1e6 / events);
        report.add("CPU of the broker", "µs/event", (after.kafka - before.kafka) * 1e6 / events);
    }
}

/// The same rows by plain statements.
fn limits(site: &Site, options: &Options, done: &Done, report: &mut Report) -> Result<()> {
    let (runtime, long) = (one_thread()?, Duration::from_secs(options.reference_seconds));
    let plain = match &site.remote {
        None => {
            let shape = runtime.block_on(rows::Shape::of(&site.data(), options.events, options.profiles))?;
            report.note(shape.describe());
            runtime.block_on(rows::write(site.path(), &shape, options.events, long))?
        }
        Some(remote) => {
            let shape = runtime.block_on(rows_postgres::shape(remote, options.events, options.profiles))?;
            let batch = (done.events_a_batch as u64).max(1_000);
            report.note(rows_postgres::describe(&shape, batch));
            let singly = rows_postgres::write_singly(remote, &shape, options.events, long.min(SINGLY));
            let singly = runtime.block_on(singly)?;
            report.add("event by event, 1,000 a transaction", "events/s", singly.rate());
            report.add("ratio to event by event", "", done.rate / singly.rate());
            let before = site.servers_spent();
            let plain = runtime.block_on(rows_postgres::write(remote, &shape, batch, options.events, long))?;
            let spent = site.servers_spent().postgres - before.postgres;
            report.add("plain statements: CPU of PostgreSQL", "µs/event", spent * 1e6 / plain.events as f64);
            plain
        }
    };
    report.add("plain statements: events whose rows were written", "events", plain.events as f64);
    report.add("plain statements writing the same rows", "events/s", plain.rate());
    report.add("ratio to the plain statements", "", done.rate / plain.rate());
    Ok(())
}

/// Posts, waits until everything is in the tables, and answers events a second from the first post until then.
async fn measure(server: &Server, site: &Site, options: &Options, run: u64, report: &mut Report) -> Result<Done> {
    server.put_segments(&SEGMENTS).await?;
    let (before, servers, began) = (server.spent()?, site.servers_spent(), Instant::now());
    let loaded = post(server, options, run, true).await?;
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
    servers_cpu(site, servers, events, report);
    let events_a_batch = insides(server, events, report).await?;
    Ok(Done { rate: events / whole.as_secs_f64(), events_a_batch })
}

async fn post(server: &Server, options: &Options, run: u64, projecting: bool) -> Result<Loaded> {
    let load = Load {
        at: server.at,
        key: server.keys.write.clone(),
        connections: options.connections,
        threads: options.threads,
        batch: options.batch,
        population: Population { profiles: options.profiles, zipf: options.zipf, views: options.views },
        until: Until::Events(options.events),
        pace: None,
        seed: run,
    };
    let (running, mut connection) = (load.start()?, server.connect().await?);
    let mut progress = Progress::begin("posting", options.events);
    for tenth in 0_u64.. {
        if running.is_over() {
            break;
        }
        if tenth % 20 == 0 {
            let lag = if projecting { server.lag(&mut connection).await? } else { None };
            let lag = lag.map_or_else(String::new, |lag| format!("lag {lag}"));
            progress.at(running.acknowledged(), &lag);
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

/// Where the time went, as the program counts it; answers events a batch.
async fn insides(server: &Server, events: f64, report: &mut Report) -> Result<f64> {
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
    Ok(events / batches)
}
