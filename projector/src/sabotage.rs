//! Faults to order, so that the tests' checkers can show that they find them. Without the feature `sabotage`, which
//! only the test build has, every record is folded once, into what the tables say, and digested whole.

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

/// Whether a position is committed before its rows.
#[cfg(feature = "sabotage")]
pub static EARLY: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Commits the position alone, if that was ordered; a process that is killed now has lost the rows. Answers the fence
/// that the rows then have.
#[cfg(feature = "sabotage")]
pub(crate) async fn commit_early(
    generation: &dyn weir_store::Generation,
    fence: weir_store::Fence,
) -> Result<weir_store::Fence, weir_store::StoreError> {
    if !EARLY.load(std::sync::atomic::Ordering::Relaxed) {
        return Ok(fence);
    }
    generation.commit_membership(fence, &weir_store::MembershipBatch::default()).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(weir_store::Fence { expected: fence.next, ..fence })
}

/// Whether what is remembered of a partition is kept when it is given up, and used when it comes back.
#[cfg(feature = "sabotage")]
pub static STALE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// What is remembered of partitions that were given up, by generation and partition.
#[cfg(feature = "sabotage")]
static KEPT: std::sync::Mutex<std::collections::BTreeMap<(u64, u32), crate::memory::Memory>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());

#[cfg(feature = "sabotage")]
pub(crate) fn keep(generation: u64, partition: u32, memory: crate::memory::Memory) {
    if STALE.load(std::sync::atomic::Ordering::Relaxed) {
        KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert((generation, partition), memory);
    }
}

#[cfg(feature = "sabotage")]
pub(crate) fn kept(generation: u64, partition: u32) -> Option<crate::memory::Memory> {
    KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&(generation, partition))
}

/// What of a span's end goes into its digest.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub(crate) const fn digested(leaves: i64) -> i64 {
    leaves
}

#[cfg(feature = "sabotage")]
pub(crate) fn digested(leaves: i64) -> i64 {
    if BLIND.load(std::sync::atomic::Ordering::Relaxed) { 0 } else { leaves }
}

/// Whether digests of spans leave their ends out.
#[cfg(feature = "sabotage")]
pub static BLIND: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
