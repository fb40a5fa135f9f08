//! The `projector` program: a log on Kafka to tables in PostgreSQL, any number of them. HTTP is for health and metrics.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use crate::{Parts, StartError, bind as bind_store, first_record, work};
use weir_event::Clock;
use weir_event_log::{ClientSettings, EventLog, LogUrl, OpenOptions};
use weir_http::{Server, WrapOptions, bind};
use weir_lifecycle::settings::{ACCEPT_WEAK_ACKS, ALL, KAFKA, LISTEN, LOG_URL, STORE_URL};
use weir_lifecycle::{Config, Exit, Failure, Health, Program, Source, TELEMETRY_SETTINGS, keep_trying, launch};
use weir_store::StoreUrl;

const PROGRAM: Program<'static> = Program {
    name: "projector",
    about: "Folds a log on Kafka into tables in PostgreSQL. `weir up` is all services in one process.",
    settings: &[&[LISTEN, LOG_URL, STORE_URL, ACCEPT_WEAK_ACKS, KAFKA], TELEMETRY_SETTINGS],
    elsewhere: &[ALL],
};
const NEEDS_LOG: &str = "a projector by itself needs a log on Kafka, kafka://HOST:PORT[,HOST:PORT…]/PREFIX, which \
                         `weir init` makes; `weir up` needs nothing";
const NEEDS_STORE: &str =
    "a projector by itself needs PostgreSQL, postgres://USER@HOST/DATABASE; `weir up` needs nothing";

struct Told {
    listen: SocketAddr,
    /// Log and store; without both there is a problem noted, and nothing is run.
    urls: Option<(LogUrl, StoreUrl)>,
    options: OpenOptions,
}

/// The program: reads its configuration from the source and runs until it is told to stop.
#[must_use]
pub fn main(source: &Source) -> ExitCode {
    launch(&PROGRAM, source, read, run)
}

fn read(config: &mut Config) -> Told {
    config.require("log_url", NEEDS_LOG);
    config.require("store_url", NEEDS_STORE);
    let options = OpenOptions {
        create: false,
        accept_weak_acks: config.switch("accept_weak_acks"),
        client: config.family("kafka", ClientSettings::new),
        ..OpenOptions::default()
    };
    let (log, store) = (config.get_with("log_url", LogUrl::shared), config.get_with("store_url", StoreUrl::shared));
    Told { listen: config.listen(8082), urls: log.zip(store), options }
}

async fn run(told: Told) -> Result<Exit, Failure> {
    let Some((log, store)) = told.urls else { return Err(Failure::configuration(NEEDS_LOG)) };
    let mut server = Server::open(bind(told.listen).await?, WrapOptions::default())?;
    let health = server.health().clone();
    let Some(started) = server.starting(start(&log, &told.options, &store, health)).await else {
        return Ok(server.run().await);
    };
    let parts = started.map_err(|error| Failure::sorted_by(error, StartError::is_configuration))?;
    let (log, stop) = (Arc::clone(&parts.log), server.shutdown());
    server.tasks().spawn("projector", work(parts, stop));
    server.serve_health();
    server.say_ready();
    let exit = server.run().await;
    log.close().await;
    Ok(exit)
}

/// Waits for the log; the store is waited for by the work.
async fn start(url: &LogUrl, options: &OpenOptions, store: &StoreUrl, health: Health) -> Result<Parts, StartError> {
    let component = health.component("projector");
    let open = async || -> Result<_, StartError> {
        let log: Arc<dyn EventLog> = weir_event_log::open(url, options.clone()).await?;
        let opened = first_record(log.as_ref()).await?;
        Ok((log, opened.lineage))
    };
    let (log, lineage) = keep_trying("opening the log", &component, StartError::may_pass, open).await?;
    let store = weir_store::open(store).await?;
    bind_store(store.as_ref(), lineage).await?;
    Ok(Parts { log, lineage, store, clock: Clock::system(), health: health.clone() })
}
