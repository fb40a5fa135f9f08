//! Whether a log is what a process takes it for.

use crate::LogOpened;

/// The log's first record says something else than what the process found or was told. Somebody must change one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// There is no first record: nobody has made the log yet.
    #[error(
        "the log is empty: control.v1 has no first record; `weir init` makes it, and so does the first start of `weir up`"
    )]
    NotOpened,
    /// It was made under a test clock.
    #[error("the log was made under a test clock: start `weir up` with --test-clock, or on another log")]
    MadeUnderTestClock,
    /// It was made under the system's clock.
    #[error("the log was not made under a test clock: start without --test-clock, or on another log")]
    MadeUnderSystemClock,
    /// The first record speaks of another number of partitions.
    #[error("the log's first record says that events.v1 has {said} partitions, but it has {found}")]
    Partitions {
        /// What the record says.
        said: u32,
        /// What is there.
        found: u32,
    },
}

impl LogOpened {
    /// Whether the log is one of so many partitions, made under the kind of clock that the process has.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn fits(&self, events_partitions: u32, test_clock: bool) -> Result<(), Misfit> {
        match (self.test_clock, test_clock) {
            (true, false) => return Err(Misfit::MadeUnderTestClock),
            (false, true) => return Err(Misfit::MadeUnderSystemClock),
            _ => {}
        }
        let (said, found) = (self.events_partitions, events_partitions);
        if said == found { Ok(()) } else { Err(Misfit::Partitions { said, found }) }
    }
}
