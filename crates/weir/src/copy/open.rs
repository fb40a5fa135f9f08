//! Which logs, and having them alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use weir_event::Stream;
use weir_event_log::{ClientSettings, EventLog, LogReader, LogUrl, OpenError, OpenOptions};

use super::{Pace, Target, Unusable};
use crate::directory::Directory;

/// An append of so much keeps a log busy, and is a small part of what one lets wait.
const BYTES: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// A broker carries out what it has received of a killed process within this time, unless it stands still itself; what
/// comes later is found by the offsets.
const KAFKA_SETTLES: Duration = Duration::from_secs(2);

/// What is to be copied where.
pub(crate) struct Asked {
    pub(crate) from: LogUrl,
    pub(crate) to: LogUrl,
    /// Partitions of `events.v1` of the target; without: in a file as many as the source has, in Kafka what it has itself.
    pub(crate) partitions: Option<u32>,
    /// Whether topics may acknowledge what one broker alone holds.
    pub(crate) accept_weak_acks: bool,
}

/// Both logs, which nobody else on this machine has as long as this lives.
pub(crate) struct Opened {
    from: Arc<dyn EventLog>,
    to: Arc<dyn EventLog>,
    pub(crate) pace: Pace,
    _directories: Vec<Directory>,
}

impl Opened {
    /// Opens them. The target is made if it isn't there; the source has to be.
    ///
    /// # Errors
    /// What was asked for can't be ([`Unusable`], [`OpenError`]); a running Weir has one of them; there is no source.
    pub(crate) async fn open(asked: &Asked) -> anyhow::Result<Self> {
        check(asked)?;
        let mut directories = Vec::new();
        let mut taken = Vec::new();
        for path in [&asked.from, &asked.to].into_iter().filter_map(file) {
            let directory = parent(path);
            // Made first, so that it has a name that can be compared.
            if taken.iter().any(|other| Some(other) == directory.canonicalize().ok().as_ref()) {
                continue;
            }
            directories.push(Directory::take(directory).context("a log in use can't be copied")?);
            taken.push(directory.canonicalize().with_context(|| format!("can't find {}", directory.display()))?);
        }
        if same_file(&asked.from, &asked.to) {
            bail!(Unusable("--from and --to name one log".to_owned()));
        }
        let client = client()?;
        let options =
            OpenOptions { create: false, accept_weak_acks: true, client: client.clone(), ..OpenOptions::default() };
        let from = weir_event_log::open(&asked.from, options).await.context("the source can't be opened")?;
        let to =
            open_target(asked, client, from.partitions(Stream::Events)).await.context("the target can't be opened")?;
        let settle = matches!(asked.to, LogUrl::Kafka { .. }).then_some(KAFKA_SETTLES);
        Ok(Self { from, to, pace: Pace { bytes: BYTES, patience: PATIENCE, settle }, _directories: directories })
    }

    /// The log that is read.
    pub(crate) fn from(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.from) as Arc<dyn LogReader>
    }

    /// The log that is written.
    pub(crate) fn to(&self) -> Target {
        Target { appender: Arc::clone(&self.to) as _, reader: Arc::clone(&self.to) as _ }
    }

    /// Lets go of both.
    pub(crate) async fn close(self) {
        self.to.close().await;
        self.from.close().await;
    }
}

/// What can be told from the words alone, and that there is a source: opening it would make it.
fn check(asked: &Asked) -> anyhow::Result<()> {
    for (flag, url) in [("--from", &asked.from), ("--to", &asked.to)] {
        if matches!(url, LogUrl::Memory) {
            bail!(Unusable(format!("{flag}: memory: is gone with its process; name sqlite:PATH or kafka://…")));
        }
    }
    if asked.from == asked.to {
        bail!(Unusable("--from and --to name one log".to_owned()));
    }
    if asked.accept_weak_acks && !matches!(asked.to, LogUrl::Kafka { .. }) {
        bail!(Unusable("--accept-weak-acks: only a target of Kafka can acknowledge weakly; leave it out".to_owned()));
    }
    match file(&asked.from) {
        Some(path) if !path.is_file() => bail!("there is no log at {}", path.display()),
        _ => Ok(()),
    }
}

/// What variables say of the connection to Kafka, the same for both logs.
fn client() -> anyhow::Result<ClientSettings> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    ClientSettings::from_env(variables).map_err(|refused| Unusable(refused.to_string()).into())
}

async fn open_target(asked: &Asked, client: ClientSettings, source: u32) -> Result<Arc<dyn EventLog>, OpenError> {
    let made = match asked.to {
        // A file is made like the source; Kafka has a number of its own.
        LogUrl::Sqlite(_) | LogUrl::Memory => asked.partitions.or(Some(source)),
        LogUrl::Kafka { .. } => asked.partitions,
    };
    let accept_weak_acks = asked.accept_weak_acks;
    let options = OpenOptions { partitions: made, accept_weak_acks, client, ..OpenOptions::default() };
    match weir_event_log::open(&asked.to, options.clone()).await {
        // Of a log that is there already, only what was asked for in words must hold.
        Err(OpenError::PartitionsDiffer { .. }) if asked.partitions.is_none() => {
            weir_event_log::open(&asked.to, OpenOptions { partitions: None, ..options }).await
        }
        answer => answer,
    }
}

fn file(url: &LogUrl) -> Option<&Path> {
    match url {
        LogUrl::Sqlite(path) => Some(path),
        LogUrl::Memory | LogUrl::Kafka { .. } => None,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn same_file(a: &LogUrl, b: &LogUrl) -> bool {
    let real = |url| file(url).and_then(|path: &Path| path.canonicalize().ok());
    real(a).is_some_and(|a: PathBuf| real(b) == Some(a))
}
