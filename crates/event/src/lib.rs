#![doc = include_str!("../README.md")]

mod clock;
mod envelope;
mod identity;
pub mod json;
pub mod limits;
mod position;
mod timestamp;

pub use clock::{Clock, ClockRefused};
pub use envelope::{Envelope, Poison, RESERVED_NAMES, is_reserved};
pub use identity::{Identifier, IdentifierKind, IdentifierRefused, ProfileId};
pub use position::{Position, PositionMalformed, Stream};
pub use timestamp::{Timestamp, TimestampMalformed};
