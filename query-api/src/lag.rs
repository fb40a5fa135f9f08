//! How long the oldest record waits that the tables don't contain.
//!
//! The query API knows no log. It is told where the log ended when, and how far the tables are: a record at or behind the
//! tables' position came after every instant at which the log ended there or before. That, and the newest receipt in the
//! tables, bound its age from above.
//!
//! Invariant: the age told is never below the true one (but for a query API that was told nothing yet), and above it by
//! the pause between two sights at most; after a time in which nobody told anything, by that time at most. To read the
//! receipt of the record itself was rejected: imports have old receipts, and would look like a lag of years.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use weir_event::Stream;
use weir_store::LogEnd;

/// Sights kept of a partition. Of more every other one is dropped, so that old instants are told less exactly.
const SIGHTS: usize = 1_024;

/// Where partitions of `events.v1` were seen to end.
#[derive(Default)]
pub(crate) struct Lags(Mutex<BTreeMap<u32, VecDeque<Sight>>>);

/// An end, and the latest instant (microseconds) at which it was that.
#[derive(Clone, Copy)]
struct Sight {
    end: u64,
    at: i64,
}

impl Lags {
    /// Takes note of what was told.
    pub(crate) fn note(&self, told: &[LogEnd]) {
        let mut partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for told in told.iter().filter(|told| told.stream == Stream::Events) {
            let sights = partitions.entry(told.partition).or_default();
            let sight = Sight { end: told.next, at: told.seen_at };
            match sights.back_mut() {
                Some(last) if sight.at <= last.at || sight.end < last.end => {}
                Some(last) if sight.end == last.end => last.at = sight.at,
                _ => sights.push_back(sight),
            }
            if sights.len() > SIGHTS {
                let mut n = 0_usize;
                sights.retain(|_| {
                    n += 1;
                    n % 2 == 1
                });
            }
        }
    }

    /// The instant at or before which the record at `position` came onto the log: not before `newest`, the newest receipt
    /// in front of it. `None` while nothing is known.
    pub(crate) fn since(&self, partition: u32, position: u64, newest: Option<i64>) -> Option<i64> {
        let partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sights = partitions.get(&partition);
        let before = sights.and_then(|sights| {
            let behind = sights.partition_point(|sight| sight.end <= position);
            Some(sights.get(behind.checked_sub(1)?)?.at)
        });
        let first = || sights.and_then(|sights| Some(sights.front()?.at));
        before.max(newest).or_else(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(next: u64, seen_at: i64) -> LogEnd {
        LogEnd { stream: Stream::Events, partition: 0, next, seen_at }
    }

    #[test]
    fn a_record_came_after_the_log_ended_before_it() {
        let lags = Lags::default();
        assert_eq!(lags.since(0, 5, None), None);
        lags.note(&[told(10, 100), told(10, 200), told(20, 300), told(30, 400)]);
        assert_eq!(lags.since(0, 5, None), Some(200), "from before the first sight: at least so old");
        assert_eq!(lags.since(0, 10, None), Some(200));
        assert_eq!(lags.since(0, 19, None), Some(200));
        assert_eq!(lags.since(0, 25, None), Some(300));
        assert_eq!(lags.since(0, 25, Some(350)), Some(350), "nor before the record in front of it was received");
        assert_eq!(lags.since(0, 5, Some(20)), Some(20));
        assert_eq!(lags.since(1, 5, None), None);
    }

    #[test]
    fn old_instants_are_told_less_exactly_but_never_too_young() {
        let lags = Lags::default();
        for n in 0..20_000 {
            lags.note(&[told(n, n.cast_signed() * 1_000)]);
        }
        for position in (0..20_000).step_by(7) {
            // The record at the position came after the sight at which the log ended there.
            let since = lags.since(0, position, None).unwrap();
            assert!(since <= position.cast_signed() * 1_000 || position < 40, "{position}: {since}");
        }
        assert!(lags.0.lock().unwrap()[&0].len() <= SIGHTS);
    }
}
