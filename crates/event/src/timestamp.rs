//! Instants as integer microseconds.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
///
/// Text is RFC 3339; what is printed is UTC with exactly six digits after the point, so that texts sort as instants
/// do. Further digits of a text are cut off, never rounded.
///
/// ```
/// use weir_event::Timestamp;
/// let t = Timestamp::parse("2026-11-20T11:00:00.1234567+01:00").unwrap();
/// assert_eq!(t.to_string(), "2026-11-20T10:00:00.123456Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is no RFC 3339 date-time of the years 1 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 instant, such as 2026-11-20T10:00:00Z")]
pub struct TimestampMalformed;

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    /// The instant that lies `micros` microseconds after 1970 began.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970 began.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 date-time.
    ///
    /// # Errors
    /// Anything that RFC 3339 doesn't allow (a missing offset or missing seconds, for example), and instants outside
    /// the years 1 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimestampMalformed> {
        parse(text.as_bytes()).filter(|stamp| (Self::MIN..=Self::MAX).contains(stamp)).ok_or(TimestampMalformed)
    }
}

/// 1970-01-01T00:00:00, without a zone. `jiff::Timestamp` itself ends a day before the year 9999 does.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

fn parse(text: &[u8]) -> Option<Timestamp> {
    const PATTERN: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let (head, tail) = text.split_at_checked(PATTERN.len())?;
    let fits = head.iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    });
    if !fits {
        return None;
    }
    let field = |at: usize| two(&head[at..at + 2]);
    let year = i16::from(field(0)?) * 100 + i16::from(field(2)?);
    // A leap second is the last second before it.
    let second = field(17)?.min(if field(17)? == 60 { 59 } else { i8::MAX });
    let civil = DateTime::new(year, field(5)?, field(8)?, field(11)?, field(14)?, second, 0).ok()?;
    let (fraction, zone) = fraction(tail)?;
    let local = i64::try_from(civil.duration_since(EPOCH).as_micros()).ok()?;
    Some(Timestamp(local + fraction - offset(zone)?))
}

fn two(digits: &[u8]) -> Option<i8> {
    match digits {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => i8::try_from((a - b'0') * 10 + (b - b'0')).ok(),
        _ => None,
    }
}

/// The microseconds of `.123456…`, if it is there, and what follows.
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = tail.strip_prefix(b".") else { return Some((0, tail)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let micros = (0..6).fold(0, |sum, i| sum * 10 + if i < count { i64::from(digits[i] - b'0') } else { 0 });
    Some((micros, &digits[count..]))
}

/// The microseconds by which a zone's wall is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', _, _] if hours.len() == 2 => {
            let (hours, minutes) = (two(hours)?, two(&zone[4..])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let micros = (i64::from(hours) * 60 + i64::from(minutes)) * 60_000_000;
            Some(if *sign == b'-' { -micros } else { micros })
        }
        _ => None,
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_micros(self.0)) {
            Ok(t) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minute(),
                t.second(),
                t.subsec_nanosecond() / 1_000
            ),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rfc_3339_allows() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00.000001z", 1),
            ("1970-01-01T00:00:00.0000019Z", 1),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("1970-01-01T01:00:00.5+01:00", 500_000),
            ("1970-01-01T00:00:00.123456789123Z", 123_456),
            ("0001-01-01T00:00:00Z", Timestamp::MIN.micros()),
            ("9999-12-31T23:59:59.999999Z", Timestamp::MAX.micros()),
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp(micros)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "now",
            "2026-11-20",
            "2026-11-20T10:00Z",
            "2026-11-20T10:00:00",
            "2026-11-20 10:00:00Z",
            "2026-11-20T10:00:00.Z",
            "2026-11-20T10:00:00+0100",
            "2026-13-20T10:00:00Z",
            "2026-11-20T25:00:00Z",
            "2026-11-20T10:00:00Z[UTC]",
            "+002026-11-20T10:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-11-20T10:00:00,5Z",
            "2026-02-30T10:00:00Z",
            "2026-11-20T10:00:61Z",
            "2026-11-20T10:00:00+24:00",
            "0001-01-01T00:00:00+00:01",
        ] {
            assert_eq!(Timestamp::parse(text), Err(TimestampMalformed), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["2026-11-20T10:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }
}
