//! The start of a service that stands on somebody else's log: it waits for it, and never makes it.

use std::sync::Arc;

use weir_event_log::{EventLog, LogUrl, OpenError, OpenOptions};
use weir_lifecycle::keep_trying;

use crate::control::Follower;
use crate::service::{Ingest, Settings, StartError};

/// What is there after the start.
pub struct Started {
    /// The log, to be closed at the end.
    pub log: Arc<dyn EventLog>,
    /// The service.
    pub ingest: Ingest,
    /// To be run for as long as the service is.
    pub follower: Follower,
}

/// Opens the log and starts the service on it. Both are tried again for as long as nobody answers; dropping it ends that.
///
/// # Errors
/// What no waiting mends: see [`StartError`]. A log without a first record or a workspace is refused.
pub async fn start(url: &LogUrl, options: &OpenOptions, settings: Settings) -> Result<Started, StartError> {
    let component = settings.health.component("log");
    let open = || weir_event_log::open(url, options.clone());
    let log = keep_trying("opening the log", &component, OpenError::may_pass, open).await?;
    drop(component);
    let (ingest, follower) = start_on(&log, settings).await?;
    if ingest.has_workspace() { Ok(Started { log, ingest, follower }) } else { Err(StartError::NoWorkspace) }
}

/// [`Ingest::start`], tried again for as long as nobody answers.
///
/// # Errors
/// What no waiting mends.
pub async fn start_on(log: &Arc<dyn EventLog>, settings: Settings) -> Result<(Ingest, Follower), StartError> {
    let component = settings.health.component("ingest");
    let begin = || Ingest::start(Arc::clone(log), settings.clone());
    keep_trying("reading control.v1", &component, StartError::may_pass, begin).await
}
