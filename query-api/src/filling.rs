//! How far tables are: behind the log's end, and on the way to being read.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use weir_event::Stream;
use weir_store::{GenerationId, GenerationInfo, Progress, Projection, Purpose, StoreError};

use crate::service::Api;
use crate::tables::next;

/// For how long what was told about the log's end is believed.
const ENDS_MICROS: i64 = 5_000_000;
/// What progress shows at most before the generation is read.
pub(crate) const ALMOST: f64 = 0.999;

/// Where the partitions of `events.v1` end, as far as that is known.
pub(crate) type Ends = BTreeMap<u32, u64>;

/// A partition of `events.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Partition {
    partition: u32,
    /// Where the slowest projection stands.
    position: u64,
    end: Option<u64>,
    pub(crate) lag: Option<u64>,
}

/// How far a generation is that isn't read yet.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Filling {
    generation: u64,
    pub(crate) progress: f64,
    pub(crate) eta_seconds: Option<u64>,
    /// Its definition set.
    #[serde(skip)]
    pub(crate) bound: u64,
}

/// Where the slowest projection of `events.v1` stands.
fn position(progress: &[Progress], partition: u32) -> u64 {
    next(progress, Projection::Membership, partition).min(next(progress, Projection::Timeline, partition))
}

/// The partitions, and how far behind the log's end each is.
pub(crate) fn partitions(progress: &[Progress], ends: &Ends, count: u32) -> Vec<Partition> {
    let partition = |partition| {
        let position = position(progress, partition);
        // What the tables contain was on the log.
        let end = ends.get(&partition).map(|end| (*end).max(position));
        Partition { partition, position, end, lag: end.map(|end| end - position) }
    };
    (0..count).map(partition).collect()
}

impl Api {
    /// Where the log ends: as told lately, or as acknowledged since.
    pub(crate) async fn ends(&self) -> Result<Ends, StoreError> {
        let now = self.settings.clock.now().micros();
        let mut ends = Ends::new();
        let mut raise = |partition: u32, next: u64| {
            let end = ends.entry(partition).or_insert(next);
            *end = (*end).max(next);
        };
        for told in self.tables.store.ends().await? {
            if told.stream == Stream::Events && now.saturating_sub(told.seen_at) <= ENDS_MICROS {
                raise(told.partition, told.next);
            }
        }
        for ((stream, partition), next) in self.acknowledged(None).map(|position| position.next).unwrap_or_default() {
            if stream == Stream::Events {
                raise(partition, next);
            }
        }
        Ok(ends)
    }

    /// The generation that is being filled to be read as soon as it can be: the newest one, if it came after the one that
    /// is read. Rebuilds have a status of their own.
    pub(crate) async fn filling(&self) -> Result<Option<Filling>, StoreError> {
        let generations = self.tables.store.generations().await?;
        let live = generations.iter().find(|info| info.live);
        let switches = generations.iter().filter(|info| info.purpose == Purpose::Switch);
        let newest = switches.max_by_key(|info| info.id);
        let Some(filling) = newest.filter(|newest| live.is_none_or(|live| live.id < newest.id)) else {
            return Ok(None);
        };
        Ok(self.far(filling.id, &generations).await?.map(|far| Filling {
            generation: filling.id.0,
            progress: far.share().min(ALMOST),
            eta_seconds: far.eta_seconds(),
            bound: filling.bound,
        }))
    }

    /// Looks at every generation that isn't read, so that their pace is known when somebody asks.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let generations = self.tables.store.generations().await?;
        self.pace.keep(|id| generations.iter().any(|info| info.id == id));
        for info in generations.iter().filter(|info| !info.live) {
            self.far(info.id, &generations).await?;
        }
        Ok(())
    }

    /// How far a generation is on its way along the log; `None` if it isn't there (any more).
    pub(crate) async fn far(
        &self,
        id: GenerationId,
        generations: &[GenerationInfo],
    ) -> Result<Option<Far>, StoreError> {
        let Some(progress) = self.progress_of(id).await? else { return Ok(None) };
        let mut ends = self.ends().await?;
        if let Some(live) = generations.iter().find(|info| info.live) {
            // What is read lies behind no end that is known.
            for (partition, next) in events_next(&self.progress_of(live.id).await?.unwrap_or_default()) {
                let end = ends.entry(partition).or_insert(next);
                *end = (*end).max(next);
            }
        }
        // The timeline goes behind memberships: what one of them has taken in is half of the work.
        let both = [Projection::Membership, Projection::Timeline];
        let end: u64 = ends.values().sum();
        let taken = ends.iter().map(|(partition, end)| both.map(|p| next(&progress, p, *partition).min(*end)));
        let done = taken.flatten().sum::<u64>() / 2;
        Ok(Some(Far { done, end, rate: self.pace.look(id, done, Instant::now()) }))
    }

    async fn progress_of(&self, id: GenerationId) -> Result<Option<Vec<Progress>>, StoreError> {
        let read = async { self.tables.store.generation(id).await?.progress().await };
        match read.await {
            // It was removed since.
            Err(StoreError::NoGeneration(_)) => Ok(None),
            read => read.map(Some),
        }
    }
}

/// How far a generation is on its way along the log, in records of `events.v1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Far {
    done: u64,
    end: u64,
    /// Records a second lately, as this process saw it; `None` while there is no telling.
    pub(crate) rate: Option<f64>,
}

#[allow(clippy::cast_precision_loss)] // For people; beyond 2^53 records the last digits don't matter.
impl Far {
    /// The share that is done.
    pub(crate) fn share(self) -> f64 {
        if self.end == 0 { 0.0 } else { self.done as f64 / self.end as f64 }
    }

    /// Seconds until the rest is done; `None` while there is no telling.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates, and is not negative.
    pub(crate) fn eta_seconds(self) -> Option<u64> {
        let left = self.end.saturating_sub(self.done);
        if left == 0 {
            return Some(0);
        }
        let rate = self.rate.filter(|rate| *rate > 0.0)?;
        Some((left as f64 / rate).ceil() as u64)
    }
}

/// How far the partitions of `events.v1` are read into tables.
fn events_next(progress: &[Progress]) -> impl Iterator<Item = (u32, u64)> {
    progress.iter().filter(|p| p.projection != Projection::Control).map(|p| (p.partition, p.next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(projection: Projection, partition: u32, next: u64) -> Progress {
        Progress { projection, partition, next, newest_receipt: None }
    }

    #[test]
    fn an_eta_goes_by_the_rate() {
        let far = |done, rate| Far { done, end: 5_000, rate };
        assert_eq!(far(1_000, None).eta_seconds(), None);
        assert_eq!(far(1_000, Some(0.0)).eta_seconds(), None);
        assert_eq!(far(2_000, Some(500.0)).eta_seconds(), Some(6));
        assert_eq!(far(4_999, Some(1_000.0)).eta_seconds(), Some(1));
        assert_eq!(far(5_000, None).eta_seconds(), Some(0));
    }

    #[test]
    fn lag_is_that_of_the_slowest_projection_and_unknown_without_an_end() {
        let progress =
            [at(Projection::Membership, 0, 10), at(Projection::Timeline, 0, 7), at(Projection::Membership, 1, 4)];
        let ends = Ends::from([(0, 12), (1, 3)]);
        let lags: Vec<_> = partitions(&progress, &ends, 3).iter().map(|p| (p.position, p.end, p.lag)).collect();
        assert_eq!(lags, [(7, Some(12), Some(5)), (0, Some(3), Some(3)), (0, None, None)]);
        let total: Option<u64> = partitions(&progress, &ends, 3).iter().map(|p| p.lag).sum();
        assert_eq!(total, None, "one unknown end leaves the sum unknown");
    }
}
