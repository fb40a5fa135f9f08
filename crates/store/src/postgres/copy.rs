//! Rows for `COPY … FROM STDIN (FORMAT binary)`: of the ways to insert many rows the cheapest, for tables that are only
//! ever inserted into.

use uuid::Uuid;

/// The signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Rows as the server takes them. A value must have its column's type exactly.
pub(super) struct Rows {
    bytes: Vec<u8>,
    columns: [u8; 2],
}

impl Rows {
    pub(super) fn new(columns: i16) -> Self {
        Self { bytes: HEADER.to_vec(), columns: columns.to_be_bytes() }
    }

    /// Begins a row; a value for each column must follow.
    pub(super) fn row(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&self.columns);
        self
    }

    pub(super) fn integer(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bigint(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Of up to 2 GiB, which no record comes near.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&END);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL's manual describes the format (COPY, "Binary Format").
    #[test]
    fn rows_are_laid_out_as_the_manual_says() {
        let mut rows = Rows::new(3);
        rows.row().integer(-2).bytes(b"ab").bigint(1);
        let expected = [
            b"PGCOPY\n\xff\r\n\0".as_slice(),
            &[0, 0, 0, 0],
            &[0, 0, 0, 0],
            &[0, 3],
            &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xfe],
            &[0, 0, 0, 2, b'a', b'b'],
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0xff, 0xff],
        ];
        assert_eq!(rows.finish(), expected.concat());
    }
}
