//! What is measured, by subcommand, and what they share.

mod appends;
mod events;
mod http;
mod ingest;
mod live;
mod load;
mod metrics;
mod progress;
mod query;
mod report;
mod rows;
mod server;
mod start;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

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
    /// Pages, counts and look-ups of a large segment, also when many leave it at one instant.
    Query(query::Options),
    /// From exec to the ready line and to the first accepted event.
    Start(start::Options),
}

/// Where things are.
#[derive(Args)]
pub(crate) struct Place {
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
        let path = match &self.weir {
            Some(path) => path.clone(),
            None => std::env::current_exe().context("where is this program?")?.with_file_name("weir"),
        };
        let found = path.is_file();
        anyhow::ensure!(found, "no program at {}; cargo build --release -p weir, or --weir PATH", path.display());
        Ok(path)
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

/// Measures and prints.
pub(crate) fn run(command: &Command) -> Result<()> {
    let place = &command.place;
    let mut report = report::Report::begin(place)?;
    match &command.what {
        What::Ingest(options) => ingest::run(place, options, &mut report),
        What::Live(options) => live::run(place, options, &mut report),
        What::Query(options) => query::run(place, options, &mut report),
        What::Start(options) => start::run(place, options, &mut report),
    }?;
    report.print(place.json)
}

/// A runtime on the calling thread, for what is measured one after the other.
fn one_thread() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}
