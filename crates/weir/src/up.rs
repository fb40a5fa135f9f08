//! `weir up`: ingest, projector and query API in one process.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use weir_event::{Clock, Position};
use weir_event_log::OpenError;
use weir_http::{Server, WrapOptions, bind};
use weir_ingest::bootstrap::BootstrapError;
use weir_ingest::{Follower, Ingest};
use weir_lifecycle::{Exit, Failure, Program, Source, TELEMETRY_SETTINGS, causes, launch, say};
use weir_projector::Parts;
use weir_query_api::{Acknowledged, QueryApi};

use crate::directory::Directory;
use crate::first_start::{Begun, begin, take_log_directory};
use crate::keys_file::KeysFile;
use crate::settings::{Settings, UP};
use crate::{demo, first_words};

const PROGRAM: Program<'static> = Program {
    name: "weir up",
    about: "Serves events in and segments out: ingest, projector and query API in one process.",
    settings: &[UP, TELEMETRY_SETTINGS],
    elsewhere: &[],
};

/// Reads the configuration and runs until a signal.
pub(crate) fn main() -> ExitCode {
    launch(&PROGRAM, &Source::process(2), Settings::read, run)
}

/// What the operator asked for doesn't fit what is there: no retry will help.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(OpenError::is_configuration)
        || error.downcast_ref().is_some_and(BootstrapError::is_configuration)
}

async fn run(settings: Settings) -> Result<Exit, Failure> {
    let (directory, listener) = take(&settings).await?;
    let _log_directory = take_log_directory(&settings.log.url, &settings.data)?;
    let mut server = Server::open(listener, wrapping(&settings))?;
    let clock = if settings.test_clock { Clock::test() } else { Clock::system() };
    let health = server.health().clone();
    let Some(started) = server.starting(Started::start(&settings, &directory, &clock, health)).await else {
        return Ok(server.run().await);
    };
    let Started { begun, ingest, follower, parts } = started?;
    let query = query_api(&mut server, &parts, &ingest, settings.open);
    let stop = server.shutdown();
    server.tasks().spawn("ingest", follower.run(stop.clone()));
    server.tasks().spawn("projector", weir_projector::work(parts, stop));
    server.serve(Router::new().merge(ingest.router()).merge(query));
    server.say_ready();
    say_first_words(&server, &settings, &directory, begun.first_keys.as_ref());
    if settings.demo {
        let keys = KeysFile::read(&directory.file("keys.json"))?;
        let shop = demo::run(server.at(), keys.map(|keys| keys.write), server.shutdown());
        server.tasks().spawn("demo", shop);
    }
    let exit = server.run().await;
    begun.log.close().await;
    Ok(exit)
}

/// The directory and the port. Who is refused one of them leaves nothing behind; of both, the directory's holder is
/// worth telling.
async fn take(settings: &Settings) -> Result<(Directory, TcpListener), Failure> {
    if settings.data.exists() {
        let directory = Directory::take(&settings.data)?;
        return Ok((directory, bind(settings.listen).await?));
    }
    let listener = bind(settings.listen).await?;
    Ok((Directory::take(&settings.data)?, listener))
}

/// What the services are made of.
struct Started {
    begun: Begun,
    ingest: Ingest,
    follower: Follower,
    parts: Parts,
}

impl Started {
    /// Waits for the log, not for the store: writes are taken without it.
    async fn start(
        settings: &Settings,
        directory: &Directory,
        clock: &Clock,
        health: weir_lifecycle::Health,
    ) -> Result<Self, Failure> {
        let component = health.component("log");
        let begun = begin(&settings.log, &directory.file("keys.json"), clock, &component, "weir up").await?;
        drop(component);
        let store = weir_store::open(&settings.store).await?;
        weir_projector::bind(store.as_ref(), begun.opened.lineage).await?;
        let ingest = weir_ingest::Settings {
            open: settings.open,
            health: health.clone(),
            ..weir_ingest::Settings::new(clock.clone())
        };
        let (ingest, follower) = weir_ingest::start_on(&begun.log, ingest).await?;
        let (log, lineage, clock) = (Arc::clone(&begun.log), begun.opened.lineage, clock.clone());
        Ok(Self { begun, ingest, follower, parts: Parts { log, lineage, store, clock, health } })
    }
}

/// Ingest tells the query API what it has acknowledged, and nothing else: whoever posts and then asks sees it.
struct Told(Arc<weir_ingest::Acknowledged>);

impl Acknowledged for Told {
    fn position(&self, workspace: Option<&str>) -> Option<Position> {
        Some(workspace.map_or_else(|| self.0.all(), |slug| self.0.of(slug)))
    }
}

fn query_api(server: &mut Server, parts: &Parts, ingest: &Ingest, open: bool) -> Router {
    let mut settings = weir_query_api::Settings::new(parts.clock.clone());
    settings.open = open;
    settings.acknowledged = Some(Arc::new(Told(ingest.acknowledged())));
    settings.shutdown = server.shutdown();
    let query = QueryApi::new(Arc::clone(&parts.store), settings);
    let (router, component) = (query.router(), server.health().component("query-api"));
    server.tasks().spawn("query-api", async move {
        query.watch(component).await;
        anyhow::Ok(())
    });
    router
}

fn wrapping(settings: &Settings) -> WrapOptions {
    let clock = (HeaderName::from_static("weir-clock"), HeaderValue::from_static("test"));
    WrapOptions { open: settings.open, headers: settings.test_clock.then_some(clock).into_iter().collect() }
}

/// What a first start has to say, behind the ready line. Whoever doesn't read it finds the keys in their file.
fn say_first_words(server: &Server, settings: &Settings, directory: &Directory, first_keys: Option<&KeysFile>) {
    let words = match first_keys {
        Some(_) if settings.open => format!("\n{}", first_words::tour(server.at(), None)),
        Some(keys) => first_words::first_start(keys, &directory.file("keys.json"), server.at()),
        None => return,
    };
    if let Err(unsaid) = say(&words) {
        tracing::warn!(cause = causes(&unsaid), "nobody hears of the first keys");
    }
}
