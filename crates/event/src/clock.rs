//! The one type that reads the time. Everything else takes `now` as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// The clock of a process: the system's, or under `--test-clock` one that can be held.
///
/// Clones share one clock, so holding it holds all parts of the process.
#[derive(Clone, Debug)]
pub struct Clock {
    test: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Held {
    /// The instant held, or `FREE`.
    now: AtomicI64,
    /// The latest instant ever held: the clock never shows less, so that it goes forward only.
    floor: AtomicI64,
}

const FREE: i64 = i64::MIN;

/// The test clock was asked to go backwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the clock goes forward only: it is held at {held}")]
pub struct ClockRefused {
    /// What the clock was last held at.
    pub held: Timestamp,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { test: None }
    }

    /// A clock that runs with the system's until it is held.
    pub fn test() -> Self {
        Self { test: Some(Arc::new(Held { now: AtomicI64::new(FREE), floor: AtomicI64::new(FREE) })) }
    }

    /// Whether this clock can be held.
    pub fn is_test(&self) -> bool {
        self.test.is_some()
    }

    /// The instant now.
    pub fn now(&self) -> Timestamp {
        let Some(held) = &self.test else { return system_now() };
        match held.now.load(Ordering::SeqCst) {
            FREE => system_now().max(Timestamp::from_micros(held.floor.load(Ordering::SeqCst))),
            micros => Timestamp::from_micros(micros),
        }
    }

    /// Holds the clock at `now`, or frees it with `None`. Does nothing to a system clock.
    ///
    /// # Errors
    /// `now` lies before what was held last.
    pub fn hold(&self, now: Option<Timestamp>) -> Result<(), ClockRefused> {
        let Some(held) = &self.test else { return Ok(()) };
        let Some(now) = now else {
            held.now.store(FREE, Ordering::SeqCst);
            return Ok(());
        };
        let before = held.floor.fetch_max(now.micros(), Ordering::SeqCst);
        if before > now.micros() {
            return Err(ClockRefused { held: Timestamp::from_micros(before) });
        }
        held.now.store(now.micros(), Ordering::SeqCst);
        Ok(())
    }
}

fn system_now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    };
    Timestamp::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_clock_stands_still_and_goes_forward_only() {
        let clock = Clock::test();
        let other = clock.clone();
        clock.hold(Some(Timestamp::from_micros(10))).unwrap();
        assert_eq!(other.now(), Timestamp::from_micros(10));
        assert_eq!(clock.hold(Some(Timestamp::from_micros(9))), Err(ClockRefused { held: Timestamp::from_micros(10) }));
        assert_eq!(other.now(), Timestamp::from_micros(10));
        clock.hold(None).unwrap();
        assert!(other.now() > Timestamp::from_micros(10));
    }

    #[test]
    fn a_freed_clock_does_not_fall_behind_what_was_held() {
        let clock = Clock::test();
        clock.hold(Some(Timestamp::MAX)).unwrap();
        clock.hold(None).unwrap();
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
