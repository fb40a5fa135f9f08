//! The programs under measurement, as processes of their own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use weir_bench::process::{Spent, peak_memory};

use super::Place;
use super::http::Connection;
use super::site::Site;

/// A program of ours that serves HTTP.
pub(crate) struct Process {
    child: Child,
    pub(crate) at: SocketAddr,
    /// From exec to the ready line.
    pub(crate) ready_after: Duration,
}

/// A running `weir up`, or the ingest service alone.
pub(crate) struct Server {
    process: Process,
    pub(crate) at: SocketAddr,
    pub(crate) keys: Keys,
    /// From exec to the ready line.
    pub(crate) ready_after: Duration,
}

/// The keys of the first workspace.
#[derive(Clone, Deserialize)]
pub(crate) struct Keys {
    pub(crate) write: String,
    pub(crate) read: String,
    pub(crate) admin: String,
    pub(crate) operator: String,
}

impl Process {
    /// Starts a program that is told to listen on a free port, and waits for its ready line.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let errors = File::create(log).with_context(|| format!("create {}", log.display()))?;
        // Variables for tests are not settings, and are refused as such.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            command.env_remove(name);
        }
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let line = lines.next().transpose()?.unwrap_or_default();
        let ready_after = began.elapsed();
        let Some(at) = line.strip_prefix("ready: http://") else {
            child.kill().ok();
            child.wait().ok();
            bail!("{command:?} did not become ready: {line} {}", std::fs::read_to_string(log).unwrap_or_default());
        };
        let at = at.parse().context("the ready line's address")?;
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, at, ready_after })
    }

    /// What it has spent so far.
    pub(crate) fn spent(&self) -> Result<Spent> {
        Spent::of_process(self.child.id())
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the process id")?;
        kill_process(pid, Signal::TERM).context("ask a program to end")?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the program ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts `weir up` on the site and a free port, and waits for its ready line.
    pub(crate) fn start(place: &Place, site: &Site, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(place.weir()?);
        command.arg("up").arg("--data").arg(site.data()).args(["--listen", "127.0.0.1:0"]).args(flags);
        if let (Some(log), Some(store)) = (site.log(), site.store()) {
            command.args(["--log", &log, "--store", &store]);
        }
        command.args(place.flags());
        Self::of(Process::start(command, &site.path().join("weir.stderr"))?, site)
    }

    /// Makes the log by `weir init` where there is none, and starts the ingest service on it.
    pub(crate) fn ingest(place: &Place, site: &Site) -> Result<Self> {
        let log = site.log().context("the ingest service alone needs a log on Kafka")?;
        let mut init = Command::new(place.weir()?);
        init.arg("init").arg("--data").arg(site.data()).args(["--log", &log]).args(place.flags());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            init.env_remove(name);
        }
        let output = init.stdin(Stdio::null()).output().context("run weir init")?;
        anyhow::ensure!(output.status.success(), "weir init: {}", String::from_utf8_lossy(&output.stderr));
        let mut command = Command::new(place.ingest()?);
        command.args(["--listen", "127.0.0.1:0", "--log", &log]);
        Self::of(Process::start(command, &site.path().join("ingest.stderr"))?, site)
    }

    fn of(process: Process, site: &Site) -> Result<Self> {
        let keys = std::fs::read(site.data().join("keys.json")).context("read keys.json")?;
        let keys = serde_json::from_slice(&keys).context("keys.json")?;
        Ok(Self { at: process.at, ready_after: process.ready_after, process, keys })
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        Connection::open(self.at).await
    }

    /// What it has spent so far.
    pub(crate) fn spent(&self) -> Result<Spent> {
        self.process.spent()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The most memory that it had resident so far, bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        peak_memory(self.process.child.id())
    }

    /// Puts a segment and waits until it is read.
    pub(crate) async fn put_segments(&self, segments: &[(&str, &str)]) -> Result<()> {
        let mut connection = self.connect().await?;
        for (slug, when) in segments {
            let body = json!({"when": serde_json::from_str::<serde_json::Value>(when)?});
            connection.ask("PUT", &format!("/api/segments/{slug}"), &self.keys.admin, Some(&body)).await?;
        }
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            let status = connection.ask("GET", "/api/status", &self.keys.operator, None).await?;
            let rows = status["segments"].as_array().map_or(&[][..], Vec::as_slice);
            let ready = |slug: &str| rows.iter().any(|row| row["slug"] == slug && row["state"] == "ready");
            if status["filling"].is_null() && segments.iter().all(|(slug, _)| ready(slug)) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < give_up, "the segments are not ready: {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many records are on the log and not yet in the tables; none when that is unknown.
    pub(crate) async fn lag(&self, connection: &mut Connection) -> Result<Option<u64>> {
        Ok(connection.ask("GET", "/api/status", &self.keys.operator, None).await?["lag"].as_u64())
    }

    /// Waits until everything acknowledged is in the tables.
    pub(crate) async fn settle(&self) -> Result<Duration> {
        let (began, mut connection) = (Instant::now(), self.connect().await?);
        while self.lag(&mut connection).await? != Some(0) {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(1_800), "the tables don't catch up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(began.elapsed())
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(self) -> Result<()> {
        self.process.stop()
    }
}
