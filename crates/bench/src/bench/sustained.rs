//! `weir-bench sustained`: the highest rate by schedule at which what was accepted is visible soon.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::events::Population;
use super::load::{Load, Loaded, Until};
use super::probes::{self, Probes, Seen};
use super::report::Report;
use super::server::Server;
use super::site::Site;
use super::{Place, one_thread};

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds for which the rate must be held
    #[arg(long, default_value_t = 60)]
    hold: u64,
    /// Seconds of each try before
    #[arg(long, default_value_t = 12)]
    attempt: u64,
    /// Tries, each at half of what is left between a rate that was held and one that wasn't
    #[arg(long, default_value_t = 5)]
    tries: u32,
    /// What is accepted must be visible after so many milliseconds, 99 times of a hundred
    #[arg(long, default_value_t = 250.0)]
    visible: f64,
    /// Profiles
    #[arg(long, default_value_t = 1_000_000)]
    pub(super) profiles: u64,
    /// Events posted beforehand, so that the tables are not empty
    #[arg(long, default_value_t = 1_000_000)]
    pub(super) before: u64,
    /// Uniform profiles only, without Zipf 1.0
    #[arg(long)]
    uniform_only: bool,
    /// Events of a request
    #[arg(long, default_value_t = 100)]
    pub(super) batch: usize,
    /// Connections
    #[arg(long, default_value_t = 64)]
    pub(super) connections: usize,
}

/// Ten in all, with the two that are built in and the probes'.
pub(super) const SEGMENTS: [(&str, &str); 7] = [
    ("viewed-often", r#"{"event":"product.viewed","at_least":3,"within":"7d"}"#),
    ("abandoned-1h", r#"{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"1h"}"#),
    ("buyers-30d", r#"{"event":"order.completed","within":"30d"}"#),
    ("readers", r#"{"event":"page.viewed","at_least":5,"within":"1d"}"#),
    ("expensive", r#"{"event":"product.viewed","where":{"currency":"EUR"},"at_least":2,"within":"14d"}"#),
    (
        "lookers",
        r#"{"all":[{"event":"product.viewed","within":"7d"},{"not":{"event":"order.completed","within":"30d"}}]}"#,
    ),
    ("logged-in", r#"{"event":"LOGIN","within":"1d"}"#),
];

/// A server with tables that are not empty.
pub(super) struct Ready {
    pub(super) server: Server,
    pub(super) site: Site,
    /// Events a second from the first post until all of them were in the tables.
    pub(super) rate: f64,
}

/// What is posted at a rate.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) population: Population,
    pub(super) batch: usize,
    pub(super) connections: usize,
}

/// What came of a rate.
pub(super) struct Tried {
    pub(super) loaded: Loaded,
    pub(super) seen: Seen,
}

impl Tried {
    /// Whether the load kept to its schedule and the probes were visible in time.
    fn holds(&self, rate: f64, visible: f64) -> bool {
        self.loaded.rate() > 0.98 * rate && self.seen.visible_ms(0.99) <= visible
    }
}

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    report.note(format!(
        "open loop: batches of {} by schedule on {} connections, times counted from when they were due; single events as \
         probes beside it, 40 a second; {} profiles, {} events beforehand; ten segments; a rate is held if 99 of 100 probes \
         are visible after {} ms and the load keeps its schedule; {} tries of {} s by bisection, then {} s",
        options.batch, options.connections, options.profiles, options.before, options.visible, options.tries,
        options.attempt, options.hold
    ));
    for backend in place.backend.each() {
        report.section(backend.name());
        for zipf in [false, true] {
            if zipf && options.uniform_only {
                continue;
            }
            let name = if zipf { "Zipf 1.0" } else { "uniform" };
            let shape = Shape {
                population: Population { profiles: options.profiles, zipf, views: false },
                batch: options.batch,
                connections: options.connections,
            };
            let ready = ready(place, Site::new(place, *backend)?, shape, options.before)?;
            report.add(format!("{name}: events beforehand, first post to lag 0"), "events/s", ready.rate);
            let found = search(&ready, shape, options, name, report)?;
            hold(&ready, shape, options, found, name, report)?;
            ready.server.stop()?;
            report.look_at_load();
        }
    }
    Ok(())
}

/// Starts a server, puts the segments, fills the tables.
pub(super) fn ready(place: &Place, site: Site, shape: Shape, before: u64) -> Result<Ready> {
    let server = Server::start(place, &site, &[])?;
    let runtime = one_thread()?;
    runtime.block_on(async {
        server.put_segments(&SEGMENTS).await?;
        server.put_segments(&[probes::SEGMENT]).await
    })?;
    let began = std::time::Instant::now();
    let load = Load { until: Until::Events(before), pace: None, ..load(&server, shape, 7) };
    load.run()?;
    runtime.block_on(server.settle())?;
    Ok(Ready { rate: before as f64 / began.elapsed().as_secs_f64(), server, site })
}

fn load(server: &Server, shape: Shape, seed: u64) -> Load {
    Load {
        at: server.at,
        key: server.keys.write.clone(),
        connections: shape.connections,
        threads: 1,
        batch: shape.batch,
        population: shape.population,
        until: Until::Events(0),
        pace: None,
        seed,
    }
}

/// Bisects; answers the highest rate that was held.
pub(super) fn search(ready: &Ready, shape: Shape, options: &Options, name: &str, report: &mut Report) -> Result<f64> {
    let (mut held, mut too_much, mut rate) = (0.0, 2.0 * ready.rate, 0.7 * ready.rate);
    for number in 0..options.tries {
        let long = Duration::from_secs(options.attempt);
        let tried = attempt(&ready.server, shape, rate, long, &format!("{name}{number}"))?;
        let holds = tried.holds(rate, options.visible);
        eprintln!(
            "{name}: {rate:.0} events/s: {:.0} acknowledged, visible p99 {:.0} ms: {}",
            tried.loaded.rate(),
            tried.seen.visible_ms(0.99),
            if holds { "held" } else { "not held" }
        );
        report.look_at_load();
        if holds {
            held = rate;
        } else {
            too_much = rate;
        }
        rate = (held + too_much) / 2.0;
    }
    Ok(held)
}

/// Holds the rate that was found, or less, for the whole time.
fn hold(ready: &Ready, shape: Shape, options: &Options, found: f64, name: &str, report: &mut Report) -> Result<()> {
    const STEP: f64 = 0.85;
    let mut rate = found;
    for number in 0..4 {
        if rate <= 0.0 {
            break;
        }
        let before = (ready.server.spent()?, ready.site.servers_spent());
        let long = Duration::from_secs(options.hold);
        let tried = attempt(&ready.server, shape, rate, long, &format!("{name}-long{number}"))?;
        if !tried.holds(rate, options.visible) {
            let p99 = tried.seen.visible_ms(0.99);
            eprintln!("{name}: {rate:.0} events/s were not held for {} s (visible p99 {p99:.0} ms)", options.hold);
            rate *= STEP;
            continue;
        }
        let events = tried.loaded.events as f64;
        report.add(format!("{name}: held for {} s", options.hold), "events/s", rate);
        report.add(format!("{name}: ratio to the events beforehand"), "", rate / ready.rate);
        tell(name, &tried, report);
        let micros = |seconds: f64| seconds * 1e6 / events;
        report.add(format!("{name}: CPU of weir"), "µs/event", micros(ready.server.spent()?.cpu - before.0.cpu));
        let (now, then) = (ready.site.servers_spent(), before.1);
        if now.postgres > 0.0 {
            report.add(format!("{name}: CPU of PostgreSQL"), "µs/event", micros(now.postgres - then.postgres));
            report.add(format!("{name}: CPU of the broker"), "µs/event", micros(now.kafka - then.kafka));
        }
        return Ok(());
    }
    report.add(format!("{name}: held for {} s", options.hold), "events/s", 0.0);
    Ok(())
}

/// Posts at a rate and probes; then waits until the tables have everything.
pub(super) fn attempt(server: &Server, shape: Shape, rate: f64, long: Duration, name: &str) -> Result<Tried> {
    let running = Load {
        until: Until::Elapsed(long),
        pace: Some(rate),
        ..load(server, shape, name.bytes().map(u64::from).sum())
    };
    let running = running.start()?;
    let profiles = format!("probe-{}", name.replace([' ', '.'], ""));
    let probes = Probes::start(server, &profiles, long);
    let loaded = running.watched(&format!("{name}: {rate:.0} events/s"), long)?;
    let seen = probes.finish()?;
    one_thread()?.block_on(server.settle())?;
    Ok(Tried { loaded, seen })
}

/// Notes what the probes and the load saw.
pub(super) fn tell(name: &str, tried: &Tried, report: &mut Report) {
    let seen = &tried.seen;
    report.add(format!("{name}: accepted to visible, p50"), "ms", seen.visible_ms(0.5));
    report.add(format!("{name}: accepted to visible, p99"), "ms", seen.visible_ms(0.99));
    report.add(format!("{name}: accepted to visible, the longest"), "ms", seen.visible.max() as f64 / 1e3);
    report.add(format!("{name}: probes"), "", seen.visible.len() as f64);
    report.add(
        format!("{name}: answer to a single event, p99"),
        "ms",
        seen.accepted.value_at_quantile(0.99) as f64 / 1e3,
    );
    report.add(format!("{name}: answer to a batch, p50"), "ms", tried.loaded.latency_ms(0.5));
    report.add(format!("{name}: answer to a batch, p99"), "ms", tried.loaded.latency_ms(0.99));
}
