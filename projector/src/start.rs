//! The projector in a process: what must hold before it folds, and threads of its own.
//!
//! It waits for the store as long as that is away: whoever runs beside it goes on meanwhile. Only a store that was filled
//! from another log stops it, and with it the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_control::{LogOpened, Misfit, State};
use weir_event::{Clock, Position, Stream};
use weir_event_log::{EventLog, LogReader, OpenError, ReadError, to_end};
use weir_lifecycle::{Health, Probe, causes, keep_probing, keep_trying};
use weir_store::{Store, StoreError};

use crate::FoldError;

const READ_BYTES: usize = 1 << 16;
const AGAIN: Duration = Duration::from_secs(1);

/// What the projector works on.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What its first record names it.
    pub lineage: Uuid,
    /// The store, which need not be there yet.
    pub store: Arc<dyn Store>,
    /// The clock of the process.
    pub clock: Clock,
    /// Where the projector declares whether it is ready: `projector` while it keeps tables, `tables` while they can be
    /// reached.
    pub health: Health,
}

/// The projector can't start, or can't go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be read.
    #[error("the log can't be read")]
    Read(#[from] ReadError),
    /// The log isn't what this process takes it for.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The store can't be used.
    #[error("the store can't be used")]
    Store(#[from] StoreError),
    /// A projection can't go on.
    #[error("the tables can't be kept")]
    Fold(#[from] FoldError),
    /// The projector has no threads.
    #[error("the projector's threads can't be started, or ended without a word")]
    Threads(#[source] io::Error),
}

impl StartError {
    /// Whether trying again may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Open(error) => error.may_pass(),
            Self::Read(error) => matches!(error, ReadError::Io { .. }),
            Self::Store(error) => is_away(error),
            Self::Misfit(_) | Self::Fold(_) | Self::Threads(_) => false,
        }
    }

    /// Whether the configuration doesn't fit what is there: the program exits with 64.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Open(error) => error.is_configuration(),
            Self::Misfit(_) => true,
            _ => false,
        }
    }
}

/// Reads what the log is, from its first record.
///
/// # Errors
/// It can't be read, has no such record, or isn't what that record says: whole, of so many partitions, under the system's
/// clock.
pub async fn first_record(log: &dyn LogReader) -> Result<LogOpened, StartError> {
    let bounds = log.bounds(Stream::Control, 0).await?;
    let (mut state, mut next) = (State::default(), bounds.first);
    while state.log().is_none() && next < bounds.end {
        let chunk = log.read(Stream::Control, 0, next, READ_BYTES).await?;
        for record in &chunk.records {
            state.evolve(record.offset, &record.value);
        }
        next = chunk.next;
    }
    let opened = state.log().cloned().ok_or(Misfit::NotOpened)?;
    opened.fits(&to_end(log, Position::new(opened.lineage)).await?, false)?;
    Ok(opened)
}

/// Binds the store to the log, or finds that it is bound to it; one that is away is left to [`work`], which waits for it.
///
/// # Errors
/// The store was filled from another log, or can't be used at all.
pub async fn bind(store: &dyn Store, lineage: Uuid) -> Result<(), StartError> {
    match store.bind(lineage).await {
        Err(error) if !is_away(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Failed { .. } | StoreError::Full(_))
}

/// Waits for the store, then fills it from the log until `stop`. It has threads of its own: folding a large batch must not
/// hold up requests, nor the timeline a membership.
///
/// # Errors
/// See [`StartError`]: what nobody but a human mends.
pub async fn work(parts: Parts, stop: CancellationToken) -> Result<(), StartError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let ended = match runtime {
            Ok(runtime) => runtime.block_on(fold(parts, &stop)),
            Err(error) => Err(StartError::Threads(error)),
        };
        // Nobody listens when the process is past its deadline.
        let _ = tell.send(ended);
    };
    std::thread::Builder::new().name("projector".to_owned()).spawn(work).map_err(StartError::Threads)?;
    told.await.map_err(|gone| StartError::Threads(io::Error::other(gone)))?
}

async fn fold(parts: Parts, stop: &CancellationToken) -> Result<(), StartError> {
    let tables = parts.health.component("tables");
    let binding = keep_trying("reaching the tables", &tables, is_away, || parts.store.bind(parts.lineage));
    match stop.run_until_cancelled(binding).await {
        None => return Ok(()),
        Some(bound) => bound?,
    }
    let reaching = Reaching { store: Arc::clone(&parts.store), log: Arc::clone(&parts.log) };
    // The watch ends with the fold, also where that fails.
    tokio::select! {
        folded = keep_folding(&parts, stop) => folded,
        () = async { keep_probing(&tables, reaching, stop).await; std::future::pending().await } => Ok(()),
    }
}

/// What keeps the fold from beginning may pass, too.
async fn keep_folding(parts: &Parts, stop: &CancellationToken) -> Result<(), StartError> {
    loop {
        let component = parts.health.component("projector");
        component.not_ready("the tables are being read");
        let (log, store) = (Arc::clone(&parts.log), Arc::clone(&parts.store));
        match crate::run(log, store, parts.clock.clone(), component, stop.clone()).await {
            Err(error) if error.may_pass() => {
                tracing::warn!(cause = causes(&error), "the projector is held up, it begins anew");
                if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
                    return Ok(());
                }
            }
            ended => return Ok(ended?),
        }
    }
}

/// Whether log and tables answer.
struct Reaching {
    store: Arc<dyn Store>,
    log: Arc<dyn EventLog>,
}

impl Probe for Reaching {
    async fn ask(&mut self) -> Result<(), String> {
        self.store.generations().await.map_err(|error| {
            tracing::debug!(cause = causes(&error), "the store doesn't answer");
            "the store doesn't answer".to_owned()
        })?;
        self.log.bounds(Stream::Control, 0).await.map(drop).map_err(|error| {
            tracing::debug!(cause = causes(&error), "the log doesn't answer");
            "the log doesn't answer".to_owned()
        })
    }
}
