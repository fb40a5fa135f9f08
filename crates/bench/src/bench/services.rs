//! Kafka and PostgreSQL: those that the caller names, or servers of our own for as long as the program runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use weir_bench::process::{cpu_of, cpu_of_family};

use super::{Place, one_thread};

/// What the broker gets; its default is meant for tests.
const HEAP: &str = "-Xms1g -Xmx1g";
/// What PostgreSQL is set to where it is ours: its defaults are meant for small machines.
const POSTGRES: [&str; 4] = [
    "ALTER SYSTEM SET shared_buffers = '2GB'",
    "ALTER SYSTEM SET max_wal_size = '8GB'",
    "ALTER SYSTEM SET checkpoint_timeout = '15min'",
    "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'",
];

/// A Kafka and a PostgreSQL.
pub(crate) struct Services {
    /// `HOST:PORT`.
    pub(crate) kafka: String,
    /// A URL without a schema.
    pub(crate) postgres: String,
    own: Option<Own>,
}

/// Servers that were started here.
struct Own {
    script: PathBuf,
    dir: TempDir,
}

/// CPU seconds of the servers so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct ServersSpent {
    pub(crate) kafka: f64,
    pub(crate) postgres: f64,
}

impl Services {
    /// Takes the servers that the caller named, or starts some.
    pub(crate) fn start(place: &Place) -> Result<Arc<Self>> {
        match (&place.kafka, &place.postgres) {
            (Some(kafka), Some(postgres)) => {
                ensure!(!postgres.contains("schema="), "--postgres: leave `schema` out, each run makes its own");
                Ok(Arc::new(Self { kafka: kafka.clone(), postgres: postgres.clone(), own: None }))
            }
            (None, None) => Ok(Arc::new(Self::of_our_own(place)?)),
            _ => bail!("--kafka and --postgres go together; without both, servers are started by deploy/services.sh"),
        }
    }

    fn of_our_own(place: &Place) -> Result<Self> {
        let script = place.services_script()?;
        let own = Own { script, dir: place.scratch()? };
        eprintln!("starting Kafka and PostgreSQL in {}", own.dir.path().display());
        end_on_signal(&own)?;
        own.tell(&["up"])?;
        let said = own.tell(&["env"])?;
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            line.map(str::to_owned).with_context(|| format!("{name} in what services.sh says"))
        };
        let services =
            Self { kafka: value("WEIR_TEST_KAFKA")?, postgres: value("WEIR_TEST_POSTGRES")?, own: Some(own) };
        services.tune()?;
        Ok(services)
    }

    fn tune(&self) -> Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        one_thread()?.block_on(async {
            let mut connection = PgConnection::connect(&self.postgres).await.context("connect to PostgreSQL")?;
            for statement in POSTGRES {
                sqlx::raw_sql(statement).execute(&mut connection).await.context(statement)?;
            }
            anyhow::Ok(connection.close().await?)
        })?;
        own.tell(&["postgres", "stop"])?;
        own.tell(&["postgres", "start"])?;
        one_thread()?.block_on(async {
            let mut connection = PgConnection::connect(&self.postgres).await.context("connect to PostgreSQL")?;
            sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&mut connection).await?;
            anyhow::Ok(connection.close().await?)
        })
    }

    /// A connection to the database.
    pub(crate) async fn database(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.postgres).await.context("connect to PostgreSQL")
    }

    /// The URL of a log.
    pub(crate) fn log(&self, name: &str) -> String {
        format!("kafka://{}/{name}", self.kafka)
    }

    /// The URL of a store.
    pub(crate) fn store(&self, name: &str) -> String {
        let separator = if self.postgres.contains('?') { '&' } else { '?' };
        format!("{}{separator}schema={name}", self.postgres)
    }

    /// Removes the topics and schemas whose names begin with this one.
    pub(crate) fn forget(&self, name: &str) -> Result<()> {
        one_thread()?.block_on(async {
            let mut database = self.database().await?;
            let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname = $1 OR nspname LIKE $1 || '\\_%'";
            let schemas: Vec<String> = sqlx::query_scalar(schemas).bind(name).fetch_all(&mut database).await?;
            for schema in schemas {
                let drop = format!("DROP SCHEMA \"{schema}\" CASCADE");
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut database).await.context("drop a schema")?;
            }
            let topics = self.topics(name)?;
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            if !topics.is_empty() {
                let admin = AdminClient::<DefaultClientContext>::from_config(&self.client())?;
                admin.delete_topics(&topics, &AdminOptions::new()).await.context("delete topics")?;
            }
            Ok(())
        })
    }

    /// What every client of the broker is told.
    pub(crate) fn client(&self) -> ClientConfig {
        client(&self.kafka)
    }

    fn topics(&self, name: &str) -> Result<Vec<String>> {
        let asker: BaseConsumer = self.client().create()?;
        let all = asker.fetch_metadata(None, std::time::Duration::from_secs(10)).context("list topics")?;
        let prefix = format!("{name}.");
        Ok(all.topics().iter().map(|topic| topic.name().to_owned()).filter(|t| t.starts_with(&prefix)).collect())
    }

    /// What the servers have spent so far; nothing is known of servers that are not ours.
    pub(crate) fn spent(&self) -> ServersSpent {
        let Some(own) = &self.own else { return ServersSpent::default() };
        let pid = |path: PathBuf| {
            let text = std::fs::read_to_string(path).ok()?;
            text.lines().next()?.trim().parse::<u32>().ok()
        };
        let place = std::fs::read_to_string(own.dir.path().join("postgres/place")).unwrap_or_default();
        let postmaster = pid(Path::new(place.trim()).join("data/postmaster.pid"));
        ServersSpent {
            kafka: pid(own.dir.path().join("kafka/pid")).map_or(0.0, cpu_of),
            postgres: postmaster.map_or(0.0, cpu_of_family),
        }
    }

    /// One sentence on the servers.
    pub(crate) fn describe(&self) -> String {
        match &self.own {
            Some(_) => format!(
                "Kafka (one broker, {HEAP}, acknowledges from its page cache) and PostgreSQL (shared_buffers 2 GB, \
                 max_wal_size 8 GB, fsync on) on the same cores, started for this run"
            ),
            None => format!("Kafka at {}, PostgreSQL as --postgres names it", self.kafka),
        }
    }
}

/// What every client of the broker is told.
pub(crate) fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("broker.address.family", "v4").set("log.connection.close", "false");
    config
}

impl Own {
    /// Runs the script on our directory; answers what it printed.
    fn tell(&self, words: &[&str]) -> Result<String> {
        let mut command = script(&self.script);
        command.args(words).arg(self.dir.path()).env("KAFKA_HEAP_OPTS", HEAP);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("run services.sh")?;
        ensure!(output.status.success(), "services.sh {} failed", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn script(path: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(path);
    command
}

/// The servers have a session of their own: Ctrl-C would leave them behind.
fn end_on_signal(own: &Own) -> Result<()> {
    let (path, dir) = (own.script.clone(), own.dir.path().to_owned());
    let runtime = one_thread()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            script(&path).arg("down").arg(&dir).status().ok();
            std::process::exit(130);
        }
    })?;
    Ok(())
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = self.tell(&["down"]) {
            eprintln!("weir-bench: {error:#}");
        }
    }
}
