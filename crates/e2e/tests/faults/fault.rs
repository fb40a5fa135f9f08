//! What happens to a deployment under load.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::caller::eventually_within;
use crate::fleet::Fleet;
use crate::kafka;
use crate::proxy::{Proxy, Trap};
use crate::services::Services;

/// How long the others may take to go on where a projector that stands still left off.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(15);
/// For how long a projector stands still at least: longer than the group waits for it.
const STANDSTILL: Duration = Duration::from_secs(8);
/// How long a woken projector may take to notice, and to be one of them again.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    KillIngest,
    KillProjector,
    KillQuery,
    /// A projector stands still, wherever it is, and goes on under load.
    Standstill,
    /// A projector stands still between fence and commit, and goes on when all is done.
    StandstillBeforeCommit,
    BrokerRestart,
    BrokerKill,
    /// PostgreSQL ends its sessions, then itself.
    DatabaseFast,
    /// PostgreSQL ends without a word, and recovers.
    DatabaseImmediate,
    DatabaseKill,
    /// Connections of projectors to PostgreSQL are cut, again and again.
    Cuts,
    /// A third projector joins and leaves.
    Rebalances,
    /// Records that ingest would not have written, some as large as the topic takes.
    Poison,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::KillIngest,
        Self::KillProjector,
        Self::KillQuery,
        Self::Standstill,
        Self::StandstillBeforeCommit,
        Self::BrokerRestart,
        Self::BrokerKill,
        Self::DatabaseFast,
        Self::DatabaseImmediate,
        Self::DatabaseKill,
        Self::Cuts,
        Self::Rebalances,
        Self::Poison,
    ];

    /// Lets it happen, and sees to it that it is over; what was killed is started later.
    pub async fn strike(self, fleet: &mut Fleet, services: &Services, rng: &mut StdRng) -> Result<()> {
        match self {
            Self::KillIngest => {
                let n = rng.random_range(0..fleet.ingests.len());
                fleet.ingests[n].kill()
            }
            Self::KillProjector => {
                let n = rng.random_range(0..fleet.projectors.len());
                fleet.projectors[n].kill()
            }
            Self::KillQuery => fleet.query.kill(),
            Self::Standstill => standstill(fleet, rng).await,
            Self::StandstillBeforeCommit => standstill_before_commit(fleet).await,
            Self::BrokerRestart => away(services, "kafka", "stop", rng).await,
            Self::BrokerKill => away(services, "kafka", "kill", rng).await,
            Self::DatabaseFast => away(services, "postgres", "stop", rng).await,
            Self::DatabaseImmediate => away(services, "postgres", "immediate", rng).await,
            Self::DatabaseKill => away(services, "postgres", "kill", rng).await,
            Self::Cuts => cuts(fleet, rng).await,
            Self::Rebalances => rebalances(fleet, rng).await,
            Self::Poison => poison(fleet, rng),
        }
    }
}

async fn away(services: &Services, server: &str, how: &str, rng: &mut StdRng) -> Result<()> {
    services.steer(server, how)?;
    sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
    services.steer(server, "start")
}

/// A projector that has something to do.
pub async fn busy_projector(fleet: &Fleet, rng: Option<&mut StdRng>) -> Result<usize> {
    let first = rng.map_or(0, |rng| rng.random_range(0..fleet.projectors.len()));
    eventually_within(TAKEN_OVER_WITHIN, "a projector owns partitions", async || {
        let count = fleet.projectors.len();
        for n in (first..first + count).map(|n| n % count) {
            if fleet.projectors[n].metric("weir_log_partitions_owned").await? > 0.0 {
                return Ok(Some(n));
            }
        }
        Ok(None)
    })
    .await
}

/// The others go on where the one left off that stands still since then. Load goes on meanwhile.
pub async fn taken_over(fleet: &Fleet, since: Instant) -> Result<()> {
    // What was posted after it stopped, too: the tables have it only by another's hand.
    sleep(Duration::from_secs(1)).await;
    let ends = tokio::task::block_in_place(|| kafka::ends(&fleet.place))?;
    let left = TAKEN_OVER_WITHIN.saturating_sub(since.elapsed());
    fleet.reached(left, &ends).await.context("a projector stands still, and nobody takes over")?;
    eprintln!("    taken over within {:?}", since.elapsed());
    Ok(())
}

async fn standstill(fleet: &mut Fleet, rng: &mut StdRng) -> Result<()> {
    let n = busy_projector(fleet, Some(rng)).await?;
    let stopped = Stopped::now(fleet, n)?;
    taken_over(fleet, stopped.since).await?;
    stopped.wake(fleet).await
}

/// The transaction has passed its fence when the process stops.
async fn standstill_before_commit(fleet: &mut Fleet) -> Result<()> {
    let n = busy_projector(fleet, None).await?;
    let stopped = stop_before_commit(fleet, n).await?;
    taken_over(fleet, stopped.since).await?;
    stopped.wake(fleet).await
}

/// Stops the projector between a fence and its commit.
pub async fn stop_before_commit(fleet: &Fleet, n: usize) -> Result<Stopped> {
    keep_back(fleet, n, Trap::Commit, 1).await?;
    Stopped::now(fleet, n)
}

/// Keeps such statements of the projector back, until it is woken; returns when so many are.
pub async fn keep_back(fleet: &Fleet, n: usize, trap: Trap, count: usize) -> Result<()> {
    let proxy = fleet.projectors[n].proxy.as_ref().context("a projector without proxy")?;
    tokio::time::timeout(TAKEN_OVER_WITHIN, proxy.trap(trap, count)).await.context("nothing is written")?
}

/// A projector that stands still.
pub struct Stopped {
    n: usize,
    pub since: Instant,
    /// How much it had said.
    said: usize,
}

impl Stopped {
    pub fn now(fleet: &Fleet, n: usize) -> Result<Self> {
        let projector = &fleet.projectors[n];
        let said = projector.said()?.len();
        projector.signal("STOP")?;
        Ok(Self { n, since: Instant::now(), said })
    }

    /// Lets it go on once it was given up, and waits until it has noticed, and has done with what it had begun.
    pub async fn wake(self, fleet: &Fleet) -> Result<()> {
        sleep(STANDSTILL.saturating_sub(self.since.elapsed())).await;
        let projector = &fleet.projectors[self.n];
        projector.proxy.iter().for_each(Proxy::release);
        projector.signal("CONT")?;
        eventually_within(BACK_WITHIN, "the woken projector steps down", async || {
            let said = projector.said()?;
            let mut news = said[self.said..].lines();
            Ok(news.any(|line| line.contains("came=false") && line.contains("owned=0")).then_some(()))
        })
        .await?;
        let Some(proxy) = &projector.proxy else { return Ok(()) };
        tokio::time::timeout(BACK_WITHIN, proxy.ended()).await.context("what it had begun doesn't end")?
    }
}

async fn cuts(fleet: &mut Fleet, rng: &mut StdRng) -> Result<()> {
    for _ in 0..12 {
        sleep(Duration::from_millis(rng.random_range(20..600))).await;
        let n = rng.random_range(0..fleet.projectors.len());
        let proxy = fleet.projectors[n].proxy.as_ref().context("a projector without proxy")?;
        proxy.close(true);
        if rng.random_bool(0.3) {
            sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
        }
        proxy.close(false);
    }
    Ok(())
}

async fn rebalances(fleet: &mut Fleet, rng: &mut StdRng) -> Result<()> {
    for _ in 0..3 {
        fleet.add_projector().await?;
        sleep(Duration::from_millis(rng.random_range(200..3_000))).await;
        let mut guest = fleet.projectors.pop().context("nobody joined")?;
        // Politely, or not.
        if rng.random_bool(0.7) {
            guest.terminate()?
        } else {
            guest.kill()?
        }
        sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
    }
    Ok(())
}

fn poison(fleet: &Fleet, rng: &mut StdRng) -> Result<()> {
    let partitions = i32::try_from(kafka::ends(&fleet.place)?.len())?;
    let (id, now) = (uuid::Uuid::from_u128(rng.random()), "2026-01-01T00:00:00Z");
    let (key, good) = (
        format!("default/{id}"),
        format!(
            r#"{{"specversion":"1.0","id":"poison","source":"/default","type":"LOGIN","subject":"{id}","time":"{now}","receivedtime":"{now}","data":{{}}}}"#
        ),
    );
    let texts = [
        "no JSON at all".to_owned(),
        good.replace("\"receivedtime\"", "\"received\""),
        good.replace("\"data\":{", "\"data\":[{").replace("}}", "}]}"),
        good.replace("\"source\":\"/default\"", "\"source\":\"/nobody\""),
        good.replacen("\"specversion\":\"1.0\"", "\"specversion\":\"9.9\"", 1),
        // Oversized: more than ingest takes by far, in no format that it would write.
        "[".repeat(900_000),
    ];
    let bytes = texts.into_iter().map(String::into_bytes).chain([vec![0xff, 0xfe, 0], Vec::new()]);
    let records: Vec<_> = bytes.map(|value| (rng.random_range(0..partitions), key.clone(), value)).collect();
    ensure!(records.len() == 8, "poison is missing");
    tokio::task::block_in_place(|| kafka::put(&fleet.place, &records))
}
