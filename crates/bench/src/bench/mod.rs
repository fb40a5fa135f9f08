//! What is measured, by subcommand, and what they share.

mod appends;
mod baskets;
mod events;
mod freshness;
mod http;
mod ingest;
mod live;
mod load;
mod metrics;
mod probes;
mod progress;
mod promote;
mod query;
mod rebuild;
mod report;
mod rows;
mod rows_postgres;
mod server;
mod services;
mod site;
mod start;
mod sustained;
mod thin;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use services::Services;
use site::Backends;

/// Measures Weir: starts the built program on a directory of its own and a free port, loads it, and prints a table.
#[derive(Parser)]
#[command(name = "weir-bench", version)]
pub(crate) struct Command {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum What {
    /// Events acknowledged a second, in batches and single, beside a plain append of record batches.
    Ingest(ingest::Options),
    /// Many events of many profiles: the acknowledged rate, and how soon they are in the tables.
    Live(live::Options),
    /// The highest rate by schedule at which what was accepted is visible soon.
    Sustained(sustained::Options),
    /// How soon what was accepted is visible, at a given rate.
    Freshness(freshness::Options),
    /// All tables anew from the log, beside a scan of the same log.
    Rebuild(rebuild::Options),
    /// Pages, counts and look-ups of a large segment, also when many leave it at one instant.
    Query(query::Options),
    /// Removals from baskets: pages, summaries, exports.
    Baskets(baskets::Options),
    /// From exec to the ready line and to the first accepted event.
    Start(start::Options),
    /// A server that Weir is held against
    #[command(hide = true)]
    Thin(thin::Options),
}

/// Where things are.
#[derive(Args)]
pub(crate) struct Place {
    /// Where log and tables are
    #[arg(long, global = true, value_enum, default_value_t = Backends::Embedded)]
    backend: Backends,
    /// A broker to use, HOST:PORT; without it and --postgres both servers are started, and stopped at the end
    #[arg(long, global = true, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// A database to use, postgres://USER@HOST:PORT/DATABASE; each run makes schemas of its own in it
    #[arg(long, global = true, value_name = "URL")]
    postgres: Option<String>,
    /// The script that starts servers; by default deploy/services.sh of the directory above this program or the current one
    #[arg(long, global = true, value_name = "PATH")]
    services: Option<PathBuf>,
    #[arg(skip)]
    running: OnceLock<Arc<Services>>,
    /// The program to measure; by default the one beside this one
    #[arg(long, global = true, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// Where directories for logs and tables are made; they are removed again
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// What `weir up` is told besides, for example "--partitions 2"
    #[arg(long, global = true, value_name = "FLAGS", allow_hyphen_values = true)]
    up: Option<String>,
}

impl Place {
    /// The program to measure.
    fn weir(&self) -> Result<PathBuf> {
        match &self.weir {
            Some(path) => there(path.clone(), "weir"),
            None => self.beside("weir", "weir"),
        }
    }

    /// The ingest service, beside the program to measure.
    fn ingest(&self) -> Result<PathBuf> {
        self.beside("ingest", "weir-ingest")
    }

    fn beside(&self, name: &str, package: &str) -> Result<PathBuf> {
        let path = match &self.weir {
            Some(path) => path.with_file_name(name),
            None => std::env::current_exe().context("where is this program?")?.with_file_name(name),
        };
        there(path, package)
    }

    /// Kafka and PostgreSQL, started when they are first asked for.
    fn services(&self) -> Result<Arc<Services>> {
        if let Some(running) = self.running.get() {
            return Ok(running.clone());
        }
        let started = Services::start(self)?;
        Ok(self.running.get_or_init(|| started).clone())
    }

    fn services_script(&self) -> Result<PathBuf> {
        if let Some(path) = &self.services {
            return Ok(path.clone());
        }
        let program = std::env::current_exe().context("where is this program?")?;
        let here = std::env::current_dir().context("where are we?")?;
        let above = program.ancestors().chain(here.ancestors()).map(|dir| dir.join("deploy/services.sh"));
        above.into_iter().find(|path| path.is_file()).context("deploy/services.sh is not found; --services PATH")
    }

    /// A directory that is removed with the answer.
    fn scratch(&self) -> Result<tempfile::TempDir> {
        let made = tempfile::Builder::new().prefix("weir-bench-").tempdir_in(&self.dir);
        made.with_context(|| format!("make a directory in {}", self.dir.display()))
    }

    fn flags(&self) -> impl Iterator<Item = &str> {
        self.up.iter().flat_map(|flags| flags.split_whitespace())
    }
}

fn there(path: PathBuf, package: &str) -> Result<PathBuf> {
    let found = path.is_file();
    anyhow::ensure!(found, "no program at {}; cargo build --release -p {package}, or --weir PATH", path.display());
    Ok(path)
}

/// Measures and prints.
pub(crate) fn run(command: &Command) -> Result<()> {
    let place = &command.place;
    if let What::Thin(options) = &command.what {
        return thin::run(options);
    }
    let mut report = report::Report::begin(place)?;
    match &command.what {
        What::Ingest(options) => ingest::run(place, options, &mut report),
        What::Live(options) => live::run(place, options, &mut report),
        What::Query(options) => query::run(place, options, &mut report),
        What::Sustained(options) => sustained::run(place, options, &mut report),
        What::Freshness(options) => freshness::run(place, options, &mut report),
        What::Rebuild(options) => rebuild::run(place, options, &mut report),
        What::Baskets(options) => baskets::run(place, options, &mut report),
        What::Start(options) => start::run(place, options, &mut report),
        What::Thin(_) => Ok(()),
    }?;
    if let Some(services) = place.running.get() {
        report.note(services.describe());
    }
    report.print(place.json)
}

/// A runtime on the calling thread, for what is measured one after the other.
fn one_thread() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}
