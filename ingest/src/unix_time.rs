//! Instants given as numbers: Unix seconds below 10^11 in size, milliseconds from there on.
//!
//! They are taken from their digits, not through a double: 1795168800.123456 has 16 digits, and a double would round
//! the microsecond.

use weir_event::Timestamp;

/// Digits of the integer part from which a number counts milliseconds.
const SECONDS_DIGITS: i64 = 11;
/// 10^18 microseconds lie beyond the year 9999 in either direction.
const MAX_DIGITS: i64 = 18;

/// The instant that a JSON number stands for, further digits cut off; `None` outside the years 1 to 9999.
pub(crate) fn instant(number: &str) -> Option<Timestamp> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    // The number is 0.DIGITS × 10^point, the first digit not being zero.
    let point =
        i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(zeros).ok()?)?.checked_add(power(exponent))?;
    let keep = point + if point <= SECONDS_DIGITS { 6 } else { 3 };
    let mut digits = digits().skip(zeros).peekable();
    if digits.peek().is_none() {
        return Some(Timestamp::from_micros(0));
    }
    if keep > MAX_DIGITS {
        return None;
    }
    let micros = (0..keep).fold(0_i64, |sum, _| sum * 10 + digits.next().map_or(0, |digit| i64::from(digit - b'0')));
    let instant = Timestamp::from_micros(if negative { -micros } else { micros });
    (Timestamp::MIN..=Timestamp::MAX).contains(&instant).then_some(instant)
}

/// The exponent; one that no `i32` holds is as good as any other of that size.
fn power(text: &str) -> i64 {
    const HUGE: i64 = 1 << 40;
    match text.parse::<i64>() {
        Ok(power) => power.clamp(-HUGE, HUGE),
        Err(_) if text.starts_with('-') => -HUGE,
        Err(_) => HUGE,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(number: &str) -> Option<i64> {
        instant(number).map(Timestamp::micros)
    }

    #[test]
    fn reads_seconds_and_milliseconds() {
        for (number, expected) in [
            ("0", Some(0)),
            ("-0.0e7", Some(0)),
            ("0e99999999999999999999", Some(0)),
            ("1", Some(1_000_000)),
            ("1795168800.123456", Some(1_795_168_800_123_456)),
            ("1795168800.1234569", Some(1_795_168_800_123_456)),
            ("1.795168800123456e9", Some(1_795_168_800_123_456)),
            ("1795168800123", Some(1_795_168_800_123_000)),
            ("1795168800123.4567", Some(1_795_168_800_123_456)),
            ("99999999999.9", Some(99_999_999_999_900_000)),
            ("100000000000", Some(100_000_000_000_000)),
            ("1e11", Some(100_000_000_000_000)),
            ("0.0000019", Some(1)),
            ("1e-7", Some(0)),
            ("-1.5", Some(-1_500_000)),
            ("1e-99999999999999999999", Some(0)),
            ("1e99999999999999999999", None),
            ("253402300799999", Some(253_402_300_799_999_000)),
            ("253402300800000", None),
            ("-62135596800", Some(Timestamp::MIN.micros())),
            ("-62135596801", None),
            ("1e15", None),
        ] {
            assert_eq!(micros(number), expected, "{number}");
        }
    }

    proptest! {
        #[test]
        fn whole_seconds_are_exact(seconds in -62_135_596_800_i64..100_000_000_000) {
            prop_assert_eq!(micros(&seconds.to_string()), Some(seconds * 1_000_000));
        }
    }
}
