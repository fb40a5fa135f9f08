//! The instant that a question is about.

use weir_event::Timestamp;

/// How far ahead of this process's clock a receipt may pull the reading instant: one wrong clock doesn't move
/// everybody's.
const AHEAD_MICROS: i64 = 2_000_000;

/// `max(clock, newest receipt in the tables, at most 2 s ahead of the clock)`: so that no reading lies before a receipt
/// that it sees, though the clocks of processes differ.
pub(crate) fn reading_instant(clock: Timestamp, newest_receipt: Option<Timestamp>) -> Timestamp {
    let bound = Timestamp::from_micros(clock.micros().saturating_add(AHEAD_MICROS));
    newest_receipt.map_or(clock, |newest| clock.max(newest.min(bound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_pulls_the_instant_by_two_seconds_at_most() {
        let at = Timestamp::from_micros;
        assert_eq!(reading_instant(at(10), None), at(10));
        assert_eq!(reading_instant(at(10), Some(at(9))), at(10));
        assert_eq!(reading_instant(at(10), Some(at(11))), at(11));
        assert_eq!(reading_instant(at(10), Some(at(2_000_010))), at(2_000_010));
        assert_eq!(reading_instant(at(10), Some(at(2_000_011))), at(2_000_010));
    }
}
