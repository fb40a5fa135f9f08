//! Where log and tables are: in files of one process, or in Kafka and PostgreSQL.

use anyhow::{Context as _, Result};
use uuid::Uuid;

/// What `deploy/services.sh env` says where a test program finds none.
const NOT_SET: &str =
    "is not set: run deploy/test.sh, or `eval \"$(deploy/services.sh env)\"` after `deploy/services.sh up`";

/// The servers.
#[derive(Clone, Debug)]
pub struct Servers {
    /// HOST:PORT of Kafka.
    pub kafka: String,
    /// The URL of PostgreSQL.
    pub postgres: String,
}

impl Servers {
    /// Those that the environment names.
    pub fn of_tests() -> Result<Self> {
        let named = |name: &str| std::env::var(name).with_context(|| format!("{name} {NOT_SET}"));
        Ok(Self { kafka: named("WEIR_TEST_KAFKA")?, postgres: named("WEIR_TEST_POSTGRES")? })
    }
}

/// A log and tables of a test's own on the servers.
#[derive(Clone, Debug)]
pub struct Place {
    pub servers: Servers,
    /// Of the topics, and the schema of the tables.
    pub name: String,
}

impl Place {
    pub fn new(servers: Servers) -> Self {
        Self { servers, name: format!("e2e_{}", Uuid::new_v4().simple()) }
    }

    pub fn log(&self) -> String {
        format!("kafka://{}/{}", self.servers.kafka, self.name)
    }

    pub fn store(&self) -> String {
        self.store_at(&self.servers.postgres)
    }

    /// The tables, on another way to the server.
    pub fn store_at(&self, postgres: &str) -> String {
        format!("{postgres}?schema={}", self.name)
    }
}
