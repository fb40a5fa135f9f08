//! The service: what it is made of, and how it writes.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use bytes::Bytes;
use uuid::Uuid;
use weir_control::{Accepted, Command, LogOpened, Misfit, Outcome, encode};
use weir_event::{Clock, Position, Stream, Timestamp};
use weir_event_log::{EventLog, OpenError, ReadError, Record, to_end};
use weir_http::{BodyLimits, MediaType, Problem, Query, media_type, read_body};
use weir_lifecycle::Health;

use crate::acknowledged::Acknowledged;
use crate::caller::Member;
use crate::control::{Control, Follower, PARTITION};
use crate::id::{IdSource, Idempotency};
use crate::receipt::{Receipt, Receipts};
use crate::record::Recorded;
use crate::writable::Writable;
use crate::{answer, measure, routes};

/// How the service behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// No key is asked for: everybody is admin of the workspace `default` and operator. Whoever serves the routes must
    /// then answer loopback only.
    pub open: bool,
    /// The clock that stamps receipts.
    pub clock: Clock,
    /// What a request's body may take.
    pub body: BodyLimits,
    /// Where the service declares whether it is ready: `ingest` while it follows the control state, `log` while the log
    /// takes appends.
    pub health: Health,
}

impl Settings {
    /// Keys are asked for, bodies have the limits of the API.
    pub fn new(clock: Clock) -> Self {
        Self { open: false, clock, body: BodyLimits::default(), health: Health::default() }
    }
}

/// The service can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be read.
    #[error("the log can't be read")]
    Read(#[from] ReadError),
    /// It isn't what this process takes it for.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Nobody has a key for it.
    #[error("the log has no workspace, so nobody could be let in: `weir init` makes one")]
    NoWorkspace,
}

impl StartError {
    /// Whether starting again may help: the log doesn't answer at the moment.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Open(error) => error.may_pass(),
            Self::Read(error) => matches!(error, ReadError::Io { .. }),
            Self::Misfit(_) | Self::NoWorkspace => false,
        }
    }

    /// Whether the configuration doesn't fit the log: the program exits with 64.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Open(error) => error.is_configuration(),
            Self::Read(_) => false,
            Self::Misfit(_) | Self::NoWorkspace => true,
        }
    }
}

/// A handle on the service. Clones are the same service.
#[derive(Clone)]
pub struct Ingest(Arc<Inner>);

struct Inner {
    log: Arc<dyn EventLog>,
    opened: LogOpened,
    control: Arc<Control>,
    acknowledged: Arc<Acknowledged>,
    writable: Arc<Writable>,
    receipts: Receipts,
    ids: IdSource,
    settings: Settings,
}

impl Ingest {
    /// Reads `control.v1` to its end and makes the service. Nothing is answered by a command's outcome before the
    /// follower runs.
    ///
    /// # Errors
    /// See [`StartError`]. The log must have been opened by [`bootstrap::open_log`](crate::bootstrap::open_log).
    pub async fn start(log: Arc<dyn EventLog>, settings: Settings) -> Result<(Self, Follower), StartError> {
        let control = Arc::new(Control::open(&*log).await?);
        let opened = control.ask(|state| state.log().cloned()).ok_or(Misfit::NotOpened)?;
        let end = to_end(&*log, Position::new(opened.lineage)).await?;
        opened.fits(&end, settings.clock.is_test())?;
        let receipts = Receipts::open(settings.clock.clone(), &*log).await?;
        let acknowledged = Arc::new(Acknowledged::new(end));
        let writable = Arc::new(Writable::default());
        // Whoever declared them while this was waited for holds them no more when it is done.
        let (component, writing) = (settings.health.component("ingest"), settings.health.component("log"));
        let follower = Follower {
            control: Arc::clone(&control),
            log: Arc::clone(&log),
            component,
            writable: Arc::clone(&writable),
            writing,
        };
        let ids = IdSource::default();
        let inner = Inner { log, opened, control, acknowledged, writable, receipts, ids, settings };
        Ok((Self(Arc::new(inner)), follower))
    }

    /// The routes of this service and nothing else: no fallback, and not wrapped.
    pub fn router(&self) -> axum::Router {
        routes::all(self)
    }

    /// What has been acknowledged so far, by workspace.
    pub fn acknowledged(&self) -> Arc<Acknowledged> {
        Arc::clone(&self.0.acknowledged)
    }

    /// What the log is, as its first record says.
    pub fn log_opened(&self) -> &LogOpened {
        &self.0.opened
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.0.control
    }

    pub(crate) fn log(&self) -> &dyn EventLog {
        &*self.0.log
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.settings.open
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.settings.clock
    }

    pub(crate) fn receipts(&self) -> &Receipts {
        &self.0.receipts
    }

    /// The id of an item that came without one.
    pub(crate) fn event_id(&self, idempotency: Option<&Idempotency>, index: usize, now: Timestamp) -> Uuid {
        match idempotency {
            Some(key) => key.id(index),
            None => self.0.ids.next(now),
        }
    }

    /// The body of a request whose sender has been found to be allowed to send one.
    pub(crate) async fn read(
        &self,
        request: Request,
        accepted: &[MediaType],
    ) -> Result<(Parts, MediaType, Bytes), Problem> {
        let (parts, body) = request.into_parts();
        Query::parse(&parts.uri, &[])?;
        let media = media_type(&parts.headers, accepted)?;
        let body = read_body(&parts.headers, body, &self.0.settings.body).await?;
        measure::request(body.len());
        Ok((parts, media, body))
    }

    /// Appends events and answers when they are durable. The receipt is the one that they were stamped with.
    pub(crate) async fn append(
        &self,
        member: &Member,
        receipt: Receipt,
        events: Recorded,
    ) -> Result<Position, Problem> {
        let mut position = Position::new(self.0.opened.lineage);
        let Some(newest) = events.newest else { return Ok(position) };
        self.0.receipts.note(newest);
        let count = events.records.len();
        let touched = self.write(Stream::Events, events.records).await?;
        drop(receipt);
        for (partition, next) in touched {
            position.raise(Stream::Events, partition, next);
        }
        self.0.acknowledged.raise(Some(&member.workspace), &position);
        measure::accepted(count);
        Ok(position)
    }

    async fn write(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, Problem> {
        let appended = self.0.log.append(stream, records).await;
        self.0.writable.note(&appended);
        appended.map_err(|error| {
            measure::failed(&error);
            answer::not_appended(&error)
        })
    }

    /// Whether the log has any workspace.
    pub(crate) fn has_workspace(&self) -> bool {
        self.0.control.ask(|state| state.workspaces().next().is_some())
    }

    /// Appends a command, follows the log to it and answers what the fold decided there.
    pub(crate) async fn command(
        &self,
        workspace: Option<&Arc<str>>,
        command: &Command,
    ) -> Result<(Accepted, Position), Problem> {
        let ticket = self.0.control.ticket();
        let key = workspace.map_or_else(Bytes::new, |slug| Bytes::copy_from_slice(slug.as_bytes()));
        let touched = self.write(Stream::Control, vec![Record::new(key, encode(command))]).await?;
        let next = touched.first().map_or(0, |(_, next)| *next);
        let outcome = ticket.outcome(next.saturating_sub(1)).await.map_err(|error| answer::not_followed(&error))?;
        match outcome {
            Outcome::Accepted(accepted) => {
                let mut position = Position::new(self.0.opened.lineage);
                position.raise(Stream::Control, PARTITION, next);
                self.0.acknowledged.raise(workspace, &position);
                Ok((accepted, position))
            }
            Outcome::Refused(refusal) => Err(answer::refused(&refusal)),
            other => Err(unread(&other)),
        }
    }
}

/// What this process wrote and can't read itself is a fault of this process.
fn unread(outcome: &Outcome) -> Problem {
    Problem::internal(&std::io::Error::other(format!("a command of our own came to {outcome:?}")))
}
