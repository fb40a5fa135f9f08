//! The ids of events that came without one.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use uuid::Uuid;
use weir_event::Timestamp;
use weir_http::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of an `Idempotency-Key`.
const KEY_BYTES: usize = 255;

/// An event's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventId<'a> {
    /// The sender's.
    Given(Cow<'a, str>),
    /// One that was made here.
    Made(Uuid),
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => f.write_str(text),
            Self::Made(id) => id.fmt(f),
        }
    }
}

/// Makes UUIDs of version 7 that grow within the process, also while a test clock stands still.
///
/// The 74 bits beside the milliseconds are drawn anew each millisecond and counted up within one: the uuid crate's own
/// source asks the system for random bytes with every id, which costs more than the rest of an event.
#[derive(Debug, Default)]
pub(crate) struct IdSource(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    millis: u64,
    /// At most 74 bits; starts with 73, so that counting never overflows.
    rest: u128,
}

impl IdSource {
    /// The next id, made at `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Uuid {
        // A test clock may stand before 1970, where version 7 has no instants.
        let millis = u64::try_from(now.micros()).unwrap_or(0) / 1_000;
        // A pair of numbers, valid whenever the lock is free.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if millis > last.millis || last.rest == 0 {
            *last = Last { millis: millis.max(last.millis), rest: rand::random::<u128>() >> 55 };
        } else {
            last.rest += 1;
        }
        // 12 bits follow the version, 62 the variant.
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&(((last.rest >> 62) & 0x0fff) as u16).to_be_bytes());
        bytes[2..].copy_from_slice(&((last.rest & ((1 << 62) - 1)) as u64).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(last.millis, &bytes).into_uuid()
    }
}

/// What the items of one request derive their ids from.
#[derive(Clone, Debug)]
pub(crate) struct Idempotency {
    namespace: Uuid,
    prefix: String,
}

impl Idempotency {
    /// Reads `Idempotency-Key`. `route` keeps the ids of different routes apart, the workspace's `namespace` those of
    /// different workspaces.
    ///
    /// # Errors
    /// 400 `idempotency_key_invalid`.
    pub(crate) fn of(headers: &HeaderMap, namespace: Uuid, route: &str) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().ok().map(str::trim);
        // The draft of the header has a quoted string; most clients send it bare.
        let bare = text.map(|text| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text));
        match bare.filter(|key| (1..=KEY_BYTES).contains(&key.len()) && values.next().is_none()) {
            Some(key) => Ok(Some(Self { namespace, prefix: format!("idempotency:{route}:{key}:") })),
            None => Err(Problem::malformed(
                "idempotency_key_invalid",
                "Idempotency-Key must be given once and have 1 to 255 visible ASCII characters",
            )),
        }
    }

    /// The id of the item at `index`: the same for every attempt at the same request. Those of one request grow with the
    /// index, so that events of one instant keep the order in which they were sent: the order of events goes by ids then.
    pub(crate) fn id(&self, index: usize) -> Uuid {
        let mut bytes = *Uuid::new_v5(&self.namespace, self.prefix.as_bytes()).as_bytes();
        bytes[12..].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn ids_grow_while_the_clock_stands_still_or_goes_back() {
        let source = IdSource::default();
        let instants = [5_000_000, 5_000_000, 5_000_001, 4_000_000, -7, 5_000_000];
        let ids: Vec<_> =
            instants.iter().cycle().take(10_000).map(|&t| source.next(Timestamp::from_micros(t))).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }

    fn read(values: &[&str], route: &str) -> Result<Option<Uuid>, &'static str> {
        let headers =
            values.iter().map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap())).collect::<HeaderMap>();
        let read = Idempotency::of(&headers, Uuid::from_u128(1), route);
        read.map(|found| found.map(|key| key.id(3))).map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_means_the_same_with_and_without_quotes() {
        assert_eq!(read(&[], "a"), Ok(None));
        assert!(read(&["k"], "a").unwrap().is_some());
        assert_eq!(read(&["k"], "a"), read(&[" \"k\" "], "a"));
        assert_ne!(read(&["k"], "a"), read(&["k"], "b"));
        assert_ne!(read(&["k"], "a"), read(&["l"], "a"));
        let key = HeaderMap::from_iter([(IDEMPOTENCY_KEY, HeaderValue::from_static("k"))]);
        let key = Idempotency::of(&key, Uuid::from_u128(1), "a").unwrap().unwrap();
        let ids: Vec<String> = (0..10_000).map(|index| key.id(index).to_string()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "events of one instant would change places");
        for values in [&[""][..], &["\"\""], &["a", "a"], &[&"k".repeat(256)]] {
            assert_eq!(read(values, "a"), Err("idempotency_key_invalid"), "{values:?}");
        }
    }
}
