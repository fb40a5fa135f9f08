//! Keys that sort, as bytes, as what they stand for does.

use weir_event::EventKey;

/// A place in the order of events: (at, time, id as code points, receipt).
///
/// `time` is kept as its distance from `at`, which it never lies before: mostly one byte.
pub fn of_event(key: &EventKey) -> Vec<u8> {
    let mut place = Vec::with_capacity(20 + key.id.len());
    place.extend_from_slice(&sortable(key.at));
    push_length_first(&mut place, key.time.wrapping_sub(key.at).cast_unsigned());
    place.extend_from_slice(key.id.as_bytes());
    // Ids hold no NUL, so a shorter id sorts before those that it begins.
    place.push(0);
    push_length_first(&mut place, key.received.wrapping_sub(key.at).cast_unsigned());
    place
}

/// What the places of all events from an instant on begin with, or sort after.
pub fn at(instant: i64) -> [u8; 8] {
    sortable(instant)
}

/// Points, so that more of them sort first.
pub fn of_points(billionths: i128) -> [u8; 16] {
    (!(billionths.cast_unsigned() ^ (1 << 127))).to_be_bytes()
}

/// The points that [`of_points`] made a key of.
pub fn to_points(place: [u8; 16]) -> i128 {
    (!u128::from_be_bytes(place) ^ (1 << 127)).cast_signed()
}

fn sortable(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// How many bytes follow, then the bytes without leading zeros: shorter numbers are smaller ones.
fn push_length_first(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    out.push(u8::try_from(bytes.len() - zeros).unwrap_or(8));
    out.extend_from_slice(&bytes[zeros..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = EventKey> {
        (-300_i64..300, 0_i64..600, "[a-cé]{1,3}", 0_i64..600).prop_map(|(at, ahead, id, late)| EventKey {
            at,
            time: at + ahead,
            id: id.into(),
            received: at + late,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn places_sort_as_events_do(a in key(), b in key()) {
            prop_assert_eq!(of_event(&a).cmp(&of_event(&b)), a.cmp(&b));
        }

        #[test]
        fn more_points_sort_first(a: i128, b: i128) {
            prop_assert_eq!(of_points(a).cmp(&of_points(b)), b.cmp(&a));
            prop_assert_eq!(to_points(of_points(a)), a);
        }
    }
}
