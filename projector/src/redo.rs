//! What a batch appends to the redo: the rows that it changed, and which rows it moved to where they belong.

use uuid::Uuid;
use weir_event::ProfileId;
use weir_store::{ProfileKey, ProfileRow};

use crate::admission::IdsDamaged;

const ROW: u8 = 0;
const MOVED: u8 = 1;

/// An entry of the redo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A row that waits, and the [`checksum`] of the one in the states table that it counts instead of; 0: there is none.
    Row(ProfileRow, u64),
    /// The last row of this profile is in the states table from now on.
    Moved(ProfileKey),
}

/// Tells whether a row in the states table is the one that was written there, so that one which nobody reads at present
/// can be checked too. Never 0.
pub(crate) fn checksum(of: &ProfileRow) -> u64 {
    let mut bytes = Vec::with_capacity(of.state.len() + of.open_spans.len() + of.event_ids.len() + 64);
    row(of, 0, &mut bytes);
    rapidhash::v3::rapidhash_v3(&bytes).max(1)
}

/// Appends a row that waits.
pub(crate) fn row(row: &ProfileRow, below: u64, out: &mut Vec<u8>) {
    out.push(ROW);
    push_key(row.key, out);
    out.extend_from_slice(&row.last_offset.to_be_bytes());
    out.extend_from_slice(&row.id_chunks.to_be_bytes());
    out.extend_from_slice(&below.to_be_bytes());
    for part in [&row.state, &row.open_spans, &row.event_ids] {
        // A row is a few kilobytes; the states of one profile are bounded.
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
}

/// Appends that a row was moved.
pub(crate) fn moved(key: ProfileKey, out: &mut Vec<u8>) {
    out.push(MOVED);
    push_key(key, out);
}

fn push_key(key: ProfileKey, out: &mut Vec<u8>) {
    out.extend_from_slice(&key.workspace.to_be_bytes());
    out.extend_from_slice(key.profile.0.as_bytes());
}

/// The entries of a batch's redo, in order.
pub(crate) fn decode(mut redo: &[u8]) -> Result<Vec<Entry>, IdsDamaged> {
    let mut entries = Vec::new();
    while !redo.is_empty() {
        let rest = &mut redo;
        let [kind] = take(rest)?;
        let workspace = u64::from_be_bytes(take(rest)?);
        let key = ProfileKey { workspace, profile: ProfileId(Uuid::from_bytes(take(rest)?)) };
        if kind == MOVED {
            entries.push(Entry::Moved(key));
            continue;
        }
        let last_offset = u64::from_be_bytes(take(rest)?);
        let id_chunks = u32::from_be_bytes(take(rest)?);
        let below = u64::from_be_bytes(take(rest)?);
        let (state, open_spans, event_ids) = (part(rest)?, part(rest)?, part(rest)?);
        entries.push(Entry::Row(ProfileRow { key, last_offset, state, open_spans, event_ids, id_chunks }, below));
    }
    Ok(entries)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], IdsDamaged> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(IdsDamaged)?;
    *bytes = rest;
    Ok(*taken)
}

fn part(bytes: &mut &[u8]) -> Result<Vec<u8>, IdsDamaged> {
    let length = usize::try_from(u32::from_be_bytes(take(bytes)?)).map_err(|_| IdsDamaged)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(IdsDamaged)?;
    *bytes = rest;
    Ok(taken.to_vec())
}
