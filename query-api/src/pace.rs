//! How fast a generation fills.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use weir_store::GenerationId;

/// Where the filling generation was when it was first looked at: the pace since then is what an ETA goes by. Its age
/// would not do, since it may have stood still while the process was down.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Option<Start>>);

#[derive(Clone, Copy)]
struct Start {
    generation: GenerationId,
    at: Instant,
    done: u64,
}

impl Pace {
    /// Seconds until `end` records are taken in, `done` of them being so now; `None` while there is no telling.
    pub(crate) fn eta(&self, generation: GenerationId, done: u64, end: u64, now: Instant) -> Option<u64> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = match *slot {
            Some(start) if start.generation == generation && start.done <= done => start,
            _ => *slot.insert(Start { generation, at: now, done }),
        };
        let left = u128::from(end.saturating_sub(done));
        if left == 0 {
            return Some(0);
        }
        let (since, millis) = (u128::from(done - start.done), now.duration_since(start.at).as_millis());
        let eta = (left * millis).checked_div(since * 1_000)?;
        u64::try_from(eta.max(1)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_eta_goes_by_the_pace_since_the_first_look() {
        let (pace, now, g) = (Pace::default(), Instant::now(), GenerationId(2));
        assert_eq!(pace.eta(g, 1_000, 5_000, now), None);
        assert_eq!(pace.eta(g, 2_000, 5_000, now + Duration::from_secs(2)), Some(6));
        assert_eq!(pace.eta(g, 4_999, 5_000, now + Duration::from_secs(2)), Some(1));
        assert_eq!(pace.eta(g, 5_000, 5_000, now + Duration::from_secs(3)), Some(0));
        assert_eq!(pace.eta(GenerationId(3), 10, 20, now), None, "another generation begins anew");
    }
}
