//! How soon what was accepted is visible: single events of profiles of their own, posted by a schedule beside the load,
//! each followed by a read of the profile's segments that names the event's position.
//!
//! The read waits in the server (`Weir-After`), and must say that the profile is a member. Reads in a loop until it is
//! were rejected: they are a load themselves, and as exact as their pause is short.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::http::{Connection, request};
use super::load::histogram;
use super::one_thread;
use super::server::Server;

/// Who posted a probe is in this segment for a week.
pub(crate) const SEGMENT: (&str, &str) = ("probed", r#"{"event":"probed","within":"7d"}"#);
/// Probes a second.
const PACE: f64 = 40.0;
/// A probe that isn't visible by then has failed.
const PATIENCE: u64 = 60;

/// Probes under way, on a thread of their own.
pub(crate) struct Probes(std::thread::JoinHandle<Result<Seen>>);

/// What the probes saw.
pub(crate) struct Seen {
    /// From the answer to the post until the answer to the read, µs.
    pub(crate) visible: Histogram<u64>,
    /// From when the post was due until its answer, µs.
    pub(crate) accepted: Histogram<u64>,
}

impl Seen {
    /// A quantile in milliseconds.
    pub(crate) fn visible_ms(&self, quantile: f64) -> f64 {
        self.visible.value_at_quantile(quantile) as f64 / 1e3
    }
}

#[derive(Clone)]
struct Target {
    at: SocketAddr,
    write: String,
    read: String,
    name: String,
}

impl Probes {
    /// Probes for so long. `name` tells the profiles of one use from those of another.
    pub(crate) fn start(server: &Server, name: &str, long: Duration) -> Self {
        let (write, read) = (server.keys.write.clone(), server.keys.read.clone());
        let target = Target { at: server.at, write, read, name: name.to_owned() };
        Self(std::thread::spawn(move || one_thread()?.block_on(probe(target, long))))
    }

    /// Waits for the last of them.
    pub(crate) fn finish(self) -> Result<Seen> {
        match self.0.join() {
            Ok(seen) => seen,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

async fn probe(target: Target, long: Duration) -> Result<Seen> {
    let (began, idle, mut tasks) = (Instant::now(), Arc::new(Mutex::new(Vec::new())), JoinSet::new());
    for number in 0..(long.as_secs_f64() * PACE) as u64 {
        let due = began + Duration::from_secs_f64(number as f64 / PACE);
        tokio::time::sleep_until(due.into()).await;
        let (target, idle) = (target.clone(), Arc::clone(&idle));
        tasks.spawn(async move {
            let known = idle.lock().await.pop();
            let mut connection = match known {
                Some(connection) => connection,
                None => Connection::open(target.at).await?,
            };
            let took = target.one(&mut connection, number, due).await?;
            idle.lock().await.push(connection);
            anyhow::Ok(took)
        });
    }
    let mut seen = Seen { visible: histogram()?, accepted: histogram()? };
    while let Some(ended) = tasks.join_next().await {
        let (accepted, visible) = ended??;
        seen.accepted.saturating_record(u64::try_from(accepted.as_micros())?);
        seen.visible.saturating_record(u64::try_from(visible.as_micros())?);
    }
    Ok(seen)
}

impl Target {
    async fn one(&self, connection: &mut Connection, number: u64, due: Instant) -> Result<(Duration, Duration)> {
        let profile = format!("/api/profiles/user:{}-{number}", self.name);
        let post = request("POST", &format!("{profile}/events"), &self.write, br#"{"name":"probed"}"#);
        let answer = connection.send(&post).await?;
        ensure!((200..300).contains(&answer.status), "a probe was answered {}", answer.status);
        let position = answer.header("weir-position").context("no Weir-Position")?.to_owned();
        let accepted = Instant::now();
        let read = format!(
            "GET {profile}/segments HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nweir-after: {position}\r\n\
             prefer: wait={PATIENCE}\r\n\r\n",
            self.read
        );
        let answer = connection.send(read.as_bytes()).await?;
        let text = String::from_utf8_lossy(answer.body);
        ensure!(answer.status == 200, "a probe was read as {}: {text}", answer.status);
        ensure!(text.contains(r#""slug":"probed""#), "a probe is visible, but not in its segment: {text}");
        Ok((accepted - due, accepted.elapsed()))
    }
}
