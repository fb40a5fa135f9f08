//! Whether a log is what a process takes it for.

use uuid::Uuid;
use weir_event::{Position, Stream};

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
    /// It is a copy that was not finished. It would be served as if it were everything, and what is written to it could
    /// not be told from what was still to be copied.
    #[error(
        "the log is a copy of {of} that was not finished: it has {found} of at least {copied} records; run the same \
         `weir log copy` again, it goes on where it was"
    )]
    HalfCopied {
        /// The lineage of the log copied.
        of: Uuid,
        /// How many records it has, of both streams.
        found: u64,
        /// How many the log copied had when the copying began.
        copied: u64,
    },
}

impl LogOpened {
    /// Whether a log that reaches to `end`, which has every partition, is the one that this speaks of, whole, and made
    /// under the kind of clock that the process has.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn fits(&self, end: &Position, test_clock: bool) -> Result<(), Misfit> {
        match (self.test_clock, test_clock) {
            (true, false) => return Err(Misfit::MadeUnderTestClock),
            (false, true) => return Err(Misfit::MadeUnderSystemClock),
            _ => {}
        }
        let ends = |of| end.next.iter().filter(move |((stream, _), _)| *stream == of).map(|(_, next)| *next);
        let (said, found) = (self.events_partitions, ends(Stream::Events).count() as u32);
        if said != found {
            return Err(Misfit::Partitions { said, found });
        }
        let Some(copied) = self.copied_from else { return Ok(()) };
        let (control, events) = (ends(Stream::Control).sum::<u64>(), ends(Stream::Events).sum::<u64>());
        if control < copied.control || events < copied.events {
            let (found, copied_records) = (control + events, copied.control + copied.events);
            return Err(Misfit::HalfCopied { of: copied.lineage, found, copied: copied_records });
        }
        Ok(())
    }
}
