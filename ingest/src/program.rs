//! The `ingest` program: HTTP to a log on Kafka, any number of them.

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::{Settings, StartError, Started, start};
use weir_event::Clock;
use weir_event_log::{ClientSettings, LogUrl, OpenOptions};
use weir_http::{Server, WrapOptions, bind};
use weir_lifecycle::settings::{ACCEPT_WEAK_ACKS, ALL, KAFKA, LISTEN, LOG_URL};
use weir_lifecycle::{Config, Exit, Failure, Program, Source, TELEMETRY_SETTINGS, launch};

const PROGRAM: Program<'static> = Program {
    name: "ingest",
    about: "Takes events over HTTP and puts them onto a log on Kafka. `weir up` is all services in one process.",
    settings: &[&[LISTEN, LOG_URL, ACCEPT_WEAK_ACKS, KAFKA], TELEMETRY_SETTINGS],
    elsewhere: &[ALL],
};
const NEEDS_LOG: &str = "ingest by itself needs a log on Kafka, kafka://HOST:PORT[,HOST:PORT…]/PREFIX, which `weir init` \
                         makes; `weir up` needs nothing";

struct Told {
    listen: SocketAddr,
    log: LogUrl,
    options: OpenOptions,
}

/// The program: reads its configuration from the source and runs until it is told to stop.
#[must_use]
pub fn main(source: &Source) -> ExitCode {
    launch(&PROGRAM, source, read, run)
}

fn read(config: &mut Config) -> Told {
    config.require("log_url", NEEDS_LOG);
    let options = OpenOptions {
        create: false,
        accept_weak_acks: config.switch("accept_weak_acks"),
        client: config.family("kafka", ClientSettings::new),
        ..OpenOptions::default()
    };
    Told {
        listen: config.listen(8080),
        // Without a log there is a problem noted, and nothing is run.
        log: config.get_with("log_url", LogUrl::shared).unwrap_or(LogUrl::Memory),
        options,
    }
}

async fn run(told: Told) -> Result<Exit, Failure> {
    let mut server = Server::open(bind(told.listen).await?, WrapOptions::default())?;
    let settings = Settings { health: server.health().clone(), ..Settings::new(Clock::system()) };
    let Some(started) = server.starting(start(&told.log, &told.options, settings)).await else {
        return Ok(server.run().await);
    };
    let Started { log, ingest, follower } =
        started.map_err(|error| Failure::sorted_by(error, StartError::is_configuration))?;
    let stop = server.shutdown();
    server.tasks().spawn("ingest", follower.run(stop));
    server.serve(ingest.router());
    server.say_ready();
    let exit = server.run().await;
    log.close().await;
    Ok(exit)
}
