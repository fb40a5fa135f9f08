//! How far tables are: behind the log's end, and on the way to being read.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use weir_event::Stream;
use weir_store::{GenerationInfo, Progress, Projection, StoreError};

use crate::service::Api;
use crate::tables::next;

/// For how long what was told about the log's end is believed.
const ENDS_MICROS: i64 = 5_000_000;
/// What progress shows at most before the generation is read.
const ALMOST: f64 = 0.999;

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

    /// The generation that is being filled: the newest one, if it came after the one that is read.
    pub(crate) async fn filling(&self) -> Result<Option<Filling>, StoreError> {
        let generations = self.tables.store.generations().await?;
        let live = generations.iter().find(|info| info.live);
        let newest = generations.iter().max_by_key(|info| info.id);
        let Some(filling) = newest.filter(|newest| live.is_none_or(|live| live.id < newest.id)) else {
            return Ok(None);
        };
        let progress = match self.progress_of(filling).await {
            // It was removed since, or is read since.
            Err(StoreError::NoGeneration(_)) => return Ok(None),
            progress => progress?,
        };
        let mut ends = self.ends().await?;
        if let Some(live) = live {
            // What is read lies behind no end that is known.
            for (partition, next) in events_next(&self.progress_of(live).await?) {
                let end = ends.entry(partition).or_insert(next);
                *end = (*end).max(next);
            }
        }
        let end: u64 = ends.values().sum();
        let done: u64 = ends.iter().map(|(partition, end)| position(&progress, *partition).min(*end)).sum();
        #[allow(clippy::cast_precision_loss)] // A share for people; beyond 2^53 records its last digits don't matter.
        let share = if end == 0 { 0.0 } else { done as f64 / end as f64 };
        Ok(Some(Filling {
            generation: filling.id.0,
            progress: share.min(ALMOST),
            eta_seconds: self.pace.eta(filling.id, done, end, Instant::now()),
            bound: filling.bound,
        }))
    }

    async fn progress_of(&self, generation: &GenerationInfo) -> Result<Vec<Progress>, StoreError> {
        self.tables.store.generation(generation.id).await?.progress().await
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
