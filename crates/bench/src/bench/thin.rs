//! The servers that Weir is held against: what is left if only the path itself is there.

mod ingest;
mod query;

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};
use axum::Router;
use clap::{Args, Subcommand};

use super::server::Process;
use super::site::Site;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    server: Thin,
}

#[derive(Subcommand)]
enum Thin {
    /// Events from HTTP to a topic
    Ingest(ingest::Options),
    /// Pages and counts of a segment from Weir's tables
    Query(query::Options),
}

/// Serves until it is told to end.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        match &options.server {
            Thin::Ingest(options) => serve(ingest::router(options)?).await,
            Thin::Query(options) => serve(query::router(options).await?).await,
        }
    })
}

/// Starts one of them as a process of its own.
pub(crate) fn start(site: &Site, name: &str, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command.args(["thin", name]).args(arguments);
    Process::start(command, &site.path().join(format!("thin-{name}.stderr")))
}

async fn serve(router: Router) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("ready: http://{}", listener.local_addr()?);
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(axum::serve::ListenerExt::tap_io(listener, |tcp| { tcp.set_nodelay(true).ok(); }), router) => served?,
        _ = term.recv() => {}
    }
    Ok(())
}
