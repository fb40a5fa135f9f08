//! A fault to order, so that the tests' checkers can show that they find it. Without the feature `sabotage`, which only
//! the test build has, every fence holds.

/// What moves a fence in PostgreSQL.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub(crate) fn advance(fenced: String) -> String {
    fenced
}

#[cfg(feature = "sabotage")]
pub(crate) fn advance(fenced: String) -> String {
    if !UNFENCED.load(std::sync::atomic::Ordering::Relaxed) {
        return fenced;
    }
    let unfenced = "UPDATE @positions SET next = $1, newest_receipt = greatest(newest_receipt, $2)
                    WHERE projection = $3 AND stream = $4 AND partition = $5 AND $6::bigint >= 0 AND $7::uuid IS NOT NULL";
    unfenced.to_owned()
}

/// Whether PostgreSQL's fences are moved wherever they stand. What is ordered later counts for later handles alone.
#[cfg(feature = "sabotage")]
pub static UNFENCED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
