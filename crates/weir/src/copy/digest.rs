//! Digests of runs of records, which say whether two runs are equal without holding either.

use sha2::{Digest as _, Sha256};

/// The first half of SHA-256 over a record and its place among those that it is counted with. The lengths are in it, so
/// that no byte can move from the key to the value.
pub(super) fn of_record(key: &[u8], place: u64, value: &[u8]) -> u128 {
    let hash = Sha256::new()
        .chain_update((key.len() as u64).to_le_bytes())
        .chain_update(key)
        .chain_update(place.to_le_bytes())
        .chain_update(value)
        .finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(half)
}

/// How many records a run has, and their digests in sum: equal for equal records in equal order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) count: u64,
    sum: u128,
}

impl Run {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_add(of_record(key, self.count, value));
        self.count += 1;
    }
}
