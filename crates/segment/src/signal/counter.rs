//! Lifetime sums: exact because every event is admitted once and folded once, not because folding it twice is harmless.

use crate::definition::Rule;
use weir_event::codec::{Damaged, Reader};
use weir_event::{Decimal, Event};

/// Reads state bytes; none are zero.
///
/// # Errors
/// Bytes of another length than [`write`] writes.
pub fn read(bytes: &[u8]) -> Result<Decimal, Damaged> {
    if bytes.is_empty() {
        return Ok(Decimal::ZERO);
    }
    let mut reader = Reader(bytes);
    let sum = Decimal::from_billionths(i128::from_be_bytes(reader.array()?));
    reader.finish()?;
    Ok(sum)
}

/// The state bytes. Zero has bytes too: the profile has matched a rule, and is in the score's list.
pub fn write(sum: Decimal) -> Vec<u8> {
    sum.billionths().to_be_bytes().to_vec()
}

/// The points that an event adds; `None` where it matches no rule. An event adds for every rule that it matches.
/// `Some(None)` is a sum past i128.
pub fn points(rules: &[Rule], event: &Event<'_>) -> Option<Option<Decimal>> {
    rules.iter().filter(|rule| rule.filter.lets_by(event)).fold(None, |sum, rule| {
        Some(sum.unwrap_or(Some(Decimal::ZERO)).and_then(|sum: Decimal| sum.checked_add(rule.points)))
    })
}
