//! `weir up`: ingest, projector and query API in one process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_event::{Clock, Position};
use weir_event_log::{EventLog, LogUrl, OpenError, OpenOptions};
use weir_http::{ServeOptions, WrapOptions, serve, wrap};
use weir_ingest::Ingest;
use weir_ingest::bootstrap::{self, BootstrapError, OpenSettings};
use weir_lifecycle::{
    Config, ConfigError, Exit, Health, Help, Metrics, Program, Source, Supervisor, TELEMETRY_SETTINGS, causes, signals,
    start_logging,
};
use weir_query_api::{Acknowledged, QueryApi};
use weir_store::Store;

use crate::directory::Directory;
use crate::keys_file::KeysFile;
use crate::settings::{Settings, UP};
use crate::{USAGE, demo, first_words, surface};

/// The workspace of a first start.
const WORKSPACE: &str = "default";
/// From the first signal on; connections are cut a little earlier.
const DEADLINE: Duration = Duration::from_secs(20);
const SERVE: ServeOptions = ServeOptions { header_timeout: Duration::from_secs(30), deadline: Duration::from_secs(10) };

const PROGRAM: Program<'static> = Program {
    name: "weir up",
    about: "Serves events in and segments out: ingest, projector and query API in one process.",
    settings: &[UP, TELEMETRY_SETTINGS],
    elsewhere: &[],
};

/// Reads the configuration and runs until a signal.
#[expect(clippy::print_stdout, reason = "help goes to standard output")]
pub(crate) fn main() -> ExitCode {
    let mut config = match Config::load(&PROGRAM, &Source::process(2)) {
        Ok(config) => config,
        Err(Help(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
    };
    let settings = Settings::read(&mut config);
    if let Err(problems) = config.finish() {
        eprintln!("{problems}");
        return ExitCode::from(ConfigError::EXIT_CODE);
    }
    if let Err(error) = start_logging(&settings.telemetry) {
        eprintln!("weir: {}", causes(&error));
        return ExitCode::FAILURE;
    }
    match crate::runtime().map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(settings))) {
        Ok(exit) => exit.leave(),
        Err(error) => {
            eprintln!("weir: {}", causes(error.as_ref()));
            ExitCode::from(if is_usage(&error) { USAGE } else { 1 })
        }
    }
}

/// What the operator asked for doesn't fit what is there: no retry will help.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    let log = error.downcast_ref::<OpenError>();
    let made = error.downcast_ref::<BootstrapError>();
    log.is_some_and(|e| matches!(e, OpenError::PartitionsDiffer { .. } | OpenError::BadPartitions { .. }))
        || made.is_some_and(|e| !matches!(e, BootstrapError::Read(_) | BootstrapError::Append(_)))
}

async fn run(settings: Settings) -> anyhow::Result<Exit> {
    let directory = Directory::take(&settings.data)?;
    let _log_directory = take_log_directory(&settings)?;
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.with_context(|| format!("can't listen on {}", settings.listen))?;
    let at = listener.local_addr()?;
    let metrics = Metrics::install()?;
    let health = Health::default();
    let clock = if settings.test_clock { Clock::test() } else { Clock::system() };

    let log =
        weir_event_log::open(&settings.log, OpenOptions { partitions: settings.partitions, ..OpenOptions::default() })
            .await?;
    let opening = OpenSettings { dedup_window_micros: settings.dedup_window_micros };
    let opened = bootstrap::open_log(log.as_ref(), &opening, &clock).await?;
    let first_keys = first_start(&directory, log.as_ref(), &clock).await?;
    let store = weir_store::open(&settings.store).await?;
    store.bind(opened.lineage).await?;

    let mut supervisor = Supervisor::new(DEADLINE);
    let ingest = start_ingest(&mut supervisor, &log, &settings, &clock, &health).await?;
    let query = start_query(&mut supervisor, &store, &ingest, &settings, &clock, &health).await?;
    start_projector(&mut supervisor, &log, &store, &clock, &health);
    let router = Router::new().merge(ingest.router()).merge(query).merge(surface::router(health, metrics.clone()));
    start_server(&mut supervisor, listener, wrap(router, wrap_options(&settings)));
    let stop = supervisor.shutdown();
    supervisor.spawn("metrics", async move {
        metrics.keep(stop).await;
        anyhow::Ok(())
    });
    say_ready(at, &settings, &directory, first_keys.as_ref());
    if settings.demo {
        let keys = KeysFile::read(&directory.file("keys.json"))?;
        supervisor.spawn("demo", demo::run(at, keys.map(|keys| keys.write), supervisor.shutdown()));
    }
    let exit = supervisor.run(signals()?).await;
    log.close().await;
    Ok(exit)
}

/// A log outside the data directory has one writer too.
fn take_log_directory(settings: &Settings) -> anyhow::Result<Option<Directory>> {
    let LogUrl::Sqlite(log) = &settings.log else { return Ok(None) };
    let directory = log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let same = directory.canonicalize().is_ok_and(|path| settings.data.canonicalize().is_ok_and(|data| data == path));
    if same { Ok(None) } else { Directory::take(directory).map(Some) }
}

/// Makes the first workspace if there is none; answers its keys if it made them.
async fn first_start(directory: &Directory, log: &dyn EventLog, clock: &Clock) -> anyhow::Result<Option<KeysFile>> {
    if bootstrap::has_workspace(log).await? {
        return Ok(None);
    }
    let keys = KeysFile::read_or_make(&directory.file("keys.json"), WORKSPACE)?;
    bootstrap::make_workspace(log, &keys.workspace, &keys.hashes(), "weir up", clock).await?;
    Ok(Some(keys))
}

async fn start_ingest(
    supervisor: &mut Supervisor,
    log: &Arc<dyn EventLog>,
    settings: &Settings,
    clock: &Clock,
    health: &Health,
) -> anyhow::Result<Ingest> {
    let mut ingest_settings = weir_ingest::Settings::new(clock.clone());
    ingest_settings.open = settings.open;
    ingest_settings.health = health.clone();
    let (ingest, follower) = Ingest::start(log.clone(), ingest_settings).await?;
    supervisor.spawn("ingest", follower.run(supervisor.shutdown()));
    Ok(ingest)
}

/// Ingest tells the query API what it has acknowledged, and nothing else: whoever posts and then asks sees it.
struct Told(Arc<weir_ingest::Acknowledged>);

impl Acknowledged for Told {
    fn position(&self, workspace: Option<&str>) -> Option<Position> {
        Some(workspace.map_or_else(|| self.0.all(), |slug| self.0.of(slug)))
    }
}

async fn start_query(
    supervisor: &mut Supervisor,
    store: &Arc<dyn Store>,
    ingest: &Ingest,
    settings: &Settings,
    clock: &Clock,
    health: &Health,
) -> anyhow::Result<Router> {
    let mut query_settings = weir_query_api::Settings::new(clock.clone());
    query_settings.open = settings.open;
    query_settings.acknowledged = Some(Arc::new(Told(ingest.acknowledged())));
    let query = QueryApi::start(store.clone(), query_settings).await?;
    let router = query.router();
    let (component, stop) = (health.component("query-api"), supervisor.shutdown());
    supervisor.spawn("query-api", async move {
        query.watch(component, stop).await;
        anyhow::Ok(())
    });
    Ok(router)
}

/// The projector has threads of its own: folding a large batch must not hold up requests, nor the timeline a membership.
fn start_projector(
    supervisor: &mut Supervisor,
    log: &Arc<dyn EventLog>,
    store: &Arc<dyn Store>,
    clock: &Clock,
    health: &Health,
) {
    let component = health.component("projector");
    component.not_ready("the tables are being read");
    let stop = supervisor.shutdown();
    let (log, store, clock) = (log.clone(), store.clone(), clock.clone());
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let ended = match runtime {
            Ok(runtime) => {
                runtime.block_on(weir_projector::run(log, store, clock, component, stop)).map_err(anyhow::Error::from)
            }
            Err(error) => Err(error.into()),
        };
        // Nobody listens when the process is past its deadline.
        let _ = tell.send(ended);
    };
    let spawned = std::thread::Builder::new().name("projector".to_owned()).spawn(work);
    supervisor.spawn("projector", async move {
        spawned.context("can't start the projector's thread")?;
        told.await.context("the projector's thread ended without a word")?
    });
}

fn start_server(supervisor: &mut Supervisor, listener: TcpListener, router: Router) {
    let stop: CancellationToken = supervisor.shutdown();
    supervisor.spawn("http", async move {
        let cut = serve(listener, router, stop, SERVE).await;
        if cut > 0 {
            tracing::warn!(connections = cut, "connections were cut: they had not finished within the deadline");
        }
        anyhow::Ok(())
    });
}

fn wrap_options(settings: &Settings) -> WrapOptions {
    let clock = (HeaderName::from_static("weir-clock"), HeaderValue::from_static("test"));
    WrapOptions { open: settings.open, headers: settings.test_clock.then_some(clock).into_iter().collect() }
}

/// Standard output: the ready line first, and what a first start has to say behind it.
#[expect(clippy::print_stdout, reason = "the ready line is for standard output")]
fn say_ready(at: SocketAddr, settings: &Settings, directory: &Directory, first_keys: Option<&KeysFile>) {
    println!("ready: http://{at}");
    match first_keys {
        Some(_) if settings.open => println!("\n{}", first_words::tour(at, None)),
        Some(keys) => println!("{}", first_words::first_start(keys, &directory.file("keys.json"), at)),
        None => {}
    }
}
