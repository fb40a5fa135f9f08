//! One record of `events.v1`: CloudEvents 1.0 JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Identifier, IdentifierKind, ProfileId, Timestamp, limits};

/// The facts about profiles. They are events too, but have routes of their own and can't be posted by name.
pub const RESERVED_NAMES: [&str; 4] = ["profile.registered", "profile.updated", "profile.linked", "profile.erased"];

/// Whether an event name is one of [`RESERVED_NAMES`].
pub fn is_reserved(name: &str) -> bool {
    RESERVED_NAMES.contains(&name)
}

/// An event as it lies on the log.
///
/// ```
/// use weir_event::Envelope;
/// let record = br#"{"specversion":"1.0","id":"e1","source":"/default","type":"cart.added",
///   "subject":"6fa459ea-ee8a-3ca4-894e-db77e160355e","time":"2026-11-20T10:00:00.000000Z",
///   "receivedtime":"2026-11-20T10:00:00.120000Z","data":{"product_id":"sku-1"}}"#;
/// let event = Envelope::parse(record).unwrap();
/// assert_eq!((event.workspace.as_ref(), event.name.as_ref()), ("default", "cart.added"));
/// assert_eq!(event.at(), event.time);
/// ```
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The event's id: the sender's, or one that ingest made.
    pub id: Cow<'a, str>,
    /// The slug of the workspace (`source` without its slash).
    pub workspace: Cow<'a, str>,
    /// The event's name (`type`).
    pub name: Cow<'a, str>,
    /// The profile as sent.
    pub subject: ProfileId,
    /// When it happened, by the sender.
    pub time: Timestamp,
    /// When it was received; an import carries its own.
    pub received: Timestamp,
    /// When an import really arrived; absent otherwise.
    pub arrived: Option<Timestamp>,
    /// The name that the profile was sent by; absent when it was sent by id.
    pub identifier: Option<Identifier>,
    /// Properties of an event; `traits`, `name` and `email` of a fact.
    pub data: Option<&'a RawValue>,
}

/// A record that no projection can take in. It is set aside with this reason, and the partition goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    name: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    time: Timestamp,
    receivedtime: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrivedtime: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profilekind: Option<IdentifierKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profilevalue: Option<String>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// Whatever keeps the record from being folded: no JSON, a missing attribute, no valid receipt, data that is no
    /// object or breaks the rules of [`json::check`](crate::json::check).
    pub fn parse(record: &'a [u8]) -> Result<Self, Poison> {
        let text = std::str::from_utf8(record).map_err(|_| Poison("the record is not UTF-8".to_owned()))?;
        let wire: Wire<'a> = serde_json::from_str(text).map_err(|e| Poison(format!("not an event: {e}")))?;
        if wire.specversion != "1.0" {
            return Err(Poison(format!("specversion is {:?}, expected \"1.0\"", wire.specversion)));
        }
        if wire.id.is_empty() || wire.id.len() > limits::ID_BYTES {
            return Err(Poison("id must have 1 to 100 bytes".to_owned()));
        }
        if wire.name.is_empty() || wire.name.len() > limits::NAME_BYTES {
            return Err(Poison("type must have 1 to 200 bytes".to_owned()));
        }
        let subject = Uuid::parse_str(&wire.subject).map_err(|_| Poison("subject is not a UUID".to_owned()))?;
        let identifier = match (wire.profilekind, wire.profilevalue) {
            (Some(kind), Some(value)) => Some(Identifier { kind, value }),
            _ => None,
        };
        if let Some(data) = wire.data {
            check_data(data)?;
        }
        Ok(Self {
            workspace: without_slash(wire.source)?,
            id: wire.id,
            name: wire.name,
            subject: ProfileId(subject),
            time: wire.time,
            received: wire.receivedtime,
            arrived: wire.arrivedtime,
            identifier,
            data: wire.data,
        })
    }

    /// Appends the record's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let wire = Wire {
            specversion: Cow::Borrowed("1.0"),
            id: Cow::Borrowed(&self.id),
            source: Cow::Owned(format!("/{}", self.workspace)),
            name: Cow::Borrowed(&self.name),
            subject: Cow::Owned(self.subject.to_string()),
            time: self.time,
            receivedtime: self.received,
            arrivedtime: self.arrived,
            profilekind: self.identifier.as_ref().map(|id| id.kind),
            profilevalue: self.identifier.as_ref().map(|id| id.value.clone()),
            data: self.data,
        };
        // Strings, instants and JSON that was parsed before: nothing here can fail to become JSON.
        serde_json::to_writer(out, &wire).expect("an envelope is always JSON");
    }

    /// The effective instant: nothing happened after it was received.
    pub fn at(&self) -> Timestamp {
        self.time.min(self.received)
    }

    /// When it came in, by ingest's own clock; what the window of repeats is counted by.
    pub fn arrival(&self) -> Timestamp {
        self.arrived.unwrap_or(self.received)
    }

    /// The record's key on the log: all events of a profile as sent share one partition.
    pub fn key(&self) -> String {
        format!("{}/{}", self.workspace, self.subject)
    }
}

fn check_data(data: &RawValue) -> Result<(), Poison> {
    if !data.get().starts_with('{') && data.get() != "null" {
        return Err(Poison("data is not an object".to_owned()));
    }
    crate::json::check(data.get(), limits::JSON_DEPTH)
        .map_err(|fault| Poison(format!("data{}: {}", fault.pointer, fault.message)))
}

fn without_slash(source: Cow<'_, str>) -> Result<Cow<'_, str>, Poison> {
    let slug = match source {
        Cow::Borrowed(text) => text.strip_prefix('/').map(Cow::Borrowed),
        Cow::Owned(text) => text.strip_prefix('/').map(|slug| Cow::Owned(slug.to_owned())),
    };
    slug.filter(|slug| !slug.is_empty()).ok_or_else(|| Poison("source is not /<workspace>".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"specversion":"1.0","id":"e1","source":"/default","type":"cart.added","subject":"6fa459ea-ee8a-3ca4-894e-db77e160355e","time":"2026-11-20T10:00:01.000000Z","receivedtime":"2026-11-20T10:00:00.120000Z","profilekind":"email","profilevalue":"ada@example.com","data":{"a":[1, 2]}}"#;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let event = Envelope::parse(RECORD.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        event.write(&mut bytes);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), RECORD);
    }

    #[test]
    fn nothing_happened_after_it_was_received() {
        let event = Envelope::parse(RECORD.as_bytes()).unwrap();
        assert_eq!(event.at(), event.received);
        assert_eq!(event.arrival(), event.received);
    }

    #[test]
    fn attributes_of_later_releases_are_let_by() {
        assert!(Envelope::parse(RECORD.replacen('{', r#"{"traceparent":"x","n":[{}],"#, 1).as_bytes()).is_ok());
    }

    #[test]
    fn poison_names_its_reason() {
        for (from, to, reason) in [
            ("\"receivedtime\":\"2026-11-20T10:00:00.120000Z\",", "", "receivedtime"),
            ("2026-11-20T10:00:00.120000Z", "yesterday", "RFC 3339"),
            ("\"/default\"", "\"default\"", "source"),
            ("6fa459ea", "zzz", "subject"),
            ("\"1.0\"", "\"0.3\"", "specversion"),
            ("{\"a\":[1, 2]}", "[1]", "object"),
            ("[1, 2]", "\"\\u0000\"", "NUL"),
            ("\"e1\"", "\"\"", "id"),
        ] {
            let record = RECORD.replace(from, to);
            let Poison(said) = Envelope::parse(record.as_bytes()).unwrap_err();
            assert!(said.contains(reason), "{said:?} should name {reason:?}");
        }
        assert!(Envelope::parse(b"\xff").is_err());
        assert!(Envelope::parse(b"").is_err());
    }
}
