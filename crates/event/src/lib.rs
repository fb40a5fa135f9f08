#![doc = include_str!("../README.md")]

mod clock;
pub mod codec;
mod decimal;
mod envelope;
mod event;
mod identity;
pub mod json;
pub mod limits;
mod position;
mod timestamp;
pub mod value;

pub use clock::{Clock, ClockRefused};
pub use decimal::Decimal;
pub use envelope::{Envelope, Poison, RESERVED_NAMES, is_reserved};
pub use event::{Event, EventKey};
pub use identity::{Identifier, IdentifierKind, IdentifierRefused, ProfileId};
pub use position::{Position, PositionMalformed, Stream};
pub use timestamp::{Timestamp, TimestampMalformed};
