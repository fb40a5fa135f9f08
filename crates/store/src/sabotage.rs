//! Faults to order, so that the tests' checkers can show that they find them. Without the feature `sabotage`, which
//! only the test build has, every fence holds.

/// Whether batches pass their fences as they like.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub(crate) const fn ignores_fences() -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub(crate) fn ignores_fences() -> bool {
    UNFENCED.load(std::sync::atomic::Ordering::Relaxed)
}

/// Whether PostgreSQL's fences are ignored.
#[cfg(feature = "sabotage")]
pub static UNFENCED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
