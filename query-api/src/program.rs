//! The `query-api` program: tables in PostgreSQL to HTTP, any number of them.

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::{QueryApi, Settings};
use weir_event::Clock;
use weir_http::{Server, WrapOptions, bind};
use weir_lifecycle::settings::{ALL, LISTEN, STORE_URL};
use weir_lifecycle::{Config, Exit, Failure, Program, Source, TELEMETRY_SETTINGS, launch};
use weir_store::StoreUrl;

const PROGRAM: Program<'static> = Program {
    name: "query-api",
    about: "Answers from tables in PostgreSQL. `weir up` is all services in one process.",
    settings: &[&[LISTEN, STORE_URL], TELEMETRY_SETTINGS],
    elsewhere: &[ALL],
};
const NEEDS_STORE: &str = "a query-api by itself needs PostgreSQL, postgres://USER@HOST/DATABASE, whose tables a projector \
                           fills; `weir up` needs nothing";

struct Told {
    listen: SocketAddr,
    /// Without it there is a problem noted, and nothing is run.
    store: Option<StoreUrl>,
}

/// The program: reads its configuration from the source and runs until it is told to stop.
#[must_use]
pub fn main(source: &Source) -> ExitCode {
    launch(&PROGRAM, source, read, run)
}

fn read(config: &mut Config) -> Told {
    config.require("store_url", NEEDS_STORE);
    Told { listen: config.listen(8081), store: config.get_with("store_url", StoreUrl::shared) }
}

async fn run(told: Told) -> Result<Exit, Failure> {
    let Some(store) = told.store else { return Err(Failure::configuration(NEEDS_STORE)) };
    let mut server = Server::open(bind(told.listen).await?, WrapOptions::default())?;
    let component = server.health().component("query-api");
    let Some(store) = server.starting(weir_store::open(&store)).await else { return Ok(server.run().await) };
    let settings = Settings { shutdown: server.shutdown(), ..Settings::new(Clock::system()) };
    let query = QueryApi::new(store?, settings);
    server.serve(query.router());
    server.tasks().spawn("query-api", async move {
        query.watch(component).await;
        std::io::Result::Ok(())
    });
    server.say_ready();
    Ok(server.run().await)
}
