//! An event as the fold sees it, and the order of events.

use serde_json::value::RawValue;

use crate::codec::{Damaged, Reader, put_bytes, put_u64};
use crate::{Envelope, Identifier};

/// An admitted event.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Its place in the order of events.
    pub key: EventKey,
    /// Its name.
    pub name: &'a str,
    /// Properties, or the data of a fact.
    pub data: Option<&'a RawValue>,
    /// The name that the profile was sent by, if it was.
    pub identifier: Option<&'a Identifier>,
}

/// An event's place in the order of events: by (at, time, id as code points, receipt). It is also the event's
/// identity inside a state. The profile as sent comes last in that order; a state has only one, so it isn't kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The effective instant: min(time, receipt).
    pub at: i64,
    /// When it happened, by the sender.
    pub time: i64,
    /// The event's id.
    pub id: Box<str>,
    /// When it was received.
    pub received: i64,
}

impl EventKey {
    /// Whether this event follows the other, both being different ones: its (at, time) is not before the other's.
    /// So events of a sender whose clock is fast, all clamped to one receipt, keep their order.
    pub fn follows(&self, other: &EventKey) -> bool {
        self != other && (self.at, self.time) >= (other.at, other.time)
    }

    /// Appends its bytes: about 27 for an id that is a UUID, which most are: those are kept as 16 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at.to_be_bytes());
        put_u64(out, self.time.wrapping_sub(self.at).cast_unsigned());
        put_u64(out, self.received.wrapping_sub(self.at).cast_unsigned());
        match as_uuid(&self.id) {
            Some(uuid) => {
                out.push(0);
                out.extend_from_slice(uuid.as_bytes());
            }
            None => put_bytes(out, self.id.as_bytes()),
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let at = i64::from_be_bytes(reader.array()?);
        let time = at.wrapping_add(reader.u64()?.cast_signed());
        let received = at.wrapping_add(reader.u64()?.cast_signed());
        let id = match reader.bytes()? {
            [] => uuid::Uuid::from_bytes(reader.array()?).hyphenated().to_string(),
            text => std::str::from_utf8(text).map_err(|_| Damaged("an id is not UTF-8"))?.to_owned(),
        };
        Ok(Self { at, time, id: id.into_boxed_str(), received })
    }
}

/// The UUID that prints as exactly this text.
fn as_uuid(id: &str) -> Option<uuid::Uuid> {
    // Of the forms that the parser takes, only the hyphenated one has 36 characters; it prints in lower case.
    let canonical = id.len() == 36 && !id.bytes().any(|byte| byte.is_ascii_uppercase());
    canonical.then(|| uuid::Uuid::try_parse(id).ok()).flatten()
}

impl<'a> Event<'a> {
    /// The fold's view of a record.
    pub fn of(envelope: &'a Envelope<'a>) -> Self {
        Self {
            key: EventKey {
                at: envelope.at().micros(),
                time: envelope.time.micros(),
                id: envelope.id.as_ref().into(),
                received: envelope.received.micros(),
            },
            name: &envelope.name,
            data: envelope.data,
            identifier: envelope.identifier.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(at: i64, time: i64, id: &str) -> EventKey {
        EventKey { at, time, id: id.into(), received: at }
    }

    #[test]
    fn events_clamped_to_one_receipt_keep_their_order() {
        let (first, second) = (key(10, 20, "b"), key(10, 30, "a"));
        assert!(second.follows(&first) && !first.follows(&second));
        let tie = key(10, 20, "z");
        assert!(tie.follows(&first) && first.follows(&tie), "at one instant each follows the other");
        assert!(!first.follows(&first));
    }

    proptest! {
        #[test]
        fn keys_are_read_as_written(at in any::<i64>(), ahead in 0..i64::MAX / 2, late in 0..i64::MAX / 2, uuid: bool, text in "[a-zA-Zé0-9-]{1,30}", bits: u128) {
            let id = if uuid { uuid::Uuid::from_u128(bits).to_string() } else { text };
            let key = EventKey { at, time: at.wrapping_add(ahead), id: id.into(), received: at.wrapping_add(late) };
            let mut bytes = Vec::new();
            key.write(&mut bytes);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(EventKey::read(&mut reader), Ok(key));
            prop_assert!(reader.finish().is_ok());
        }
    }
}
