//! The writer's half of an append: pieces of many appends packed into as few rows as the caps allow.

use std::collections::BTreeMap;

use weir_event::Stream;

use super::blob;
use super::link::Tails;
use super::pieces::Piece;

/// A row takes on no piece that would bring it over this size or count: whoever wants one record reads its whole row.
const ROW_BYTES: usize = 512 * 1024;
const ROW_RECORDS: u32 = 4_000;

/// A record batch, about to be written.
pub(super) struct Row {
    pub(super) stream: Stream,
    pub(super) partition: u32,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) checksum: u32,
    pub(super) bytes: Vec<u8>,
}

/// A row that still takes on pieces.
struct Open<'a> {
    first: u64,
    count: u32,
    size: usize,
    pieces: Vec<&'a [u8]>,
}

/// What a group of appends becomes.
pub(super) struct Packed {
    /// The rows to write.
    pub(super) rows: Vec<Row>,
    /// The answer to each append, in the order of the appends.
    pub(super) answers: Vec<Vec<(u32, u64)>>,
    /// The ends once the rows are written.
    pub(super) tails: Tails,
}

/// Puts the pieces behind `tails`, in the order of the appends.
pub(super) fn pack<'a>(appends: impl Iterator<Item = (Stream, &'a [Piece])>, mut tails: Tails) -> Packed {
    let mut open: BTreeMap<(Stream, u32), Open<'a>> = BTreeMap::new();
    let (mut rows, mut answers) = (Vec::new(), Vec::new());
    for (stream, pieces) in appends {
        let mut answer: Vec<(u32, u64)> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let place = (stream, piece.partition);
            let tail = tails.entry(place).or_insert(0);
            if open.get(&place).is_some_and(|row| !row.takes(piece)) {
                rows.extend(open.remove(&place).map(|row| row.close(place)));
            }
            open.entry(place).or_insert_with(|| Open::at(*tail)).push(piece);
            *tail += u64::from(piece.count);
            match answer.last_mut() {
                Some(last) if last.0 == piece.partition => last.1 = *tail,
                _ => answer.push((piece.partition, *tail)),
            }
        }
        answers.push(answer);
    }
    rows.extend(open.into_iter().map(|(place, row)| row.close(place)));
    Packed { rows, answers, tails }
}

impl<'a> Open<'a> {
    fn at(first: u64) -> Self {
        Self { first, count: 0, size: blob::HEADER.len(), pieces: Vec::new() }
    }

    fn takes(&self, piece: &Piece) -> bool {
        self.size + piece.bytes.len() <= ROW_BYTES && self.count + piece.count <= ROW_RECORDS
    }

    fn push(&mut self, piece: &'a Piece) {
        self.count += piece.count;
        self.size += piece.bytes.len();
        self.pieces.push(&piece.bytes);
    }

    fn close(self, (stream, partition): (Stream, u32)) -> Row {
        let mut bytes = Vec::with_capacity(self.size);
        bytes.extend_from_slice(&blob::HEADER);
        for piece in &self.pieces {
            bytes.extend_from_slice(piece);
        }
        let checksum = blob::checksum(stream, partition, self.first, self.count, &bytes);
        Row { stream, partition, first: self.first, count: self.count, checksum, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::sqlite::pieces;

    fn pieces_of(count: usize, bytes: usize, partitions: u32) -> Vec<Piece> {
        let records: Vec<Record> = (0..count).map(|i| Record::new(format!("k{i}"), vec![b'x'; bytes])).collect();
        pieces::encode(&records, partitions).unwrap()
    }

    fn pack_all(appends: &[(Stream, Vec<Piece>)], tails: Tails) -> Packed {
        pack(appends.iter().map(|(stream, pieces)| (*stream, pieces.as_slice())), tails)
    }

    #[test]
    fn small_appends_share_a_row_and_each_gets_its_own_answer() {
        let appends = [
            (Stream::Events, pieces_of(3, 10, 1)),
            (Stream::Control, pieces_of(1, 10, 1)),
            (Stream::Events, pieces_of(2, 10, 1)),
        ];
        let packed = pack_all(&appends, Tails::from([((Stream::Events, 0), 40)]));
        let rows: Vec<_> = packed.rows.iter().map(|row| (row.stream, row.first, row.count)).collect();
        assert_eq!(rows, [(Stream::Events, 40, 5), (Stream::Control, 0, 1)]);
        assert_eq!(packed.answers, [vec![(0, 43)], vec![(0, 1)], vec![(0, 45)]]);
        assert_eq!(packed.tails, Tails::from([((Stream::Events, 0), 45), ((Stream::Control, 0), 1)]));
    }

    #[test]
    fn rows_are_capped_and_leave_no_gap() {
        let appends: Vec<_> = (0..20).map(|_| (Stream::Events, pieces_of(1_500, 200, 2))).collect();
        let packed = pack_all(&appends, Tails::new());
        assert_eq!(packed.tails.values().sum::<u64>(), 30_000);
        for partition in 0..2 {
            let mut next = 0;
            let mut rows: Vec<&Row> = packed.rows.iter().filter(|row| row.partition == partition).collect();
            rows.sort_by_key(|row| row.first);
            for row in rows {
                assert_eq!(row.first, next);
                assert!(row.count <= ROW_RECORDS && row.bytes.len() <= ROW_BYTES);
                next += u64::from(row.count);
            }
            assert_eq!(next, packed.tails[&(Stream::Events, partition)]);
        }
    }
}
