//! Rounds of faults under load, by seed: a short form, and a long one for `deploy/chaos.sh`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rand::Rng as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use tokio::time::sleep;
use weir_e2e::history::Seeded;

use crate::check::{Checked, check};
use crate::fault::Fault;
use crate::fleet::{Fleet, Size};
use crate::load::{Load, Shared, define, lock};
use crate::place::Place;
use crate::services::{Services, alone};

/// Rounds on one log: a longer one is no harder for Weir, but for the oracle.
const ROUNDS_OF_A_LOG: usize = 7;

/// A deployment, and what its clients know.
struct Campaign<'a> {
    services: &'a Services,
    fleet: Fleet,
    ledger: Shared,
    seed: u64,
}

impl<'a> Campaign<'a> {
    async fn open(services: &'a Services, seed: u64) -> Result<Self> {
        let mut rng = Seeded::new(seed);
        let partitions = [1, 4, 5][rng.random_range(0..3)];
        let size = Size { ingests: 2, projectors: 2, partitions, sabotage: None };
        let fleet = Fleet::open(Place::new(services.servers.clone()), &size).await?;
        let campaign = Self { services, fleet, ledger: Shared::default(), seed };
        define(&campaign.fleet.shop).await?;
        Ok(campaign)
    }

    /// Load, the faults one after the other, and the look at everything.
    async fn round(&mut self, n: usize, faults: &[Fault]) -> Result<Checked> {
        // Of the round's own: how much the one before it drew depends on what was there to look at.
        let mut rng = Seeded::new(self.seed.wrapping_add(n as u64 * 1_000_003));
        let (begun, administer) = (Instant::now(), rng.random_bool(0.5));
        let load = Load::start(&self.fleet.shop, &self.ledger, &mut rng, &format!("r{n}"), administer);
        for fault in faults {
            sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
            fault.strike(&mut self.fleet, self.services, &mut rng).await.with_context(|| format!("{fault:?}"))?;
            sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
            self.fleet.mend()?;
        }
        sleep(Duration::from_millis(500)).await;
        load.stop().await?;
        let (struck, settling) = (begun.elapsed(), Instant::now());
        self.fleet.ready().await?;
        self.fleet.caught_up().await?;
        let defined = lock(&self.ledger).defined.clone();
        match defined {
            Some(position) => self.fleet.shop.filled_after(&position).await?,
            None => self.fleet.shop.filled().await?,
        }
        let (settled, checking) = (settling.elapsed(), Instant::now());
        let ledger = self.ledger.clone();
        let ledger = std::mem::take(&mut *lock(&ledger));
        let checked = check(&self.fleet, &ledger, &mut rng).await;
        eprintln!(
            "  round {n} {faults:?}{}: {struck:.1?} of load, settled in {settled:.1?}, checked in {:.1?}; answers {:?}",
            if administer { " and new definitions" } else { "" },
            checking.elapsed(),
            ledger.answers,
        );
        *lock(&self.ledger) = ledger;
        checked
    }
}

/// Campaigns on logs of their own, each with its seed and its rounds; what was found the same.
async fn campaigns(plans: &[(u64, Vec<Vec<Fault>>)]) -> Result<()> {
    let services = alone().await?;
    let begun = Instant::now();
    let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut all = Checked::default();
    for (seed, rounds) in plans {
        eprintln!("seed {seed}, a new log");
        let mut campaign = Campaign::open(&services, *seed).await?;
        let mut last = Checked::default();
        for (n, faults) in rounds.iter().enumerate() {
            let round = campaign.round(n, faults).await;
            last = round.with_context(|| format!("round {n} {faults:?}, seed {seed}"))?;
            all.answers += last.answers;
            faults.iter().for_each(|fault| *kinds.entry(*fault).or_default() += 1);
        }
        eprintln!("  {last:?}");
        all.records += last.records;
        all.acknowledged += last.acknowledged;
        all.duplicates += last.duplicates;
        all.quarantined += last.quarantined;
        all.stays += last.stays;
        campaign.fleet.close()?;
    }
    let rounds: usize = plans.iter().map(|(_, rounds)| rounds.len()).sum();
    eprintln!("{rounds} rounds in {:.0?}, faults {kinds:?}", begun.elapsed());
    eprintln!("{all:?}");
    // Each of them would have ended this.
    eprintln!("0 acknowledged events lost, 0 doubled, 0 wrong members");
    Ok(())
}

/// Every fault once, two a round, in an order by the seed.
fn every_one(seed: u64) -> Vec<Vec<Fault>> {
    let mut faults = Fault::ALL.to_vec();
    faults.shuffle(&mut *Seeded::new(seed));
    faults.chunks(2).map(<[Fault]>::to_vec).collect()
}

/// So many rounds with one to three faults each.
fn long(seed: u64, rounds: usize, of: &[Fault]) -> Vec<Vec<Fault>> {
    let mut rng = Seeded::new(seed);
    let mut round = || (0..rng.random_range(1..=3)).filter_map(|_| of.choose(&mut *rng).copied()).collect();
    (0..rounds).map(|_| round()).collect()
}

/// The faults that the variable names, or all.
fn named() -> Result<Vec<Fault>> {
    let Ok(names) = std::env::var("CHAOS_FAULTS") else { return Ok(Fault::ALL.to_vec()) };
    let fault = |name: &str| {
        let found = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
        found.with_context(|| format!("CHAOS_FAULTS: {name} is none of {:?}", Fault::ALL))
    };
    names.split(',').map(fault).collect()
}

/// The short form; the long one where `CHAOS_ROUNDS` says how long, see `deploy/chaos.sh`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_under_load() -> Result<()> {
    let seed = Seeded::chosen(101).seed();
    let Ok(count) = std::env::var("CHAOS_ROUNDS") else { return campaigns(&[(seed, every_one(seed))]).await };
    let (count, faults) = (count.parse::<usize>().context("CHAOS_ROUNDS is no number")?, named()?);
    let first = (0..count).step_by(ROUNDS_OF_A_LOG).zip(seed..);
    let plans: Vec<_> =
        first.map(|(first, seed)| (seed, long(seed, ROUNDS_OF_A_LOG.min(count - first), &faults))).collect();
    campaigns(&plans).await
}
