//! `weir-bench ingest`: events acknowledged a second.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use weir_event_log::LogRecord;

use super::events::Population;
use super::load::{Load, Until};
use super::progress::Progress;
use super::report::Report;
use super::server::Server;
use super::{Place, appends, one_thread};

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Seconds of load before each measurement that don't count
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Measurements of each kind, on fresh directories, taken in turn
    #[arg(long, default_value_t = 3)]
    runs: u64,
    /// Profiles, picked uniformly
    #[arg(long, default_value_t = 1_000_000)]
    profiles: u64,
    /// Events of a batch
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Connections that post batches
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Connections that post single events
    #[arg(long, default_value_t = 64)]
    single_connections: usize,
    /// Threads of the load generator
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// What is posted.
#[derive(Clone, Copy)]
struct Kind {
    batch: usize,
    connections: usize,
}

impl Kind {
    fn name(self) -> String {
        match self.batch {
            1 => format!("single events, {} connections", self.connections),
            events => format!("batches of {events}, {} connections", self.connections),
        }
    }
}

/// Records to append come from the log of a run.
const SAMPLE: usize = 200_000;

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    report.note(format!(
        "closed loop, {} generator threads on the same cores; the projector folds meanwhile; {} profiles, uniform; \
         {} s a run after {} s of warm-up; the limit is a plain SQLite append of record batches of 1,000 of the same \
         records (WAL, synchronous=FULL), alone",
        options.threads, options.profiles, options.seconds, options.warm_up
    ));
    let kinds = [
        Kind { batch: options.batch, connections: options.connections },
        Kind { batch: 1, connections: options.single_connections },
    ];
    for run in 0..options.runs {
        let mut limit = None;
        for kind in kinds {
            let scratch = place.scratch()?;
            let rate = measure(place, options, kind, run, scratch.path(), report)?;
            let limit = match limit {
                Some(limit) => limit,
                None => *limit.insert(append_limit(scratch.path(), options, report)?),
            };
            report.add(format!("{}: ratio to the plain append", kind.name()), "", rate / limit);
            report.look_at_load();
        }
    }
    Ok(())
}

fn measure(place: &Place, options: &Options, kind: Kind, run: u64, scratch: &Path, report: &mut Report) -> Result<f64> {
    let server = Server::start(place, &scratch.join("data"), &[])?;
    let load = |seconds, seed| Load {
        at: server.at,
        key: server.keys.write.clone(),
        connections: kind.connections,
        threads: options.threads,
        batch: kind.batch,
        population: Population { profiles: options.profiles, zipf: false },
        until: Until::Elapsed(Duration::from_secs(seconds)),
        seed: run * 2 + seed,
    };
    load(options.warm_up, 0).run()?;
    let before = server.spent()?;
    let running = load(options.seconds, 1).start()?;
    let mut progress = Progress::begin(kind.name(), options.seconds * 10);
    for tenth in 0.. {
        if running.is_over() {
            break;
        }
        progress.at(tenth, &format!("{} events", running.acknowledged()));
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(progress);
    let loaded = running.finish()?;
    let spent = server.spent()?;
    let name = kind.name();
    let micros = |seconds: f64| seconds * 1e6 / loaded.events as f64;
    report.add(format!("{name}: acknowledged"), "events/s", loaded.rate());
    report.add(format!("{name}: p50"), "ms", loaded.latency_ms(0.5));
    report.add(format!("{name}: p99"), "ms", loaded.latency_ms(0.99));
    report.add(format!("{name}: CPU of weir, projector included"), "µs/event", micros(spent.cpu - before.cpu));
    report.add(format!("{name}: CPU of the generator"), "µs/event", micros(loaded.cpu));
    let runtime = one_thread()?;
    let lag = runtime.block_on(async { server.lag(&mut server.connect().await?).await })?;
    report.add(format!("{name}: lag at the end"), "events", lag.map_or(f64::NAN, |lag| lag as f64));
    server.stop()?;
    Ok(loaded.rate())
}

fn append_limit(scratch: &Path, options: &Options, report: &mut Report) -> Result<f64> {
    let runtime = one_thread()?;
    let records: Vec<LogRecord> = runtime.block_on(appends::records_of(&scratch.join("data/log.db"), SAMPLE))?;
    let long = Duration::from_secs(options.seconds.div_ceil(2));
    let rate = runtime.block_on(appends::run(&scratch.join("limit.db"), &records, long))?;
    report.add("plain append of record batches of 1,000", "records/s", rate);
    report.add("bytes of a record, key and value", "bytes", appends::mean_bytes(&records));
    Ok(rate)
}
