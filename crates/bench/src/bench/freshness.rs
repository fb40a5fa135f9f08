//! `weir-bench freshness`: how soon what was accepted is visible, at half the rate that can be held.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::Place;
use super::events::Population;
use super::report::Report;
use super::site::Site;
use super::sustained::{self, Shape, attempt, ready, search, tell};

#[derive(Args)]
pub(crate) struct Options {
    /// Events a second; without it half of what is found to be held
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds of a measurement
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Measurements
    #[arg(long, default_value_t = 3)]
    runs: u32,
    #[command(flatten)]
    search: sustained::Options,
}

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    let search_options = &options.search;
    for backend in place.backend.each() {
        report.section(backend.name());
        let shape = Shape {
            population: Population { profiles: search_options.profiles, zipf: false, views: false },
            batch: search_options.batch,
            connections: search_options.connections,
        };
        let ready = ready(place, Site::new(place, *backend)?, shape, search_options.before)?;
        let rate = match options.rate {
            Some(rate) => rate,
            None => search(&ready, shape, search_options, "search", report)? / 2.0,
        };
        ensure!(rate > 0.0, "no rate was held: see the tries above; --visible, --tries or --rate change them");
        report.note(format!(
            "open loop by schedule, batches of {}, {} profiles uniformly, {} events beforehand, ten segments; probes beside \
             it, 40 a second: single events of profiles of their own, each read by Weir-After until it is in its segment",
            shape.batch, search_options.profiles, search_options.before
        ));
        report.add("rate", "events/s", rate);
        for run in 0..options.runs {
            let tried =
                attempt(&ready.server, shape, rate, Duration::from_secs(options.seconds), &format!("fresh{run}"))?;
            tell("at this rate", &tried, report);
            report.look_at_load();
        }
        ready.server.stop()?;
    }
    Ok(())
}
