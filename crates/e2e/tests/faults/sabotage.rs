//! The checker finds what it is there for, also with many processes: each fault is ordered, and found.
//!
//! Each test brings about what the fault needs and waits until it is there. Nothing hangs on how long anything takes.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weir_e2e::history::Seeded;

use crate::caller::eventually;
use crate::check::check;
use crate::checker::Mismatch;
use crate::fault::{Stopped, busy_projector, keep_back, taken_over};
use crate::fleet::{Damaged, Fleet, Size};
use crate::load::{Load, Shared, USERS, define, lock};
use crate::place::{Place, Servers};
use crate::proxy::Trap;
use crate::services::alone;

const PARTITIONS: usize = 4;
/// As many profiles as reach every partition.
const NEWCOMERS: usize = 100;

/// A deployment under load.
struct Scene {
    fleet: Fleet,
    ledger: Shared,
    rng: Seeded,
    load: Option<Load>,
}

impl Scene {
    async fn open(fault: Option<&'static str>, servers: Servers, projectors: usize) -> Result<Self> {
        let rng = Seeded::chosen(301);
        let size = Size { ingests: 1, projectors, partitions: PARTITIONS, sabotage: fault };
        let fleet = Fleet::open(Place::new(servers), &size).await?;
        define(&fleet.shop).await?;
        let mut scene = Self { fleet, ledger: Shared::default(), rng, load: None };
        // While nothing is written, so that a fault is of no account here.
        for n in 0..projectors {
            scene.owns(n, PARTITIONS / projectors..=PARTITIONS / projectors).await?;
        }
        scene.load = Some(Load::start(&scene.fleet.shop, &scene.ledger, &mut scene.rng, "s", false));
        scene.accepted(300).await?;
        Ok(scene)
    }

    /// Waits until so many more events were accepted.
    async fn accepted(&mut self, more: usize) -> Result<()> {
        let goal = lock(&self.ledger).acknowledged.len() + more;
        eventually("events are accepted", async || Ok((lock(&self.ledger).acknowledged.len() >= goal).then_some(())))
            .await
    }

    /// Waits until a projector owns so many partitions.
    async fn owns(&self, n: usize, partitions: std::ops::RangeInclusive<usize>) -> Result<()> {
        eventually(&format!("projector {n} owns {partitions:?} partitions"), async || {
            let owned = self.fleet.projectors[n].metric("weir_log_partitions_owned").await?;
            Ok(partitions.clone().any(|count| count as f64 == owned).then_some(()))
        })
        .await
    }

    /// Waits until every membership of a projector stands, whatever is accepted.
    async fn folds_nothing(&mut self, n: usize) -> Result<()> {
        let mut before = None;
        loop {
            let folded = self.fleet.projectors[n].metric("weir_projector_records_total").await?;
            if before == Some(folded) {
                return Ok(());
            }
            before = Some(folded);
            // Some for each partition.
            self.accepted(200).await?;
        }
    }

    /// No more load.
    async fn quiet(&mut self) -> Result<()> {
        match self.load.take() {
            Some(load) => load.stop().await,
            None => Ok(()),
        }
    }

    /// One event of each user that the load has.
    async fn everybody(&mut self) -> Result<()> {
        self.each("all", (0..USERS).map(|n| n.to_string()).collect()).await
    }

    /// Moves every position on by people who weren't there before, so that nothing that is wrong is mended by the way.
    async fn newcomers(&mut self) -> Result<()> {
        self.each("new", (0..NEWCOMERS).map(|n| format!("newcomer-{n}")).collect()).await
    }

    async fn each(&mut self, label: &str, users: Vec<String>) -> Result<()> {
        let item = |user: &String| json!({"name": "LOGIN", "user_id": user, "id": format!("{label}-{user}")});
        let items: Vec<Value> = users.iter().map(item).collect();
        let answer = self.fleet.shop.admin.post("/api/events", json!(items)).await?;
        ensure!(answer.expect(200)?["accepted"] == json!(users.len()), "{}", answer.text);
        let mut ledger = lock(&self.ledger);
        for id in items.iter().filter_map(|item| item["id"].as_str()) {
            ledger.sent.insert(id.to_owned());
            ledger.acknowledged.insert(id.to_owned());
        }
        Ok(())
    }

    /// What the checker says.
    async fn looked_at(&mut self) -> Result<()> {
        self.fleet.mend()?;
        self.fleet.ready().await?;
        self.fleet.caught_up().await?;
        let ledger = std::mem::take(&mut *lock(&self.ledger));
        check(&self.fleet, &ledger, &mut self.rng).await.map(drop)
    }
}

/// Load while something happens that Weir copes with; what the checker says then.
async fn shop_under(
    fault: Option<&'static str>,
    servers: &Servers,
    projectors: usize,
    what_happens: impl AsyncFn(&mut Scene) -> Result<()>,
) -> Result<Result<()>> {
    let mut scene = Scene::open(fault, servers.clone(), projectors).await?;
    what_happens(&mut scene).await?;
    scene.quiet().await?;
    scene.newcomers().await?;
    let found = scene.looked_at().await;
    scene.fleet.discard()?;
    Ok(found)
}

/// Found with the fault, and not without it; and by a look at what Weir says, not by something that broke on the way.
async fn is_found(
    fault: &'static str,
    projectors: usize,
    what_happens: impl AsyncFn(&mut Scene) -> Result<()>,
) -> Result<()> {
    let services = alone().await?;
    let (without, with) = tokio::join!(
        shop_under(None, &services.servers, projectors, &what_happens),
        shop_under(Some(fault), &services.servers, projectors, &what_happens)
    );
    without.and_then(|found| found).context("without a fault")?;
    let found = with.with_context(|| format!("{fault} broke the test"))?;
    let Err(found) = found else { anyhow::bail!("{fault} was not found") };
    if !found.is::<Mismatch>() && !found.is::<Damaged>() {
        return Err(found.context(format!("{fault} broke the test instead of being found")));
    }
    eprintln!("{fault} is found: {found:#}");
    Ok(())
}

/// Killed between the two: the position says that there are rows, and there aren't.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_before_its_rows_is_found() -> Result<()> {
    is_found("early", 1, async |scene| {
        let before = scene.fleet.positions().await?.context("no positions")?;
        eventually("the tables go on", async || {
            Ok(scene.fleet.positions().await?.filter(|positions| *positions != before))
        })
        .await?;
        scene.fleet.projectors[0].kill()?;
        scene.fleet.mend()
    })
    .await
}

/// Stopped before it passes the fence of a batch, and woken when another one has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_fence_is_found() -> Result<()> {
    is_found("unfenced", 2, async |scene| {
        let n = busy_projector(&scene.fleet, None).await?;
        keep_back(&scene.fleet, n, Trap::Begin, 1).await?;
        scene.folds_nothing(n).await?;
        let stopped = Stopped::now(&scene.fleet, n)?;
        taken_over(&scene.fleet, stopped.since).await?;
        scene.quiet().await?;
        // So each profile of the batch has more events than it.
        scene.everybody().await?;
        scene.fleet.caught_up().await?;
        stopped.wake(&scene.fleet).await
    })
    .await
}

/// A guest takes over some partitions, folds, and leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_outlives_its_partition_is_found() -> Result<()> {
    is_found("stale", 1, async |scene| {
        let guest = scene.fleet.add_projector().await?;
        scene.owns(guest, 1..=PARTITIONS).await?;
        scene.accepted(1_500).await?;
        scene.fleet.projectors.pop().context("nobody joined")?.terminate()?;
        scene.owns(0, PARTITIONS..=PARTITIONS).await?;
        scene.accepted(1_000).await
    })
    .await
}
