//! How a record batch lies in its row, and the checksum over it.
//!
//! ```text
//! version (1) codec (0 = as is) { key length, key, value length, value } × count
//! ```
//!
//! Lengths are unsigned LEB128 in their shortest form. The checksum is CRC-32C over the stream's name, a zero byte,
//! partition, first offset and count (little endian), then the blob: a batch that is whole but lies in another's place
//! is found too.
//!
//! Invariant: the records don't know their offsets, so callers encode them at once and in parallel, and the writer only
//! puts the pieces together.

use bytes::Bytes;
use weir_event::Stream;

use crate::LogRecord;

const VERSION: u8 = 1;
const CODEC_NONE: u8 = 0;

/// What a blob begins with.
pub(super) const HEADER: [u8; 2] = [VERSION, CODEC_NONE];

/// Appends a record's bytes.
pub(super) fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    put_length(out, key.len());
    out.extend_from_slice(key);
    put_length(out, value.len());
    out.extend_from_slice(value);
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length as u8) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// The checksum that belongs to a batch at this place.
pub(super) fn checksum(stream: Stream, partition: u32, first: u64, count: u32, blob: &[u8]) -> u32 {
    let mut place = [0; 17];
    place[1..5].copy_from_slice(&partition.to_le_bytes());
    place[5..13].copy_from_slice(&first.to_le_bytes());
    place[13..].copy_from_slice(&count.to_le_bytes());
    let sum = crc32c::crc32c(stream.name().as_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &place), blob)
}

/// Reads the batch that begins at `first` and adds its records from `from` on to `out`, as slices of the blob.
///
/// # Errors
/// What is wrong with the blob; `out` is then as it was.
pub(super) fn decode(blob: &Bytes, first: u64, count: u32, from: u64, out: &mut Vec<LogRecord>) -> Result<(), String> {
    let before = out.len();
    decode_into(blob, first, count, from, out).inspect_err(|_| out.truncate(before))
}

fn decode_into(blob: &Bytes, first: u64, count: u32, from: u64, out: &mut Vec<LogRecord>) -> Result<(), String> {
    match blob.get(..2) {
        Some([VERSION, CODEC_NONE]) => {}
        Some([VERSION, codec]) => return Err(format!("codec {codec} is unknown")),
        Some([version, _]) => return Err(format!("version {version} of the batch format is unknown")),
        _ => return Err("the batch has no header".to_owned()),
    }
    let skipped = from.saturating_sub(first).min(u64::from(count));
    // A count that was damaged must not choose how much memory is taken.
    out.reserve((u64::from(count) - skipped).min(blob.len() as u64) as usize);
    let mut at = HEADER.len();
    for offset in first..first + u64::from(count) {
        let (key, value_at) = field(blob, at).ok_or_else(|| torn(offset))?;
        let (value, next) = field(blob, value_at).ok_or_else(|| torn(offset))?;
        if offset >= from {
            out.push(LogRecord { offset, key: blob.slice(key), value: blob.slice(value) });
        }
        at = next;
    }
    if at == blob.len() { Ok(()) } else { Err(format!("{} bytes follow the last record", blob.len() - at)) }
}

fn torn(offset: u64) -> String {
    format!("the batch ends inside the record {offset}")
}

/// The field whose length stands at `at`, and where the next one begins.
fn field(blob: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let (length, start) = length(blob, at)?;
    let end = start.checked_add(length).filter(|end| *end <= blob.len())?;
    Some((start..end, end))
}

fn length(blob: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut length = 0_usize;
    for (i, byte) in blob.get(at..)?.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((length, at + i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn encode(records: &[(Vec<u8>, Vec<u8>)]) -> Bytes {
        let mut blob = HEADER.to_vec();
        for (key, value) in records {
            put(&mut blob, key, value);
        }
        Bytes::from(blob)
    }

    fn records() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        vec((vec(any::<u8>(), 0..60), prop_oneof![vec(any::<u8>(), 0..300), vec(Just(7_u8), 16_000..17_000)]), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_batch_is_read_back_from_any_offset(records in records(), first in 0_u64..1 << 40, skip in 0_u64..10) {
            let blob = encode(&records);
            let mut read = Vec::new();
            decode(&blob, first, records.len() as u32, first + skip, &mut read).unwrap();
            let expected = (first..).zip(&records).skip(skip as usize);
            prop_assert!(read.iter().map(|r| (r.offset, (r.key.to_vec(), r.value.to_vec()))).eq(expected.map(|(o, r)| (o, r.clone()))));
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(bytes in vec(any::<u8>(), 0..200), count in any::<u32>()) {
            let mut blob = HEADER.to_vec();
            blob.extend(bytes);
            let mut read = Vec::new();
            if decode(&Bytes::from(blob), 5, count, 0, &mut read).is_err() {
                prop_assert!(read.is_empty());
            } else {
                prop_assert_eq!(read.len(), count as usize);
            }
        }

        #[test]
        fn a_torn_batch_is_refused(records in records().prop_filter("one at least", |r| !r.is_empty()), keep in 0.0..1.0_f64) {
            let blob = encode(&records);
            let torn = blob.slice(..(blob.len() as f64 * keep) as usize);
            prop_assert!(decode(&torn, 0, records.len() as u32, 0, &mut Vec::new()).is_err());
        }

        #[test]
        fn the_checksum_finds_a_flipped_bit(records in records(), bit in any::<prop::sample::Index>()) {
            let blob = encode(&records);
            let sum = checksum(Stream::Events, 3, 17, records.len() as u32, &blob);
            let mut flipped = blob.to_vec();
            let bit = bit.index(flipped.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(sum, checksum(Stream::Events, 3, 17, records.len() as u32, &flipped));
        }
    }

    #[test]
    fn the_checksum_binds_a_batch_to_its_place() {
        let sum = |stream, partition, first, count| checksum(stream, partition, first, count, b"x");
        let here = sum(Stream::Events, 1, 10, 2);
        assert_ne!(here, sum(Stream::Control, 1, 10, 2));
        assert_ne!(here, sum(Stream::Events, 0, 10, 2));
        assert_ne!(here, sum(Stream::Events, 1, 11, 2));
        assert_ne!(here, sum(Stream::Events, 1, 10, 3));
    }

    /// Pins the format: logs written by this release must be read by every later one.
    #[test]
    fn the_format_is_this_one() {
        let blob = encode(&[(b"k".to_vec(), vec![b'v'; 130]), (Vec::new(), Vec::new())]);
        let mut expected = vec![1, 0, 1, b'k', 0x82, 0x01];
        expected.extend([b'v'; 130]);
        expected.extend([0, 0]);
        assert_eq!(blob, expected);
        assert_eq!(checksum(Stream::Events, 0, 0, 2, b"123456789"), 851_078_071);
    }

    #[test]
    fn what_this_release_cannot_read_is_named() {
        let decode = |bytes: &'static [u8]| decode(&Bytes::from_static(bytes), 0, 0, 0, &mut Vec::new());
        assert!(decode(&[2, 0]).unwrap_err().contains("version 2"));
        assert!(decode(&[1, 7]).unwrap_err().contains("codec 7"));
        assert!(decode(&[1]).unwrap_err().contains("no header"));
        assert!(decode(&[1, 0, 9]).unwrap_err().contains("1 bytes follow"));
    }
}
