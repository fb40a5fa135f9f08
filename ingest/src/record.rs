//! Records of `events.v1` from events that were accepted.
//!
//! All records of a request are written into one buffer and handed to the log as slices of it: a batch of a hundred
//! costs a few allocations, not hundreds. The text is that of [`Envelope::write`](weir_event::Envelope::write), which
//! a test holds it to; that one prints each instant anew and copies each name on its way.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use weir_event::{Identifier, ProfileId, Timestamp};
use weir_event_log::Record;

use crate::id::EventId;
use crate::instant_text;

/// An event that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) id: EventId<'a>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) profile: ProfileId,
    pub(crate) identifier: Option<Identifier>,
    pub(crate) times: Times,
    /// A JSON object.
    pub(crate) data: Option<Cow<'a, str>>,
}

/// The instants of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) time: Timestamp,
    pub(crate) received: Timestamp,
    /// When an import really arrived.
    pub(crate) arrived: Option<Timestamp>,
}

/// Records to be appended together.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) records: Vec<Record>,
    /// The newest receipt among them; none without records.
    pub(crate) newest: Option<Timestamp>,
}

/// Writes the records of one request.
pub(crate) struct Recorder<'w> {
    workspace: &'w str,
    /// The receipt of the request as text: most events have it, many have it twice.
    now: (Timestamp, String),
    out: Vec<u8>,
    cuts: Vec<(Range<usize>, Range<usize>)>,
    newest: Option<Timestamp>,
}

/// Bytes that a record has beside the item as it was sent, about.
const OVERHEAD: usize = 300;

impl<'w> Recorder<'w> {
    /// For `items` events with `bytes` in all, received now.
    pub(crate) fn new(workspace: &'w str, now: Timestamp, items: usize, bytes: usize) -> Self {
        let out = Vec::with_capacity(bytes + items * OVERHEAD);
        let now = (now, now.to_string());
        Self { workspace, now, out, cuts: Vec::with_capacity(items), newest: None }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, event: &Event<'_>) {
        let start = self.out.len();
        self.out.extend_from_slice(self.workspace.as_bytes());
        self.out.push(b'/');
        self.uuid(event.profile.0);
        let key = start..self.out.len();
        self.value(event);
        self.cuts.push((key.clone(), key.end..self.out.len()));
        self.newest = self.newest.max(Some(event.times.received));
    }

    /// How many events have been added.
    pub(crate) fn len(&self) -> usize {
        self.cuts.len()
    }

    /// The records.
    pub(crate) fn finish(self) -> Recorded {
        let whole = Bytes::from(self.out);
        let slice =
            |(key, value): (Range<usize>, Range<usize>)| Record { key: whole.slice(key), value: whole.slice(value) };
        Recorded { records: self.cuts.into_iter().map(slice).collect(), newest: self.newest }
    }

    fn value(&mut self, event: &Event<'_>) {
        self.raw(r#"{"specversion":"1.0","id":"#);
        match &event.id {
            EventId::Given(id) => self.text(id),
            EventId::Made(id) => {
                self.out.push(b'"');
                self.uuid(*id);
                self.out.push(b'"');
            }
        }
        self.raw(r#","source":"/"#);
        // A slug needs no escapes.
        self.out.extend_from_slice(self.workspace.as_bytes());
        self.raw(r#"","type":"#);
        self.text(&event.name);
        self.raw(r#","subject":""#);
        self.uuid(event.profile.0);
        self.raw(r#"","time":"#);
        self.instant(event.times.time);
        self.raw(r#","receivedtime":"#);
        self.instant(event.times.received);
        if let Some(arrived) = event.times.arrived {
            self.raw(r#","arrivedtime":"#);
            self.instant(arrived);
        }
        if let Some(identifier) = &event.identifier {
            self.raw(r#","profilekind":""#);
            self.raw(identifier.kind.as_str());
            self.raw(r#"","profilevalue":"#);
            self.text(&identifier.value);
        }
        if let Some(data) = &event.data {
            self.raw(r#","data":"#);
            self.raw(data);
        }
        self.out.push(b'}');
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, text: &str) {
        // Writing to memory doesn't fail, and any text is a JSON string.
        serde_json::to_writer(&mut self.out, text).expect("a text is always JSON, and memory takes it");
    }

    fn uuid(&mut self, id: uuid::Uuid) {
        let mut buffer = uuid::Uuid::encode_buffer();
        self.out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
    }

    fn instant(&mut self, instant: Timestamp) {
        self.out.push(b'"');
        if instant == self.now.0 {
            self.out.extend_from_slice(self.now.1.as_bytes());
        } else {
            instant_text::write(&mut self.out, instant);
        }
        self.out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use uuid::Uuid;
    use weir_event::{Envelope, IdentifierKind};

    use super::*;

    fn envelope(event: &Event<'_>) -> Vec<u8> {
        let data = event.data.as_ref().map(|data| RawValue::from_string(data.clone().into_owned()).unwrap());
        let envelope = Envelope {
            id: event.id.to_string().into(),
            workspace: "shop".into(),
            name: event.name.clone(),
            subject: event.profile,
            time: event.times.time,
            received: event.times.received,
            arrived: event.times.arrived,
            identifier: event.identifier.clone(),
            data: data.as_deref(),
        };
        let mut out = Vec::new();
        envelope.write(&mut out);
        out
    }

    fn instant() -> impl Strategy<Value = Timestamp> {
        let any = (Timestamp::MIN.micros()..=Timestamp::MAX.micros()).prop_map(Timestamp::from_micros);
        prop_oneof![Just(Timestamp::from_micros(7)), any]
    }

    fn event() -> impl Strategy<Value = Event<'static>> {
        let id = prop_oneof![
            "\\PC{1,9}".prop_map(|id| EventId::Given(id.into())),
            any::<u128>().prop_map(|n| EventId::Made(Uuid::from_u128(n)))
        ];
        let identifier =
            proptest::option::of(".{1,9}".prop_map(|value| Identifier { kind: IdentifierKind::User, value }));
        let times = (instant(), instant(), proptest::option::of(instant()))
            .prop_map(|(time, received, arrived)| Times { time, received, arrived });
        let data = proptest::option::of(Just(Cow::Borrowed(r#"{ "a": [1.50, "x"] }"#)));
        (id, ".{1,9}", any::<u128>(), identifier, times, data).prop_map(
            |(id, name, profile, identifier, times, data)| Event {
                id,
                name: name.into(),
                profile: ProfileId(Uuid::from_u128(profile)),
                identifier,
                times,
                data,
            },
        )
    }

    proptest! {
        #[test]
        fn records_are_those_of_the_envelope(events in proptest::collection::vec(event(), 0..5)) {
            let mut recorder = Recorder::new("shop", Timestamp::from_micros(7), 0, 0);
            events.iter().for_each(|event| recorder.push(event));
            prop_assert_eq!(recorder.len(), events.len());
            let recorded = recorder.finish();
            prop_assert_eq!(recorded.newest, events.iter().map(|event| event.times.received).max());
            for (record, event) in recorded.records.iter().zip(&events) {
                prop_assert_eq!(&record.value[..], &envelope(event)[..]);
                let key = format!("shop/{}", event.profile);
                prop_assert_eq!(&record.key[..], key.as_bytes());
            }
        }
    }
}
