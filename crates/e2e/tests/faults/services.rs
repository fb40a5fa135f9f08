//! A Kafka and a PostgreSQL for the tests of this program alone, which stop and kill them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{Mutex, MutexGuard};

use crate::place::Servers;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.sh");

/// The servers, for one test at a time.
pub struct Services {
    dir: PathBuf,
    pub servers: Servers,
    /// Waits for the end of this program, and then stops the servers.
    _guard: Child,
}

/// Starts them with the first test.
pub async fn alone() -> Result<MutexGuard<'static, Services>> {
    static SERVICES: OnceLock<Result<Mutex<Services>, String>> = OnceLock::new();
    let started = tokio::task::block_in_place(|| SERVICES.get_or_init(|| Ok(Mutex::new(up().map_err(told)?))));
    match started {
        Ok(services) => Ok(services.lock().await),
        Err(error) => anyhow::bail!("{error}"),
    }
}

fn told(error: anyhow::Error) -> String {
    format!("{error:#}")
}

fn up() -> Result<Services> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-services-{}", std::process::id()));
    // A group of its own, so that what ends the tests from the terminal doesn't end it.
    let guard = Command::new("setsid")
        .args(["sh", "-c", "cat >/dev/null; exec \"$0\" down \"$1\"", SCRIPT])
        .arg(&dir)
        .stdin(Stdio::piped())
        .spawn()
        .context("can't start what stops the servers")?;
    script(&dir, &["up"])?;
    let environment = script(&dir, &["env"])?;
    let named = |name: &str| {
        let line = environment.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
        line.map(str::to_owned).with_context(|| format!("no {name} in {environment}"))
    };
    let servers = Servers { kafka: named("WEIR_TEST_KAFKA")?, postgres: named("WEIR_TEST_POSTGRES")? };
    Ok(Services { dir, servers, _guard: guard })
}

fn script(dir: &Path, command: &[&str]) -> Result<String> {
    let output = Command::new(SCRIPT).args(command).arg(dir).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

impl Services {
    /// Such as `kafka stop`.
    pub fn steer(&self, server: &str, what: &str) -> Result<()> {
        tokio::task::block_in_place(|| script(&self.dir, &[server, what]).map(drop))
    }
}
