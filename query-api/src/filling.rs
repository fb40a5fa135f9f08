//! How far tables are: behind the log's end, and on the way to being read.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use weir_event::Stream;
use weir_store::{GenerationId, GenerationInfo, Progress, Projection, Purpose, StoreError};

use crate::lag::Lags;
use crate::service::Api;
use crate::tables::next;

/// For how long what was told about the log's end is believed.
const ENDS_MICROS: i64 = 5_000_000;
/// What progress shows at most before the generation is read.
pub(crate) const ALMOST: f64 = 0.999;

/// Where the partitions of `events.v1` end, as far as that is known.
pub(crate) type Ends = BTreeMap<u32, u64>;

/// A partition of `events.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Partition {
    pub(crate) partition: u32,
    /// Where the slowest projection stands.
    position: u64,
    end: Option<u64>,
    pub(crate) lag: Option<u64>,
    /// How old the oldest record is that isn't in the tables; 0 without one.
    pub(crate) lag_seconds: Option<f64>,
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

/// The slowest projection of a partition of `events.v1`: where it stands, and the newest receipt that it has, if it notes
/// them.
fn slowest(progress: &[Progress], partition: u32) -> (u64, Option<i64>) {
    let of = |projection| {
        let found = progress.iter().find(|p| p.projection == projection && p.partition == partition);
        found.map_or((0, None), |progress| (progress.next, progress.newest_receipt))
    };
    let (membership, timeline) = (of(Projection::Membership), of(Projection::Timeline));
    match membership.0.cmp(&timeline.0) {
        Ordering::Less => membership,
        Ordering::Greater => timeline,
        Ordering::Equal => (membership.0, membership.1.or(timeline.1)),
    }
}

/// The partitions, and how far behind the log's end each is at `now`.
fn partitions(progress: &[Progress], ends: &Ends, lags: &Lags, count: u32, now: i64) -> Vec<Partition> {
    let partition = |partition| {
        let (position, newest) = slowest(progress, partition);
        // What the tables contain was on the log.
        let end = ends.get(&partition).map(|end| (*end).max(position));
        let lag = end.map(|end| end - position);
        let age = || lags.since(partition, position, newest).map(|since| seconds(now.saturating_sub(since)));
        let lag_seconds = lag.and_then(|lag| if lag == 0 { Some(0.0) } else { age() });
        Partition { partition, position, end, lag, lag_seconds }
    };
    (0..count).map(partition).collect()
}

/// Seconds, to the millisecond; instants ahead of the clock count as now.
#[allow(clippy::cast_precision_loss)] // 2^53 milliseconds are long.
fn seconds(micros: i64) -> f64 {
    (micros.max(0) / 1_000) as f64 / 1_000.0
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
        let told = self.tables.store.ends().await?;
        self.lags.note(&told);
        for told in told {
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

    /// The partitions of `events.v1`, and how far the tables are behind each.
    pub(crate) async fn partitions(&self, progress: &[Progress], count: u32) -> Result<Vec<Partition>, StoreError> {
        let (ends, now) = (self.ends().await?, self.settings.clock.now().micros());
        Ok(partitions(progress, &ends, &self.lags, count, now))
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
    use weir_store::LogEnd;

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
        let (ends, lags) = (Ends::from([(0, 12), (1, 3)]), Lags::default());
        let end = |partition, next, seen_at| LogEnd { stream: Stream::Events, partition, next, seen_at };
        lags.note(&[end(0, 5, 1_000_000), end(0, 7, 4_000_000), end(0, 12, 5_000_000), end(1, 0, 2_500_000)]);
        let partitions = partitions(&progress, &ends, &lags, 3, 9_000_000);
        let lags: Vec<_> = partitions.iter().map(|p| (p.position, p.end, p.lag, p.lag_seconds)).collect();
        let expected = [(7, Some(12), Some(5), Some(5.0)), (0, Some(3), Some(3), Some(6.5)), (0, None, None, None)];
        assert_eq!(lags, expected);
        let total: Option<u64> = partitions.iter().map(|p| p.lag).sum();
        assert_eq!(total, None, "one unknown end leaves the sum unknown");
    }
}
