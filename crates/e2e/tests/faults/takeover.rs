//! A projector that stood still, and what it does when it goes on: nothing of what others did meanwhile.

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Duration, sleep};
use weir_e2e::history::Seeded;

use crate::caller::eventually_within;
use crate::check::check;
use crate::fault::{busy_projector, stop_before_commit, taken_over};
use crate::fleet::{Fleet, Size};
use crate::kafka;
use crate::load::{Load, Shared, define, lock};
use crate::place::Place;
use crate::services::alone;

const AGAIN_A_MEMBER: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_woken_between_fence_and_commit_writes_nothing() -> Result<()> {
    let services = alone().await?;
    let mut rng = Seeded::chosen(201);
    let size = Size { ingests: 1, projectors: 2, partitions: 4, sabotage: None };
    let mut fleet = Fleet::open(Place::new(services.servers.clone()), &size).await?;
    define(&fleet.shop).await?;
    let ledger = Shared::default();
    let load = Load::start(&fleet.shop, &ledger, &mut rng, "t", false);
    sleep(Duration::from_secs(2)).await;
    let n = busy_projector(&fleet, None).await?;
    let stopped = stop_before_commit(&fleet, n).await?;
    taken_over(&fleet, stopped.since).await?;
    load.stop().await?;
    // By the other one alone; the metrics of one that stands still can't be read.
    fleet.caught_up().await?;

    stopped.wake(&fleet).await?;
    let woken = &fleet.projectors[n];
    eventually_within(AGAIN_A_MEMBER, "the woken projector is one of them again", async || {
        Ok((woken.metric("weir_log_partitions_owned").await? > 0.0).then_some(()))
    })
    .await?;
    ensure!(woken.metric("weir_projector_held_up_total").await? > 0.0, "the woken projector tried nothing");
    fleet.ready().await?;
    // Nobody was killed, so each record was written by somebody who counted it, and nobody counts what was refused.
    let mut written = 0.0;
    for projector in &fleet.projectors {
        written += projector.metric("weir_projector_records_total").await?;
    }
    let records: u64 = tokio::task::block_in_place(|| kafka::ends(&fleet.place))?.iter().sum();
    ensure!(written == records as f64, "{records} records were written {written} times");
    let ledger = std::mem::take(&mut *lock(&ledger));
    let checked = check(&fleet, &ledger, &mut rng).await.with_context(|| format!("seed {}", rng.seed()))?;
    eprintln!("{checked:?}");
    fleet.close()
}
