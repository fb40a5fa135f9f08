//! Exact numbers: i128 with nine digits after the point, round half even.
//!
//! A double would make 0.7 + 0.1 smaller than 0.8, and a sum depend on the order of its terms; both would make a
//! member wrong. Numbers are taken from their digits in the JSON text, never through a double.

use std::fmt;

/// A decimal number with nine digits after the point.
///
/// ```
/// use weir_segment::Decimal;
/// let sum = Decimal::parse("0.7").unwrap().checked_add(Decimal::parse("1e-1").unwrap()).unwrap();
/// assert!(sum >= Decimal::parse("0.8").unwrap());
/// assert_eq!(sum.to_string(), "0.8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(i128);

const DIGITS: i64 = 9;
const UNIT: i128 = 1_000_000_000;
/// A number of this size or more is no decimal of ours: 10^18, in billionths.
const BOUND: i128 = 1_000_000_000_000_000_000 * UNIT;

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal(0);

    /// Reads a JSON number. `None` for 10^18 or more in size: to every comparison such a number is of another type.
    pub fn parse(number: &str) -> Option<Self> {
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            // An exponent too long for i64 is either nothing or far too much; the sign tells.
            Some((mantissa, e)) => {
                let limit = if e.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
                (mantissa, e.parse::<i64>().unwrap_or(limit).clamp(i64::MIN / 4, i64::MAX / 4))
            }
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let size =
            scale(whole.bytes().chain(fraction.bytes()), exponent + DIGITS - i64::try_from(fraction.len()).ok()?)?;
        (size < BOUND).then_some(Self(if negative { -size } else { size }))
    }

    /// The sum, or `None` past the range of i128.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Billionths; the form that state bytes and tables keep.
    pub const fn billionths(self) -> i128 {
        self.0
    }

    /// The number of so many billionths.
    pub const fn from_billionths(billionths: i128) -> Self {
        Self(billionths)
    }
}

/// The integer that the digits spell, times 10^shift, rounded half even. `None` where it doesn't fit below [`BOUND`].
fn scale(digits: impl Iterator<Item = u8>, shift: i64) -> Option<i128> {
    let digits: Vec<u8> = digits.skip_while(|d| *d == b'0').map(|d| d - b'0').collect();
    if digits.is_empty() {
        return Some(0);
    }
    let kept = i64::try_from(digits.len()).ok()?.checked_add(shift)?;
    if kept > 28 {
        return None;
    }
    if kept < 0 {
        return Some(0);
    }
    let kept_len = usize::try_from(kept).ok()?;
    let mut value: i128 = 0;
    for i in 0..kept_len {
        value = value * 10 + i128::from(digits.get(i).copied().unwrap_or(0));
    }
    let rest = digits.get(kept_len..).unwrap_or(&[]);
    let above_half = match rest.split_first() {
        None => false,
        Some((first, tail)) => *first > 5 || (*first == 5 && (tail.iter().any(|d| *d != 0) || value % 2 == 1)),
    };
    Some(value + i128::from(above_half))
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let (whole, part) = (size / UNIT.unsigned_abs(), size % UNIT.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{part:09}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl serde::Serialize for Decimal {
    /// A JSON number with exactly these digits.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = serde_json::value::RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: &str) -> Option<String> {
        Decimal::parse(number).map(|d| d.to_string())
    }

    #[test]
    fn is_taken_from_the_digits() {
        for (number, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("12", "12"),
            ("-12.50", "-12.5"),
            ("1e3", "1000"),
            ("1E-3", "0.001"),
            ("0.1234567895", "0.12345679"),
            ("0.1234567885", "0.123456788"),
            ("0.12345678850001", "0.123456789"),
            ("5e-10", "0"),
            ("15e-10", "0.000000002"),
            ("6e-10", "0.000000001"),
            ("1e-400", "0"),
            ("999999999999999999.999999999", "999999999999999999.999999999"),
            ("100000000000000000.0e0", "100000000000000000"),
            ("0.000000000000000000000000000000000000001e39", "1"),
        ] {
            assert_eq!(text(number).as_deref(), Some(expected), "{number}");
        }
    }

    #[test]
    fn a_number_of_a_quintillion_is_of_another_type() {
        for number in
            ["1e18", "-1e18", "1000000000000000000", "1e99999999999999999999", "999999999999999999.9999999999"]
        {
            assert_eq!(Decimal::parse(number), None, "{number}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(billionths in -(BOUND - 1)..BOUND) {
            let decimal = Decimal(billionths);
            prop_assert_eq!(Decimal::parse(&decimal.to_string()), Some(decimal));
        }
    }
}
