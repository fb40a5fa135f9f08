//! Cursors: opaque places in lists.
//!
//! A cursor holds a place, and a check over that place and the list it belongs to. So one that was cut, typed or taken
//! from another list is refused, and never read as some other place. The check is no signature: a forged cursor can
//! only point elsewhere in a list that its caller may read anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use weir_event::{ProfileId, Stream, Timestamp};
use weir_http::Problem;

/// A place in the list of a segment's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberPlace {
    /// The segment version that is listed.
    pub(crate) segment: i64,
    /// The instant that is listed.
    pub(crate) as_of: Timestamp,
    /// The last member that was answered.
    pub(crate) after: (i64, ProfileId),
}

/// A place in a score's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScorePlace {
    /// The score version that is listed.
    pub(crate) score: i64,
    /// The last profile that was answered.
    pub(crate) after: (i128, ProfileId),
}

impl MemberPlace {
    pub(crate) fn seal(self, list: &str) -> String {
        let mut bytes = Vec::with_capacity(48);
        for number in [self.segment, self.as_of.micros(), self.after.0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(self.after.1.0.as_bytes());
        seal(list, bytes)
    }

    /// # Errors
    /// 400 `cursor_invalid`.
    pub(crate) fn open(list: &str, cursor: &str) -> Result<Self, Problem> {
        let bytes = open(list, cursor)?;
        let mut parts = Parts(&bytes);
        let mut number = || parts.take().map(i64::from_be_bytes);
        let (segment, as_of, enters) = (number()?, Timestamp::from_micros(number()?), number()?);
        if !(Timestamp::MIN..=Timestamp::MAX).contains(&as_of) {
            return Err(Problem::cursor_invalid());
        }
        Ok(Self { segment, as_of, after: (enters, parts.last_profile()?) })
    }
}

impl ScorePlace {
    pub(crate) fn seal(self, list: &str) -> String {
        let mut bytes = self.score.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.after.0.to_be_bytes());
        bytes.extend_from_slice(self.after.1.0.as_bytes());
        seal(list, bytes)
    }

    /// # Errors
    /// 400 `cursor_invalid`.
    pub(crate) fn open(list: &str, cursor: &str) -> Result<Self, Problem> {
        let bytes = open(list, cursor)?;
        let mut parts = Parts(&bytes);
        let score = parts.take().map(i64::from_be_bytes)?;
        let points = parts.take().map(i128::from_be_bytes)?;
        Ok(Self { score, after: (points, parts.last_profile()?) })
    }
}

/// A place in the list of removals: the last one that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemovalPlace(pub(crate) Vec<u8>, pub(crate) ProfileId, pub(crate) String);

impl RemovalPlace {
    pub(crate) fn seal(self, list: &str) -> String {
        let Self(place, profile, product) = self;
        let length = u32::try_from(place.len()).unwrap_or(u32::MAX).to_be_bytes();
        seal(list, [&length[..], &place, profile.0.as_bytes(), product.as_bytes()].concat())
    }

    /// # Errors
    /// 400 `cursor_invalid`.
    pub(crate) fn open(list: &str, cursor: &str) -> Result<Self, Problem> {
        let bytes = open(list, cursor)?;
        let mut parts = Parts(&bytes);
        let length = usize::try_from(parts.take().map(u32::from_be_bytes)?).unwrap_or(usize::MAX);
        let (place, rest) = parts.0.split_at_checked(length).ok_or_else(Problem::cursor_invalid)?;
        parts.0 = rest;
        let profile = ProfileId(Uuid::from_bytes(parts.take()?));
        let product = String::from_utf8(parts.0.to_vec()).map_err(|_| Problem::cursor_invalid())?;
        Ok(Self(place.to_vec(), profile, product))
    }
}

/// A place in a summary: what the last product that was answered is sorted by, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SummaryPlace(pub(crate) i128, pub(crate) String);

impl SummaryPlace {
    pub(crate) fn seal(self, list: &str) -> String {
        seal(list, [&self.0.to_be_bytes()[..], self.1.as_bytes()].concat())
    }

    /// # Errors
    /// 400 `cursor_invalid`.
    pub(crate) fn open(list: &str, cursor: &str) -> Result<Self, Problem> {
        let bytes = open(list, cursor)?;
        let mut parts = Parts(&bytes);
        let value = parts.take().map(i128::from_be_bytes)?;
        Ok(Self(value, String::from_utf8(parts.0.to_vec()).map_err(|_| Problem::cursor_invalid())?))
    }
}

/// A place among the records set aside: the first one to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuarantinePlace(pub(crate) Stream, pub(crate) u32, pub(crate) u64);

impl QuarantinePlace {
    const LIST: &str = "quarantine";

    pub(crate) fn seal(self) -> String {
        let Self(stream, partition, offset) = self;
        seal(Self::LIST, [&partition.to_be_bytes(), &offset.to_be_bytes()[..], stream.name().as_bytes()].concat())
    }

    /// # Errors
    /// 400 `cursor_invalid`.
    pub(crate) fn open(cursor: &str) -> Result<Self, Problem> {
        let bytes = open(Self::LIST, cursor)?;
        let mut parts = Parts(&bytes);
        let (partition, offset) = (parts.take().map(u32::from_be_bytes)?, parts.take().map(u64::from_be_bytes)?);
        let stream = std::str::from_utf8(parts.0).ok().and_then(Stream::parse);
        Ok(Self(stream.ok_or_else(Problem::cursor_invalid)?, partition, offset))
    }
}

/// Reads a cursor's bytes from the front.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(Problem::cursor_invalid)?;
        self.0 = rest;
        Ok(*head)
    }

    fn last_profile(mut self) -> Result<ProfileId, Problem> {
        let id = self.take()?;
        if self.0.is_empty() { Ok(ProfileId(Uuid::from_bytes(id))) } else { Err(Problem::cursor_invalid()) }
    }
}

/// A cursor of the list; `list` names the route, the workspace and what is listed.
pub(crate) fn seal(list: &str, mut place: Vec<u8>) -> String {
    let check = check(list, &place);
    place.extend_from_slice(&check);
    URL_SAFE_NO_PAD.encode(place)
}

/// The place in a cursor of that list.
///
/// # Errors
/// 400 `cursor_invalid`.
pub(crate) fn open(list: &str, cursor: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Problem::cursor_invalid())?;
    let (place, sum) = bytes.split_last_chunk::<8>().ok_or_else(Problem::cursor_invalid)?;
    if check(list, place) != *sum {
        return Err(Problem::cursor_invalid());
    }
    bytes.truncate(place.len());
    Ok(bytes)
}

/// FNV-1a over the list's name and the place.
fn check(list: &str, place: &[u8]) -> [u8; 8] {
    let bytes = list.bytes().chain([0]).chain(place.iter().copied());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> MemberPlace {
        let after = (-7, ProfileId(Uuid::from_u128(9)));
        MemberPlace { segment: 3, as_of: Timestamp::from_micros(5), after }
    }

    #[test]
    fn a_place_is_read_back_in_its_own_list_only() {
        assert_eq!(MemberPlace::open("members 1 a", &place().seal("members 1 a")).unwrap(), place());
        let score = ScorePlace { score: -1, after: (i128::MIN, ProfileId(Uuid::max())) };
        assert_eq!(ScorePlace::open("score 1 a", &score.seal("score 1 a")).unwrap(), score);
        let aside = QuarantinePlace(Stream::Control, 7, u64::MAX);
        assert_eq!(QuarantinePlace::open(&aside.seal()).unwrap(), aside);
        let removal = RemovalPlace(vec![0, 255], ProfileId(Uuid::max()), "é".to_owned());
        assert_eq!(RemovalPlace::open("x", &removal.clone().seal("x")).unwrap(), removal);
        let product = SummaryPlace(i128::MIN, String::new());
        assert_eq!(SummaryPlace::open("x", &product.clone().seal("x")).unwrap(), product);
        assert!(RemovalPlace::open("x", &place().seal("x")).is_err(), "a length past the end");
        assert!(QuarantinePlace::open(&place().seal("quarantine")).is_err(), "a place of other bytes");
        for list in ["members 1 b", "members 2 a", ""] {
            let problem = MemberPlace::open(list, &place().seal("members 1 a")).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (400, "cursor_invalid"), "{list}");
        }
    }

    #[test]
    fn an_instant_beyond_all_years_is_no_place() {
        let forged = MemberPlace { as_of: Timestamp::from_micros(i64::MAX), ..place() };
        assert!(MemberPlace::open("x", &forged.seal("x")).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_no_cursor_is_refused(text in "[a-zA-Z0-9_=.-]{0,90}", cut in 0_usize..75) {
            prop_assert!(MemberPlace::open("x", &text).is_err());
            let sealed = place().seal("x");
            prop_assert!(MemberPlace::open("x", &sealed[..cut.min(sealed.len() - 1)]).is_err());
        }
    }
}
