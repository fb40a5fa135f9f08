//! What goes onto the log and what comes off it.

use bytes::Bytes;

use crate::Cause;

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Chooses the partition: records of one key keep their order. Never empty on `events.v1`.
    pub key: Bytes,
    /// What is stored; the log doesn't look into it.
    pub value: Bytes,
}

impl Record {
    /// The most bytes that key and value may have together.
    pub const MAX_BYTES: usize = 16_000_000;

    /// A record of this key and value.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// The bytes of key and value.
    ///
    /// # Errors
    /// [`Cause::TooLarge`]: no log takes the record.
    pub(crate) fn checked_size(&self) -> Result<usize, Cause> {
        let bytes = self.key.len() + self.value.len();
        if bytes > Self::MAX_BYTES { Err(Cause::TooLarge { bytes, limit: Self::MAX_BYTES }) } else { Ok(bytes) }
    }
}

/// A record as it lies on a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its place on the partition: the first record has 0, the next one 1, without gaps.
    pub offset: u64,
    /// The key that it was appended with.
    pub key: Bytes,
    /// The value that it was appended with, byte for byte.
    pub value: Bytes,
}

/// A run of records of one partition, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The offset that was asked for, which is that of the first record if there is one.
    pub first: u64,
    /// The offset after the last record: where to read on. Equal to `first` when there are no records.
    pub next: u64,
    /// The records `first..next`.
    pub records: Vec<LogRecord>,
}

impl Chunk {
    /// A chunk without records.
    pub fn empty(at: u64) -> Self {
        Self { first: at, next: at, records: Vec::new() }
    }
}

/// How far a partition reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the first record held (or to come).
    pub first: u64,
    /// The first offset not written yet.
    pub end: u64,
}
