//! The checker finds what it is there for, also with many processes: each fault is ordered, and found.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;
use weir_e2e::history::Seeded;

use crate::caller::eventually;
use crate::check::check;
use crate::fault::{busy_projector, stop_at, taken_over};
use crate::fleet::{Fleet, Size};
use crate::load::{Load, Shared, define, lock};
use crate::place::Place;
use crate::proxy::Trap;
use crate::services::{Services, alone};

/// Load while something happens that Weir copes with; what the checker says then.
async fn shop_under(
    fault: Option<&'static str>,
    services: &Services,
    projectors: usize,
    what_happens: impl AsyncFnOnce(&mut Fleet) -> Result<()>,
) -> Result<Result<()>> {
    let mut rng = Seeded::chosen(301);
    let size = Size { ingests: 1, projectors, partitions: 4, sabotage: fault };
    let mut fleet = Fleet::open(Place::new(services.servers.clone()), &size).await?;
    define(&fleet.shop).await?;
    let ledger = Shared::default();
    let load = Load::start(&fleet.shop, &ledger, &mut rng, "s", false);
    sleep(Duration::from_secs(1)).await;
    what_happens(&mut fleet).await?;
    load.stop().await?;
    let ledger = std::mem::take(&mut *lock(&ledger));
    let found = looked_at(&mut fleet, &ledger, &mut rng).await;
    // A projector that found the fault by itself has ended with an error.
    fleet.discard()?;
    Ok(found)
}

async fn looked_at(fleet: &mut Fleet, ledger: &crate::load::Ledger, rng: &mut Seeded) -> Result<()> {
    fleet.mend()?;
    fleet.ready().await?;
    fleet.caught_up().await?;
    check(fleet, ledger, rng).await.map(drop)
}

/// Found with the fault, and not without it.
async fn is_found(
    fault: &'static str,
    projectors: usize,
    what_happens: impl AsyncFn(&mut Fleet) -> Result<()>,
) -> Result<()> {
    let services = alone().await?;
    shop_under(None, &services, projectors, &what_happens).await?.context("without a fault")?;
    match shop_under(Some(fault), &services, projectors, &what_happens).await? {
        Ok(()) => anyhow::bail!("{fault} was not found"),
        Err(found) => eprintln!("{fault} is found: {found:#}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_before_its_rows_is_found() -> Result<()> {
    is_found("early", 1, async |fleet| {
        for _ in 0..3 {
            sleep(Duration::from_millis(800)).await;
            fleet.projectors[0].kill()?;
            fleet.mend()?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_fence_is_found() -> Result<()> {
    is_found("unfenced", 2, async |fleet| {
        let n = busy_projector(fleet, None).await?;
        // Of two partitions, one more than there are timelines: so a membership is among them.
        let stopped = stop_at(fleet, n, Trap::Begin, 3).await?;
        taken_over(fleet, stopped.since).await?;
        stopped.wake(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_outlives_its_partition_is_found() -> Result<()> {
    is_found("stale", 1, async |fleet| {
        let guest = fleet.add_projector().await?;
        eventually("partitions are shared", async || {
            Ok((fleet.projectors[guest].metric("weir_log_partitions_owned").await? > 0.0).then_some(()))
        })
        .await?;
        sleep(Duration::from_secs(3)).await;
        fleet.projectors.pop().context("nobody joined")?.terminate()?;
        sleep(Duration::from_secs(3)).await;
        Ok(())
    })
    .await
}
