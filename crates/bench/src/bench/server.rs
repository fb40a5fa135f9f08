//! The program under measurement, as a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use weir_bench::process::{Spent, peak_memory};

use super::Place;
use super::http::Connection;

/// A running `weir up`.
pub(crate) struct Server {
    child: Child,
    pub(crate) at: SocketAddr,
    pub(crate) keys: Keys,
    pub(crate) data: PathBuf,
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

impl Server {
    /// Starts the program on `data` and a free port, and waits for its ready line.
    pub(crate) fn start(place: &Place, data: &Path, flags: &[&str]) -> Result<Self> {
        let log = data.with_extension("stderr");
        let errors = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(place.weir()?);
        command.arg("up").arg("--data").arg(data).args(["--listen", "127.0.0.1:0"]).args(flags).args(place.flags());
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let line = lines.next().transpose()?.unwrap_or_default();
        let ready_after = began.elapsed();
        let Some(at) = line.strip_prefix("ready: http://") else {
            child.kill().ok();
            child.wait().ok();
            bail!("weir did not become ready: {line} {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let at = at.parse().context("the ready line's address")?;
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let keys = std::fs::read(data.join("keys.json")).context("read keys.json")?;
        let keys = serde_json::from_slice(&keys).context("keys.json")?;
        Ok(Self { child, at, keys, data: data.to_owned(), ready_after })
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        Connection::open(self.at).await
    }

    /// What it has spent so far.
    pub(crate) fn spent(&self) -> Result<Spent> {
        Spent::of_process(self.child.id())
    }

    /// The most memory that it had resident so far, bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        peak_memory(self.child.id())
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
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the process id")?;
        kill_process(pid, Signal::TERM).context("ask weir to end")?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "weir ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
