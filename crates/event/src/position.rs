//! Where on the log something is.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// A stream of the log; in Kafka a topic `<prefix>.<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// What happened to profiles: `events.v1`.
    Events,
    /// Workspaces, keys and definitions: `control.v1`, one partition.
    Control,
}

impl Stream {
    /// Every stream there is.
    pub const ALL: [Stream; 2] = [Stream::Events, Stream::Control];

    /// The stream's name on the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events.v1",
            Self::Control => "control.v1",
        }
    }

    /// The stream with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// One byte for tokens; never reused for another stream.
    const fn code(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Control => 2,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place on one log: for each stream and partition that it speaks of, the next offset (the first one not included).
///
/// Its text is the opaque token of `Weir-Position` and `Weir-After`.
///
/// ```
/// use weir_event::{Position, Stream};
/// let mut position = Position::new(uuid::Uuid::nil());
/// position.raise(Stream::Events, 0, 42);
/// assert_eq!(Position::parse(&position.to_string()), Ok(position));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The lineage of the log.
    pub lineage: Uuid,
    /// The next offset by stream and partition.
    pub next: BTreeMap<(Stream, u32), u64>,
}

/// The text is no position token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position token; pass the value of a Weir-Position header as it came")]
pub struct PositionMalformed;

impl Position {
    /// The position before everything on the log of this lineage.
    pub fn new(lineage: Uuid) -> Self {
        Self { lineage, next: BTreeMap::new() }
    }

    /// Moves the position forward to `next`; never backward.
    pub fn raise(&mut self, stream: Stream, partition: u32, next: u64) {
        let slot = self.next.entry((stream, partition)).or_insert(next);
        *slot = (*slot).max(next);
    }

    /// Takes the later offset of both, place by place. Both must be of one lineage.
    pub fn merge(&mut self, other: &Position) {
        for (&(stream, partition), &next) in &other.next {
            self.raise(stream, partition, next);
        }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// The text isn't one that [`Position`] printed.
    pub fn parse(token: &str) -> Result<Self, PositionMalformed> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim()).map_err(|_| PositionMalformed)?;
        let (version, rest) = bytes.split_first().ok_or(PositionMalformed)?;
        let (lineage, entries) = rest.split_at_checked(16).ok_or(PositionMalformed)?;
        if *version != 1 || entries.len() % 13 != 0 {
            return Err(PositionMalformed);
        }
        let mut position = Self::new(Uuid::from_slice(lineage).map_err(|_| PositionMalformed)?);
        for entry in entries.chunks_exact(13) {
            let stream = Stream::ALL.into_iter().find(|s| s.code() == entry[0]).ok_or(PositionMalformed)?;
            let partition = entry[1..5].try_into().map(u32::from_be_bytes).map_err(|_| PositionMalformed)?;
            let next = entry[5..13].try_into().map(u64::from_be_bytes).map_err(|_| PositionMalformed)?;
            position.raise(stream, partition, next);
        }
        Ok(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![1];
        bytes.extend_from_slice(self.lineage.as_bytes());
        for (&(stream, partition), next) in &self.next {
            bytes.push(stream.code());
            bytes.extend_from_slice(&partition.to_be_bytes());
            bytes.extend_from_slice(&next.to_be_bytes());
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_as_it_was_printed() {
        let mut position = Position::new(Uuid::from_u128(5));
        position.raise(Stream::Events, 3, u64::MAX);
        position.raise(Stream::Control, 0, 1);
        assert_eq!(Position::parse(&position.to_string()), Ok(position));
    }

    #[test]
    fn refuses_what_is_no_token() {
        for token in ["", "abc", "!!!!", "AQ", "AgAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(Position::parse(token), Err(PositionMalformed), "{token}");
        }
    }

    #[test]
    fn merging_keeps_the_later_offset() {
        let mut a = Position::new(Uuid::nil());
        a.raise(Stream::Events, 0, 5);
        let mut b = Position::new(Uuid::nil());
        b.raise(Stream::Events, 0, 3);
        b.raise(Stream::Events, 1, 2);
        a.merge(&b);
        assert_eq!(a.next, BTreeMap::from([((Stream::Events, 0), 5), ((Stream::Events, 1), 2)]));
    }
}
