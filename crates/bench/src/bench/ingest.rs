//! `weir-bench ingest`: events acknowledged a second, beside what the log alone takes.
//!
//! Embedded: `weir up`, beside a plain append of record batches. Kafka: the ingest service alone, beside a thin server
//! that produces the same events with the same settings.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use weir_event_log::{LogRecord, LogUrl, OpenOptions};

use super::events::Population;
use super::load::{Load, Loaded, Until};
use super::report::Report;
use super::server::Server;
use super::services::ServersSpent;
use super::site::{Backend, Site};
use super::{Place, appends, one_thread, thin};

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
    /// Also measure a thin server whose records are as long as Weir's, by so many bytes longer than the event as sent
    #[arg(long, default_value_t = 0)]
    pad: usize,
    /// Over Kafka measure `weir up`, with projector and query API, instead of the ingest service alone
    #[arg(long)]
    with_projector: bool,
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
        "closed loop, {} generator threads on the same cores; {} profiles, uniform; {} s a run after {} s of warm-up",
        options.threads, options.profiles, options.seconds, options.warm_up
    ));
    let measured = Measured { place, options };
    for backend in place.backend.each() {
        report.section(backend.name());
        for run in 0..options.runs {
            match backend {
                Backend::Embedded => measured.embedded(run, report)?,
                Backend::Kafka => measured.kafka(run, report)?,
            }
            report.look_at_load();
        }
    }
    Ok(())
}

struct Measured<'a> {
    place: &'a Place,
    options: &'a Options,
}

/// What a server and those behind it have spent.
struct Costs {
    server: f64,
    behind: ServersSpent,
}

impl Measured<'_> {
    fn kinds(&self) -> [Kind; 2] {
        [
            Kind { batch: self.options.batch, connections: self.options.connections },
            Kind { batch: 1, connections: self.options.single_connections },
        ]
    }

    fn embedded(&self, run: u64, report: &mut Report) -> Result<()> {
        report.note(
            "embedded: weir up, whose projector folds meanwhile; the limit is a plain SQLite append of record batches of \
             1,000 of the same records (WAL, synchronous=FULL), alone",
        );
        let mut limit = None;
        for kind in self.kinds() {
            let site = Site::new(self.place, Backend::Embedded)?;
            let server = Server::start(self.place, &site, &[])?;
            let rate = self.weir(&site, &server, kind, run, report)?;
            let lag = one_thread()?.block_on(async { server.lag(&mut server.connect().await?).await })?;
            report.add(format!("{}: lag at the end", kind.name()), "events", lag.map_or(f64::NAN, |lag| lag as f64));
            server.stop()?;
            let limit = match limit {
                Some(limit) => limit,
                None => *limit.insert(append_limit(site.path(), self.options, report)?),
            };
            report.add(format!("{}: ratio to the plain append", kind.name()), "", rate / limit);
        }
        Ok(())
    }

    fn kafka(&self, run: u64, report: &mut Report) -> Result<()> {
        report.note(format!(
            "Kafka: {}; the limit is a thin axum server that parses the same bodies with serde and produces each event as \
             a record with rdkafka's FutureProducer (idempotent, acks=all, linger 0, max.in.flight 3) to a topic made \
             alike, and answers after all acknowledgements",
            if self.options.with_projector { "weir up, whose projector folds meanwhile" } else { "the ingest service alone" }
        ));
        for kind in self.kinds() {
            // Taken in turn, so that neither is always the first on a cold broker.
            let (weir, limit) = if run.is_multiple_of(2) {
                let weir = self.weir_over_kafka(kind, run, report)?;
                (weir, self.thin(kind, run, 0, report)?)
            } else {
                let limit = self.thin(kind, run, 0, report)?;
                (self.weir_over_kafka(kind, run, report)?, limit)
            };
            report.add(format!("{}: ratio to the thin server", kind.name()), "", weir / limit);
            if self.options.pad > 0 {
                let limit = self.thin(kind, run, self.options.pad, report)?;
                report.add(format!("{}: ratio to the thin server, longer records", kind.name()), "", weir / limit);
            }
        }
        Ok(())
    }

    fn weir_over_kafka(&self, kind: Kind, run: u64, report: &mut Report) -> Result<f64> {
        let site = Site::new(self.place, Backend::Kafka)?;
        let server = if self.options.with_projector {
            Server::start(self.place, &site, &[])?
        } else {
            Server::ingest(self.place, &site)?
        };
        let rate = self.weir(&site, &server, kind, run, report)?;
        server.stop()?;
        Ok(rate)
    }

    fn weir(&self, site: &Site, server: &Server, kind: Kind, run: u64, report: &mut Report) -> Result<f64> {
        let load = self.load(server.at, &server.keys.write, kind);
        let spent = || Ok(Costs { server: server.spent()?.cpu, behind: site.servers_spent() });
        self.measure("", kind, &load, run, &spent, report)
    }

    fn thin(&self, kind: Kind, run: u64, pad: usize, report: &mut Report) -> Result<f64> {
        let site = Site::new(self.place, Backend::Kafka)?;
        let remote = site.remote.as_ref().context("a site over Kafka")?;
        make_topics(&site)?;
        let (topic, pad_bytes) = (format!("{}.events.v1", remote.name), pad.to_string());
        let arguments = ["--kafka", &remote.services.kafka, "--topic", &topic, "--pad", &pad_bytes];
        let server = thin::start(&site, "ingest", &arguments)?;
        let load = self.load(server.at, "none", kind);
        let spent = || Ok(Costs { server: server.spent()?.cpu, behind: site.servers_spent() });
        let name = if pad == 0 { "thin server, " } else { "thin server, longer records, " };
        let rate = self.measure(name, kind, &load, run, &spent, report)?;
        server.stop()?;
        Ok(rate)
    }

    fn load(&self, at: std::net::SocketAddr, key: &str, kind: Kind) -> Load {
        Load {
            at,
            key: key.to_owned(),
            connections: kind.connections,
            threads: self.options.threads,
            batch: kind.batch,
            population: Population { profiles: self.options.profiles, zipf: false, views: false },
            until: Until::Elapsed(Duration::from_secs(self.options.warm_up)),
            pace: None,
            seed: 0,
        }
    }

    /// Warms up, measures, and answers events a second.
    fn measure(
        &self,
        who: &str,
        kind: Kind,
        load: &Load,
        run: u64,
        spent: &dyn Fn() -> Result<Costs>,
        report: &mut Report,
    ) -> Result<f64> {
        Load { seed: run * 2, ..load.clone() }.run()?;
        let before = spent()?;
        let until = Until::Elapsed(Duration::from_secs(self.options.seconds));
        let loaded = watched(&format!("{who}{}", kind.name()), Load { seed: run * 2 + 1, until, ..load.clone() })?;
        let after = spent()?;
        let name = format!("{who}{}", kind.name());
        let micros = |seconds: f64| seconds * 1e6 / loaded.events as f64;
        report.add(format!("{name}: acknowledged"), "events/s", loaded.rate());
        report.add(format!("{name}: p50"), "ms", loaded.latency_ms(0.5));
        report.add(format!("{name}: p99"), "ms", loaded.latency_ms(0.99));
        let whose = if who.is_empty() { "CPU of weir" } else { "CPU of the thin server" };
        report.add(format!("{name}: {whose}"), "µs/event", micros(after.server - before.server));
        if after.behind.kafka > 0.0 {
            let broker = after.behind.kafka - before.behind.kafka;
            report.add(format!("{name}: CPU of the broker"), "µs/event", micros(broker));
        }
        report.add(format!("{name}: CPU of the generator"), "µs/event", micros(loaded.cpu));
        Ok(loaded.rate())
    }
}

/// Runs a load under a progress bar, where it has a given time.
fn watched(name: &str, load: Load) -> Result<Loaded> {
    let Until::Elapsed(long) = load.until else { return load.run() };
    load.start()?.watched(name, long)
}

/// Makes topics as Weir makes them.
fn make_topics(site: &Site) -> Result<()> {
    let url: LogUrl = site.log().context("a site over Kafka")?.parse()?;
    one_thread()?.block_on(async {
        weir_event_log::open(&url, OpenOptions::default()).await?.close().await;
        Ok(())
    })
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
