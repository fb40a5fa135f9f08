//! What makes a log one that can be served: topics or a file, the first record, the first workspace with its keys.
//!
//! Invariant: the keys are on disk before the record that makes them valid, and every step finds what an earlier try
//! left. So it can be broken off anywhere and done again, also by two at once; whose workspace came second has no keys
//! to show, and keeps none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use weir_control::LogOpened;
use weir_event::Clock;
use weir_event_log::{EventLog, LogUrl, OpenError, ReadError};
use weir_ingest::bootstrap::{self, BootstrapError, OpenSettings};
use weir_lifecycle::{Component, Failure, keep_trying};

use crate::directory::Directory;
use crate::keys_file::KeysFile;
use crate::settings::LogSettings;

/// The workspace of a first start.
const WORKSPACE: &str = "default";

/// A log that has a first record and a workspace.
pub(crate) struct Begun {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) opened: LogOpened,
    /// Whether the first record was written now.
    pub(crate) new_log: bool,
    /// The keys of the workspace, if it was made now.
    pub(crate) first_keys: Option<KeysFile>,
}

/// Makes the log what it should be, waiting for it while nobody answers; `component` isn't ready meanwhile. `by` says who
/// makes it.
pub(crate) async fn begin(
    settings: &LogSettings,
    keys: &Path,
    clock: &Clock,
    component: &Component,
    by: &str,
) -> Result<Begun, Failure> {
    let open = || weir_event_log::open(&settings.url, settings.options.clone());
    let log = keep_trying("opening the log", component, OpenError::may_pass, open).await;
    let log = log.map_err(|error| Failure::sorted_by(error, OpenError::is_configuration))?;
    let began = || first_records(Arc::clone(&log), settings, keys, clock, by);
    let begun = keep_trying("reading control.v1", component, CantBegin::may_pass, began).await;
    begun.map_err(|error| Failure::sorted_by(error, CantBegin::is_configuration))
}

/// Once.
async fn first_records(
    log: Arc<dyn EventLog>,
    settings: &LogSettings,
    keys: &Path,
    clock: &Clock,
    by: &str,
) -> Result<Begun, CantBegin> {
    let opening = OpenSettings { dedup_window_micros: settings.dedup_window_micros };
    let new_log = bootstrap::is_empty(log.as_ref()).await?;
    let opened = bootstrap::open_log(log.as_ref(), &opening, clock).await?;
    let mut first_keys = None;
    if !bootstrap::has_workspace(log.as_ref()).await? {
        first_keys = first_workspace(log.as_ref(), keys, clock, by).await?;
    }
    Ok(Begun { log, opened, new_log, first_keys })
}

/// Makes the first workspace; answers its keys, unless somebody else made it meanwhile with keys of theirs.
async fn first_workspace(
    log: &dyn EventLog,
    path: &Path,
    clock: &Clock,
    by: &str,
) -> Result<Option<KeysFile>, CantBegin> {
    let keys = KeysFile::read_or_make(path, WORKSPACE).map_err(CantBegin::Keys)?;
    bootstrap::make_workspace(log, &keys.workspace, &keys.hashes(), by, clock).await?;
    if bootstrap::knows_key(log, &keys.hashes().write).await? {
        return Ok(Some(keys));
    }
    let unused = format!("{} holds keys that nobody knows, and can't be removed", path.display());
    std::fs::remove_file(path).context(unused).map_err(CantBegin::Keys)?;
    tracing::warn!("another process made the first workspace; its keys are where that one keeps them");
    Ok(None)
}

/// The log can't be made what it should be.
#[derive(Debug, thiserror::Error)]
enum CantBegin {
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error("the log can't be read")]
    Read(#[from] ReadError),
    #[error("{0:#}")]
    Keys(anyhow::Error),
}

impl CantBegin {
    fn may_pass(&self) -> bool {
        match self {
            Self::Bootstrap(error) => error.may_pass(),
            Self::Read(error) => matches!(error, ReadError::Io { .. }),
            Self::Keys(_) => false,
        }
    }

    fn is_configuration(&self) -> bool {
        matches!(self, Self::Bootstrap(error) if error.is_configuration())
    }
}

/// A log outside the data directory has one writer too.
pub(crate) fn take_log_directory(log: &LogUrl, data: &Path) -> anyhow::Result<Option<Directory>> {
    let LogUrl::Sqlite(log) = log else { return Ok(None) };
    let directory = match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let same = directory.canonicalize().is_ok_and(|path| data.canonicalize().is_ok_and(|data| data == path));
    if same { Ok(None) } else { Directory::take(&directory).map(Some) }
}
