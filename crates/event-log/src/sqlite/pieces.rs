//! The caller's half of an append: records sorted into partitions and encoded, on the caller's own thread.

use crate::{Cause, Record, partition_of};

use super::blob;

/// A piece is finished at this size or count, so that the writer can cut rows between pieces.
const PIECE_BYTES: usize = 128 * 1024;
const PIECE_RECORDS: u32 = 1_000;

/// Encoded records of one partition, in order.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) partition: u32,
    pub(super) count: u32,
    pub(super) bytes: Vec<u8>,
}

/// Encodes records into pieces, ordered by partition; within a partition in the order given.
///
/// # Errors
/// [`Cause::TooLarge`].
pub(super) fn encode(records: &[Record], partitions: u32) -> Result<Vec<Piece>, Cause> {
    let total = sizes(records)?;
    // What a piece will hold if the keys are spread evenly; one that is fuller grows.
    let spread = (partitions as usize).min(records.len()).max(1);
    let capacity = (total / spread).min(PIECE_BYTES) + 1_024;
    let mut open: Vec<Option<Piece>> = Vec::new();
    open.resize_with(partitions as usize, || None);
    let mut pieces = Vec::with_capacity(spread + total / PIECE_BYTES);
    for record in records {
        let partition = partition_of(&record.key, partitions);
        let slot = &mut open[partition as usize];
        let piece = slot.get_or_insert_with(|| Piece { partition, count: 0, bytes: Vec::with_capacity(capacity) });
        blob::put(&mut piece.bytes, &record.key, &record.value);
        piece.count += 1;
        if piece.count == PIECE_RECORDS || piece.bytes.len() >= PIECE_BYTES {
            pieces.extend(slot.take());
        }
    }
    pieces.extend(open.into_iter().flatten());
    pieces.sort_by_key(|piece| piece.partition);
    Ok(pieces)
}

/// The bytes of all records, when none of them is too large.
fn sizes(records: &[Record]) -> Result<usize, Cause> {
    records.iter().try_fold(0, |total, record| Ok(total + record.checked_size()? + 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, bytes: usize) -> Record {
        Record::new(key.to_owned(), vec![b'x'; bytes])
    }

    #[test]
    fn large_appends_are_cut_and_keep_their_order() {
        let records: Vec<Record> = (0..5_000).map(|i| record(&format!("k{}", i % 7), i % 300)).collect();
        let pieces = encode(&records, 3).unwrap();
        assert!(pieces.iter().all(|piece| piece.count <= PIECE_RECORDS));
        assert!(pieces.is_sorted_by_key(|piece| piece.partition));
        for partition in 0..3 {
            let mine = pieces.iter().filter(|piece| piece.partition == partition);
            let mut expected = Vec::new();
            for record in records.iter().filter(|record| partition_of(&record.key, 3) == partition) {
                blob::put(&mut expected, &record.key, &record.value);
            }
            assert_eq!(mine.flat_map(|piece| piece.bytes.clone()).collect::<Vec<u8>>(), expected);
        }
    }

    #[test]
    fn a_record_past_the_limit_is_refused() {
        assert!(encode(&[record("k", Record::MAX_BYTES - 1)], 1).is_ok());
        assert!(matches!(encode(&[record("k", Record::MAX_BYTES)], 1), Err(Cause::TooLarge { .. })));
    }
}
