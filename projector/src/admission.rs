//! Admission: whether a record is a repeat. An ordered step before the fold, and a function of the log alone.
//!
//! A record is a repeat when an admitted one of the same profile as sent and the same id was received at most a window
//! (28 days) before, counted by arrival as a running maximum over the profile's admitted records. A filter that may err
//! (a Bloom filter, say) would be smaller and drop good events; ids are kept as 128 bits of their SHA-256 instead.
//!
//! The latest ids of a profile lie in its row. Of a profile that sends many, full chunks are moved into rows of their
//! own, so that its row stays small; in memory all of them are known.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use weir_store::{IdChunk, ProfileKey};

/// Ids that a row holds before they become a chunk.
const ROW_IDS: usize = 64;
const ENTRY_BYTES: usize = 16 + 8 + 8;

/// What admission says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is folded.
    Admitted,
    /// It repeats an admitted one and changes nothing.
    Repeat {
        /// Whether its type or data differ from the admitted one's.
        conflict: bool,
    },
}

/// The ids that a profile as sent has had admitted within the window.
#[derive(Clone, Debug, Default)]
pub struct SeenIds {
    /// The latest arrival admitted.
    newest: i64,
    row: Vec<Entry>,
    chunked: HashMap<u128, Seen>,
    chunks: Vec<(u64, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: u128,
    seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    arrival: i64,
    fingerprint: u64,
}

/// A row's or chunk's bytes are of the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event ids of a profile are damaged; delete the store: it is rebuilt from the log")]
pub struct IdsDamaged;

/// Chunks to write and to drop.
#[derive(Debug, Default)]
pub struct ChunkChanges {
    /// Chunks that are full.
    pub full: Vec<IdChunk>,
    /// Chunks that the window has left behind.
    pub dropped: Vec<u64>,
}

impl SeenIds {
    /// Reads a profile's row and chunks.
    ///
    /// # Errors
    /// Their bytes are damaged.
    pub fn decode(row: &[u8], chunks: &[IdChunk]) -> Result<Self, IdsDamaged> {
        let Some((newest, entries)) = row.split_first_chunk::<8>() else {
            return if row.is_empty() { Ok(Self::default()) } else { Err(IdsDamaged) };
        };
        let mut chunked = HashMap::new();
        for chunk in chunks {
            chunked.extend(decode(&chunk.ids)?.into_iter().map(|entry| (entry.id, entry.seen)));
        }
        let chunks = chunks.iter().map(|chunk| (chunk.chunk, chunk.newest)).collect();
        Ok(Self { newest: i64::from_be_bytes(*newest), row: decode(entries)?, chunked, chunks })
    }

    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.row.len() * ENTRY_BYTES);
        out.extend_from_slice(&self.newest.to_be_bytes());
        encode(&self.row, &mut out);
        out
    }

    /// The ids that are still looked at, whether in the row or in chunks: (id, what tells it apart, arrival).
    pub fn within(&self, window: i64) -> impl Iterator<Item = (u128, u64, i64)> {
        let oldest = self.newest.saturating_sub(window);
        let chunked = self.chunked.iter().map(|(id, seen)| (*id, *seen));
        let all = self.row.iter().map(|entry| (entry.id, entry.seen)).chain(chunked);
        all.filter(move |(_, seen)| seen.arrival >= oldest).map(|(id, seen)| (id, seen.fingerprint, seen.arrival))
    }

    /// The latest arrival admitted.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// About how many bytes this takes in memory.
    pub fn bytes(&self) -> usize {
        self.row.capacity() * size_of::<Entry>() + self.chunked.capacity() * 2 * size_of::<Entry>()
    }

    /// Decides about a record, and remembers it if it is admitted.
    pub fn admit(&mut self, id: u128, fingerprint: u64, arrival: i64, window: i64) -> Verdict {
        let now = if self.row.is_empty() && self.chunks.is_empty() { arrival } else { self.newest.max(arrival) };
        let known = self.row.iter().rev().find(|entry| entry.id == id).map(|entry| entry.seen);
        match known.or_else(|| self.chunked.get(&id).copied()) {
            Some(seen) if now.saturating_sub(seen.arrival) <= window => {
                Verdict::Repeat { conflict: seen.fingerprint != fingerprint }
            }
            _ => {
                self.newest = now;
                self.row.push(Entry { id, seen: Seen { arrival: now, fingerprint } });
                Verdict::Admitted
            }
        }
    }

    /// Drops what the window has left behind and moves a full row into a chunk, named by the offset of the record that
    /// filled it. Called when the row is about to be written.
    pub fn settle(&mut self, key: ProfileKey, offset: u64, window: i64) -> ChunkChanges {
        let oldest = self.newest.saturating_sub(window);
        let mut changes = ChunkChanges::default();
        self.row.retain(|entry| entry.seen.arrival >= oldest);
        self.chunks.retain(|(chunk, newest)| {
            let stays = *newest >= oldest;
            if !stays {
                changes.dropped.push(*chunk);
            }
            stays
        });
        if !changes.dropped.is_empty() {
            self.chunked.retain(|_, seen| seen.arrival >= oldest);
        }
        if self.row.len() >= ROW_IDS {
            let mut ids = Vec::with_capacity(self.row.len() * ENTRY_BYTES);
            encode(&self.row, &mut ids);
            changes.full.push(IdChunk { key, chunk: offset, newest: self.newest, ids });
            self.chunks.push((offset, self.newest));
            self.chunked.extend(self.row.drain(..).map(|entry| (entry.id, entry.seen)));
            self.row.shrink_to_fit();
        }
        changes
    }
}

/// An event id as admission keeps it: 128 bits of its SHA-256, which nobody can make two ids share.
pub fn id_hash(id: &str) -> u128 {
    first_bytes(&Sha256::digest(id.as_bytes()))
}

/// What tells two records of one id apart: type and data, byte by byte as they lie on the log.
pub fn fingerprint(name: &str, data: Option<&str>) -> u64 {
    let mut hash = rapidhash::v3::rapidhash_v3(name.as_bytes());
    if let Some(data) = data {
        hash = rapidhash::v3::rapidhash_v3(data.as_bytes()) ^ hash.rotate_left(32);
    }
    hash
}

fn first_bytes(digest: &[u8]) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

/// The ids of a chunk, as [`SeenIds::within`] tells them.
///
/// # Errors
/// The chunk's bytes are damaged.
pub fn ids_of(chunk: &IdChunk) -> Result<impl Iterator<Item = (u128, u64, i64)>, IdsDamaged> {
    Ok(decode(&chunk.ids)?.into_iter().map(|entry| (entry.id, entry.seen.fingerprint, entry.seen.arrival)))
}

fn encode(entries: &[Entry], out: &mut Vec<u8>) {
    for entry in entries {
        out.extend_from_slice(&entry.id.to_be_bytes());
        out.extend_from_slice(&entry.seen.fingerprint.to_be_bytes());
        out.extend_from_slice(&entry.seen.arrival.to_be_bytes());
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<Entry>, IdsDamaged> {
    let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() else { return Err(IdsDamaged) };
    entries
        .iter()
        .map(|entry| {
            let (id, rest) = entry.split_first_chunk::<16>().ok_or(IdsDamaged)?;
            let (fingerprint, arrival) = rest.split_first_chunk::<8>().ok_or(IdsDamaged)?;
            let arrival = arrival.try_into().map_err(|_| IdsDamaged)?;
            let seen = Seen { fingerprint: u64::from_be_bytes(*fingerprint), arrival: i64::from_be_bytes(arrival) };
            Ok(Entry { id: u128::from_be_bytes(*id), seen })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;
    use weir_event::ProfileId;

    const KEY: ProfileKey = ProfileKey { workspace: 0, profile: ProfileId(Uuid::nil()) };

    #[test]
    fn the_window_is_inclusive_and_counts_from_the_admitted_record() {
        let mut seen = SeenIds::default();
        assert_eq!(seen.admit(1, 7, 100, 10), Verdict::Admitted);
        assert_eq!(seen.admit(1, 7, 109, 10), Verdict::Repeat { conflict: false });
        assert_eq!(seen.admit(1, 8, 110, 10), Verdict::Repeat { conflict: true });
        assert_eq!(seen.admit(1, 8, 111, 10), Verdict::Admitted);
        assert_eq!(seen.admit(1, 8, 95, 10), Verdict::Repeat { conflict: false }, "arrival never goes back");
    }

    #[test]
    fn data_and_type_are_told_apart() {
        assert_ne!(fingerprint("a", None), fingerprint("b", None));
        assert_ne!(fingerprint("a", None), fingerprint("a", Some("{}")));
        assert_ne!(fingerprint("a", Some("{\"x\":1}")), fingerprint("a", Some("{\"x\":2}")));
        assert_eq!(fingerprint("a", Some("{}")), fingerprint("a", Some("{}")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Against every admitted record searched in order, with rows settled and read back at random.
        #[test]
        fn admission_is_that_of_a_full_search(records in proptest::collection::vec((0_u128..40, 0_i64..400, any::<bool>()), 1..200)) {
            const WINDOW: i64 = 60;
            let mut seen = SeenIds::default();
            let mut table: Vec<IdChunk> = Vec::new();
            let mut admitted: Vec<(u128, i64)> = Vec::new();
            let mut newest = i64::MIN;
            for (offset, (id, arrival, settle)) in (0_u64..).zip(records) {
                let now = newest.max(arrival);
                let repeat = admitted.iter().any(|(other, at)| *other == id && now - at <= WINDOW);
                let verdict = seen.admit(id, 0, arrival, WINDOW);
                prop_assert_eq!(verdict, if repeat { Verdict::Repeat { conflict: false } } else { Verdict::Admitted });
                if !repeat {
                    newest = now;
                    admitted.push((id, now));
                }
                if settle {
                    let changes = seen.settle(KEY, offset, WINDOW);
                    table.retain(|chunk| !changes.dropped.contains(&chunk.chunk));
                    table.extend(changes.full);
                    prop_assert_eq!(table.len(), seen.chunks());
                    seen = SeenIds::decode(&seen.encode(), &table).unwrap();
                }
            }
        }
    }
}
