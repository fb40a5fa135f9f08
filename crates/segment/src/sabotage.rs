//! Faults to order, so that the tests' checkers can show that they find them. Without the feature `sabotage`, which
//! only the test build has, there is nothing here but the identity.

/// The instant at which a window ends. The fault puts it one microsecond later, as `<=` for `<` would.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub(crate) const fn window_end(instant: i64) -> i64 {
    instant
}

#[cfg(feature = "sabotage")]
pub(crate) fn window_end(instant: i64) -> i64 {
    instant.saturating_add(i64::from(WINDOW_EDGE.load(std::sync::atomic::Ordering::Relaxed)))
}

/// Whether windows end a microsecond late.
#[cfg(feature = "sabotage")]
pub static WINDOW_EDGE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
