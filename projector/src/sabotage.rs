//! Faults to order, so that the tests' checkers can show that they find them. Without the feature `sabotage`, which
//! only the test build has, every record is folded once.

/// How often the record at this offset is folded.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub(crate) const fn times_to_fold(_offset: u64) -> u32 {
    1
}

#[cfg(feature = "sabotage")]
pub(crate) fn times_to_fold(offset: u64) -> u32 {
    use std::sync::atomic::Ordering::Relaxed;
    if offset % 1_000 != 999 {
        return 1;
    }
    match (LOSE.load(Relaxed), TWICE.load(Relaxed)) {
        (true, _) => 0,
        (_, true) => 2,
        _ => 1,
    }
}

/// Whether one event in 1,000 is admitted and not folded.
#[cfg(feature = "sabotage")]
pub static LOSE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Whether one event in 1,000 is folded twice.
#[cfg(feature = "sabotage")]
pub static TWICE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
