//! Which generation is read, remembered for an instant.
//!
//! Every read asks; a question to the database each time would be a fifth of a page's cost. What is remembered may be a
//! moment old: then the generation read stands where the new one stood when it was promoted, and its tables stay for
//! longer than that (see [`super::leftovers`]).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::GenerationId;

/// For how long an answer is believed.
const BELIEVED: Duration = Duration::from_millis(20);

/// What was read last.
#[derive(Default)]
pub(super) struct Pointer(Mutex<Read>);

#[derive(Default)]
struct Read {
    answer: Option<(Instant, Option<GenerationId>)>,
    /// Counts what was written here or given up, so that an answer on its way since before doesn't count.
    turn: u64,
}

/// A question on its way.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    turn: u64,
    at: Instant,
}

impl Pointer {
    /// What is known for sure enough.
    pub(super) fn known(&self) -> Option<Option<GenerationId>> {
        self.read().answer.filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, live)| live)
    }

    /// Call before asking the database.
    pub(super) fn ask(&self) -> Asked {
        Asked { turn: self.read().turn, at: Instant::now() }
    }

    /// Takes the answer.
    pub(super) fn answer(&self, asked: Asked, live: Option<GenerationId>) {
        let mut read = self.read();
        if read.turn == asked.turn {
            read.answer = Some((asked.at, live));
        }
    }

    /// Gives up what is known: it turned out to be wrong, or was just changed.
    pub(super) fn forget(&self) {
        let mut read = self.read();
        read.answer = None;
        read.turn += 1;
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_a_change_does_not_count() {
        let pointer = Pointer::default();
        assert_eq!(pointer.known(), None);
        let asked = pointer.ask();
        pointer.forget();
        pointer.answer(asked, Some(GenerationId(1)));
        assert_eq!(pointer.known(), None);
        pointer.answer(pointer.ask(), Some(GenerationId(2)));
        assert_eq!(pointer.known(), Some(Some(GenerationId(2))));
        pointer.forget();
        assert_eq!(pointer.known(), None);
    }

    #[test]
    fn an_old_answer_is_not_believed() {
        let pointer = Pointer::default();
        let asked = Asked { turn: 0, at: Instant::now().checked_sub(BELIEVED).unwrap() };
        pointer.answer(asked, None);
        assert_eq!(pointer.known(), None);
    }
}
