//! The first start: what the log is, and the first workspace.
//!
//! Every step is idempotent: it reads the stream to its end, appends only what isn't there, and lets the fold decide
//! whose record counts. So a crash at any point, or a second process that does the same, is mended by doing it again.

use uuid::Uuid;
use weir_control::{Command, KeyId, LogOpened, Misfit, NewKey, Role, State, WorkspaceCreated, encode, valid_slug};
use weir_event::{Clock, Position, Stream, Timestamp, limits};
use weir_event_log::{AppendError, EventLog, LogReader, ReadError, Record, to_end};

use crate::control::read_state;
use crate::definition::built_in;

/// Appends whose outcome is unknown are looked up and repeated, but not for ever.
const ATTEMPTS: usize = 3;

/// What a log is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenSettings {
    /// For how long an id sent again is a repeat, in microseconds. `None` takes what the log has, 28 days if it is new.
    pub dedup_window_micros: Option<i64>,
}

/// The log is not what it should be, or can't be made so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The log can't be read.
    #[error("the log can't be read")]
    Read(#[from] ReadError),
    /// The log can't be written.
    #[error("the log can't be written")]
    Append(#[from] AppendError),
    /// It isn't what this process takes it for.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The window of repeats is fixed when the log is made.
    #[error("the log was made with a dedup window of {made} µs, {asked} µs were asked for; leave the option out")]
    DedupWindow {
        /// What the log has.
        made: i64,
        /// What was asked for.
        asked: i64,
    },
    /// A window of repeats can't be negative.
    #[error("a dedup window of {asked} µs can't be; it has at least 0")]
    DedupWindowNegative {
        /// What was asked for.
        asked: i64,
    },
    /// A slug has 1 to 64 characters out of a-z, 0-9 and `-`.
    #[error("`{0}` is no slug: a slug has 1 to 64 characters out of a-z, 0-9 and `-`")]
    Slug(String),
    /// The fold decided against the workspace.
    #[error("the workspace can't be made: {0}")]
    Refused(String),
}

impl BootstrapError {
    /// Whether the configuration doesn't fit the log: a human has to change one of them, and the program exits with 64.
    pub const fn is_configuration(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Append(_) | Self::Refused(_))
    }

    /// Whether doing it again may help: the log doesn't answer at the moment, or doesn't say what it did.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Read(ReadError::Io { .. }) | Self::Append(_))
    }
}

/// The hashes ([`weir_control::key_hash`]) of a workspace's first keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstKeys {
    /// Of the key that posts.
    pub write: [u8; 32],
    /// Of the key that queries.
    pub read: [u8; 32],
    /// Of the key that does both, and changes definitions and keys.
    pub admin: [u8; 32],
    /// Of the deployment's key, if this is its first workspace.
    pub operator: Option<[u8; 32]>,
}

/// A workspace that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its number.
    pub no: u64,
    /// Whether it was made now; else it was there before, with keys of its own.
    pub created: bool,
}

/// Makes sure that the log says what it is, and that this is what was asked for: the first step of every start.
///
/// # Errors
/// See [`BootstrapError`].
pub async fn open_log(log: &dyn EventLog, settings: &OpenSettings, clock: &Clock) -> Result<LogOpened, BootstrapError> {
    let found = log.partitions(Stream::Events);
    if let Some(asked) = settings.dedup_window_micros.filter(|asked| *asked < 0) {
        return Err(BootstrapError::DedupWindowNegative { asked });
    }
    let first = Command::LogOpened(LogOpened {
        lineage: random_id(),
        events_partitions: found,
        dedup_window_micros: settings.dedup_window_micros.unwrap_or(limits::DEDUP_WINDOW_MICROS),
        test_clock: clock.is_test(),
        at: clock.now(),
        copied_from: None,
    });
    let opened = until_there(log, &first, |state| state.log().cloned()).await?;
    let opened = opened.ok_or_else(|| BootstrapError::Refused("the log has no first record".to_owned()))?;
    opened.fits(&to_end(log, Position::new(opened.lineage)).await?, clock.is_test())?;
    match settings.dedup_window_micros {
        Some(asked) if asked != opened.dedup_window_micros => {
            Err(BootstrapError::DedupWindow { made: opened.dedup_window_micros, asked })
        }
        _ => Ok(opened),
    }
}

/// Whether nobody has said yet what the log is.
///
/// # Errors
/// The log can't be read.
pub async fn is_empty(log: &dyn LogReader) -> Result<bool, ReadError> {
    Ok(read_state(log).await?.log().is_none())
}

/// Whether there is any workspace: without one this is a first start.
///
/// # Errors
/// The log can't be read.
pub async fn has_workspace(log: &dyn LogReader) -> Result<bool, ReadError> {
    Ok(read_state(log).await?.workspaces().next().is_some())
}

/// Whether the log knows a key by its hash.
///
/// # Errors
/// The log can't be read.
pub async fn knows_key(log: &dyn LogReader, hash: &[u8; 32]) -> Result<bool, ReadError> {
    Ok(read_state(log).await?.authenticate(hash).is_some())
}

/// Makes the workspace `slug` with its keys and the built-in definitions, unless it is there. `by` says who asked.
///
/// # Errors
/// See [`BootstrapError`]; among others the fold refuses keys that were used before.
pub async fn make_workspace(
    log: &dyn EventLog,
    slug: &str,
    keys: &FirstKeys,
    by: &str,
    clock: &Clock,
) -> Result<Made, BootstrapError> {
    if !valid_slug(slug) {
        return Err(BootstrapError::Slug(slug.to_owned()));
    }
    let before = read_state(log).await?;
    if let Some(workspace) = before.workspace(slug) {
        return Ok(Made { no: workspace.no, created: false });
    }
    let command = workspace_created(slug, keys, by, clock.now());
    let Command::WorkspaceCreated(made) = &command else { return Err(BootstrapError::Slug(slug.to_owned())) };
    let there =
        until_there(log, &command, |state| state.workspace(slug).map(|found| (found.no, found.namespace))).await?;
    match there {
        // Somebody else's record may have come first.
        Some((no, namespace)) => Ok(Made { no, created: namespace == made.namespace }),
        None => Err(BootstrapError::Refused("its keys are in use, or the log has not been opened".to_owned())),
    }
}

/// Appends `command` until `find` finds what it should bring about, or it is known to have been refused.
async fn until_there<T>(
    log: &dyn EventLog,
    command: &Command,
    find: impl Fn(&State) -> Option<T>,
) -> Result<Option<T>, BootstrapError> {
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        if let Some(found) = find(&read_state(log).await?) {
            return Ok(Some(found));
        }
        match log.append(Stream::Control, vec![Record::new("", encode(command))]).await {
            Ok(_) => return Ok(find(&read_state(log).await?)),
            Err(error) => failed = Some(error),
        }
    }
    match (find(&read_state(log).await?), failed) {
        (None, Some(error)) => Err(error.into()),
        (found, _) => Ok(found),
    }
}

/// The record that makes a workspace.
pub(crate) fn workspace_created(slug: &str, keys: &FirstKeys, by: &str, at: Timestamp) -> Command {
    let (segments, scores) = built_in();
    let given = [
        (Role::Write, Some(keys.write)),
        (Role::Read, Some(keys.read)),
        (Role::Admin, Some(keys.admin)),
        (Role::Operator, keys.operator),
    ];
    let key = |(role, sha256): (Role, Option<[u8; 32]>)| {
        Some(NewKey { id: KeyId(random_id()), role, name: Some("first".to_owned()), sha256: sha256? })
    };
    Command::WorkspaceCreated(WorkspaceCreated {
        slug: slug.to_owned(),
        namespace: random_id(),
        keys: given.into_iter().filter_map(key).collect(),
        segments,
        scores,
        by: by.to_owned(),
        at,
    })
}

/// A UUID of version 4.
pub(crate) fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
