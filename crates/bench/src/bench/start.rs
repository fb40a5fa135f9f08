//! `weir-bench start`: from exec to the ready line and to the first accepted event.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::report::Report;
use super::server::Server;
use super::site::Site;
use super::{Place, one_thread};

#[derive(Args)]
pub(crate) struct Options {
    /// Starts of each kind
    #[arg(long, default_value_t = 10)]
    runs: u32,
}

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    for backend in place.backend.each() {
        report.section(backend.name());
        for _ in 0..options.runs {
            let site = Site::new(place, *backend)?;
            once(place, &site, "empty", report)?;
            once(place, &site, "second start", report)?;
        }
    }
    Ok(())
}

fn once(place: &Place, site: &Site, name: &str, report: &mut Report) -> Result<()> {
    let runtime = one_thread()?;
    let began = Instant::now();
    let server = Server::start(place, site, &[])?;
    let ready = server.ready_after;
    let event = json!({"name": "cart.added"});
    let posted = async {
        let mut connection = server.connect().await?;
        connection.ask("POST", "/api/profiles/user:u1/events", &server.keys.write, Some(&event)).await
    };
    runtime.block_on(posted)?;
    report.add(format!("{name}: ready line"), "ms", ready.as_secs_f64() * 1e3);
    report.add(format!("{name}: first accepted event"), "ms", began.elapsed().as_secs_f64() * 1e3);
    server.stop()
}
