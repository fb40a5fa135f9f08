//! `COPY … FROM STDIN (FORMAT binary)`: of the ways to insert many rows the cheapest (half of what an `INSERT` with
//! `ON CONFLICT` takes of the server), for rows that are known not to be there.

use uuid::Uuid;

use super::schema::Text;
use super::sessions::Session;

/// From so many rows on they are copied; below, two more statements around a copy cost more than it saves.
const COPIED: usize = 256;
/// A copy ends after so many bytes, and another one begins: its time limit is a short one.
const COPY_BYTES: usize = 4 << 20;

/// New rows: those that are copied, and those that the usual statement writes.
pub(super) fn apart<R>(new: &[R]) -> (&[R], &[R]) {
    new.split_at(if new.len() >= COPIED { new.len() } else { 0 })
}

/// Copies rows; `values` must write each column's value, in the order of the statement.
pub(super) async fn copy<R>(
    session: &mut Session,
    statement: &Text,
    columns: i16,
    rows: impl IntoIterator<Item = R>,
    values: impl Fn(&mut Rows, R),
) -> Result<(), sqlx::Error> {
    let mut copied = Rows::new(columns);
    for row in rows {
        values(copied.row(), row);
        if copied.bytes.len() >= COPY_BYTES {
            session.copy(statement, &std::mem::replace(&mut copied, Rows::new(columns)).finish()).await?;
        }
    }
    if copied.bytes.len() == HEADER.len() {
        return Ok(());
    }
    session.copy(statement, &copied.finish()).await
}

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

    pub(super) fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes(&[u8::from(value)])
    }

    pub(super) fn smallint(&mut self, value: i16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
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
