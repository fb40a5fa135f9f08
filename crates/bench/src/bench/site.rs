//! A place for one run: a directory, and over Kafka and PostgreSQL topics and schemas of its own. All of it goes again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use clap::ValueEnum;
use tempfile::TempDir;

use super::Place;
use super::services::Services;

/// Where log and tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Two files in a directory
    Embedded,
    /// Kafka for the log, PostgreSQL for the tables
    Kafka,
}

/// What `--backend` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backends {
    /// Two files in a directory
    Embedded,
    /// Kafka for the log, PostgreSQL for the tables
    Kafka,
    /// One after the other
    Both,
}

impl Backends {
    pub(crate) fn each(self) -> &'static [Backend] {
        match self {
            Self::Embedded => &[Backend::Embedded],
            Self::Kafka => &[Backend::Kafka],
            Self::Both => &[Backend::Embedded, Backend::Kafka],
        }
    }
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "Kafka and PostgreSQL",
        }
    }
}

/// A place for one run.
pub(crate) struct Site {
    scratch: TempDir,
    pub(crate) remote: Option<Remote>,
}

/// Names on servers.
pub(crate) struct Remote {
    pub(crate) services: Arc<Services>,
    /// Prefix of the topics, name of the schema.
    pub(crate) name: String,
}

impl Site {
    /// An empty one.
    pub(crate) fn new(place: &Place, backend: Backend) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let remote = match backend {
            Backend::Embedded => None,
            Backend::Kafka => {
                let number = MADE.fetch_add(1, Ordering::Relaxed);
                let name = format!("bench{}x{number}", std::process::id());
                Some(Remote { services: place.services()?, name })
            }
        };
        Ok(Self { scratch: place.scratch()?, remote })
    }

    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The URL of the log, where it isn't in the directory.
    pub(crate) fn log(&self) -> Option<String> {
        self.remote.as_ref().map(|remote| remote.services.log(&remote.name))
    }

    /// The URL of the store, where it isn't in the directory.
    pub(crate) fn store(&self) -> Option<String> {
        self.remote.as_ref().map(|remote| remote.services.store(&remote.name))
    }

    /// What the servers have spent so far.
    pub(crate) fn servers_spent(&self) -> super::services::ServersSpent {
        self.remote.as_ref().map(|remote| remote.services.spent()).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(Remote { services, name }) = &self.remote
            && let Err(error) = services.forget(name)
        {
            eprintln!("weir-bench: {name} is left behind: {error:#}");
        }
    }
}
