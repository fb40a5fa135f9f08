//! How fast generations fill.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_store::GenerationId;

/// How far back the pace is taken from.
const WINDOW: Duration = Duration::from_secs(30);
/// Looks that are kept lie at least this far apart.
const APART: Duration = Duration::from_millis(250);
/// A pace is told once it was watched for so long.
const SOON: Duration = Duration::from_millis(1);

/// Where generations were when this process looked at them, over the last half minute: that is what a rate and an ETA go
/// by. The age of a generation would not do, since it may have stood still while the projector was down.
#[derive(Default)]
pub(crate) struct Pace(Mutex<BTreeMap<GenerationId, VecDeque<Look>>>);

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    done: u64,
}

impl Pace {
    /// Notes that `done` records are taken in now. Answers how many a second it were lately; `None` while there is no
    /// telling.
    pub(crate) fn look(&self, generation: GenerationId, done: u64, now: Instant) -> Option<f64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = all.entry(generation).or_default();
        if looks.back().is_some_and(|last| last.done > done) {
            looks.clear();
        }
        while looks.get(1).is_some_and(|second| now.duration_since(second.at) >= WINDOW) {
            looks.pop_front();
        }
        if looks.back().is_none_or(|last| now.duration_since(last.at) >= APART) {
            looks.push_back(Look { at: now, done });
        }
        let first = looks.front()?;
        let since = now.duration_since(first.at);
        // A fill commits large batches: nothing in a few seconds doesn't say that it stands still.
        let tells = if done == first.done { since >= WINDOW } else { since >= SOON };
        #[allow(clippy::cast_precision_loss)] // For people.
        tells.then(|| (done - first.done) as f64 / since.as_secs_f64())
    }

    /// Forgets the generations that are gone.
    pub(crate) fn keep(&self, there: impl Fn(GenerationId) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| there(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: GenerationId = GenerationId(2);

    #[test]
    fn a_rate_is_that_of_the_last_half_minute() {
        let (pace, now) = (Pace::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(pace.look(G, 1_000, now), None);
        assert_eq!(pace.look(G, 1_000, after(1)), None, "the first batch is under way");
        assert_eq!(pace.look(G, 2_000, after(2)), Some(500.0));
        assert_eq!(pace.look(GenerationId(3), 10, after(2)), None, "another generation begins anew");
        // It stands still: the rate falls, and is 0 in the end.
        assert_eq!(pace.look(G, 2_000, after(20)), Some(50.0));
        assert_eq!(pace.look(G, 2_000, after(32)), Some(0.0));
        assert_eq!(pace.look(G, 5_000, after(42)), Some(75.0));
        assert_eq!(pace.look(G, 4_000, after(43)), None, "nothing is taken back: these are other tables");
    }
}
