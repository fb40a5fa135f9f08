//! Exact numbers: i128 with nine digits after the point, round half even.
//!
//! A double would make 0.7 + 0.1 smaller than 0.8, and a sum depend on the order of its terms; both would make a
//! member wrong. Numbers are taken from their digits in the JSON text, never through a double.

use std::fmt;

use crate::codec::{Damaged, Reader};

/// A decimal number with nine digits after the point.
///
/// ```
/// use weir_event::Decimal;
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
/// In front of a number that is written as it is.
const WHOLE: u8 = 15;
/// What a mantissa with so many digits after the point is multiplied with.
const POWERS: [i64; 10] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal(0);
    /// One.
    pub const ONE: Decimal = Decimal(UNIT);

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

    /// The sum, at most the largest number that there is.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least the smallest number that there is.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The product, rounded half even; `None` where it is 10^18 or more in size.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let (whole, part) = (self.0.unsigned_abs() / UNIT.unsigned_abs(), self.0.unsigned_abs() % UNIT.unsigned_abs());
        let other_size = other.0.unsigned_abs();
        let fraction = part.checked_mul(other_size)?;
        let (more, rest) = (fraction / UNIT.unsigned_abs(), fraction % UNIT.unsigned_abs());
        let size = whole.checked_mul(other_size)?.checked_add(more)?;
        let half = UNIT.unsigned_abs() / 2;
        let up = rest > half || (rest == half && size % 2 == 1);
        let size = i128::try_from(size + u128::from(up)).ok().filter(|size| *size < BOUND)?;
        Some(Self(if (self.0 < 0) != (other.0 < 0) { -size } else { size }))
    }

    /// Appends its bytes: one for small whole numbers, three for most prices.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (mut mantissa, mut digits) = (self.0, DIGITS as u128);
        if let Ok(mut small) = i64::try_from(mantissa) {
            // Nearly all numbers: without division of 128 bits.
            while digits > 0 && small % 10 == 0 {
                (small, digits) = (small / 10, digits - 1);
            }
            mantissa = small.into();
        }
        while digits > 0 && mantissa % 10 == 0 {
            (mantissa, digits) = (mantissa / 10, digits - 1);
        }
        let folded = (mantissa << 1 ^ mantissa >> 127).cast_unsigned();
        if folded >> 124 != 0 {
            out.push(WHOLE);
            out.extend_from_slice(&self.0.to_be_bytes());
            return;
        }
        let mut value = folded << 4 | digits;
        while value >= 0x80 {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// The bytes are something else.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut byte = reader.u8()?;
        if byte == WHOLE {
            return Ok(Self(i128::from_be_bytes(reader.array()?)));
        }
        let (mut small, mut shift) = (u64::from(byte & 0x7f), 7);
        while byte >= 0x80 && shift < 63 {
            byte = reader.u8()?;
            small |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        if byte < 0x80 {
            // Nearly all numbers: without arithmetic on 128 bits.
            let power = usize::try_from(small & 15).ok().and_then(|digits| POWERS.get(digits));
            let power = power.ok_or(Damaged("a number has too many digits"))?;
            let folded = small >> 4;
            let mantissa = (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed());
            return Ok(Self(i128::from(mantissa) * i128::from(*power)));
        }
        let mut value = u128::from(small);
        while byte >= 0x80 {
            byte = reader.u8()?;
            if shift > 126 {
                return Err(Damaged("a number has too many bytes"));
            }
            value |= u128::from(byte & 0x7f) << shift;
            shift += 7;
        }
        let power = usize::try_from(value & 15).ok().and_then(|digits| POWERS.get(digits));
        let power = power.ok_or(Damaged("a number has too many digits"))?;
        let folded = value >> 4;
        let mantissa = (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed());
        mantissa.checked_mul(i128::from(*power)).map(Self).ok_or(Damaged("a number is out of range"))
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
    fn products_are_exact_or_none() {
        let product = |a, b| Decimal::parse(a).unwrap().checked_mul(Decimal::parse(b).unwrap());
        assert_eq!(product("19.99", "3").unwrap().to_string(), "59.97");
        assert_eq!(product("0.00000001", "0.05").unwrap().to_string(), "0");
        assert_eq!(product("0.00000001", "0.15").unwrap().to_string(), "0.000000002");
        assert_eq!(product("-999999999999999999", "1").unwrap().to_string(), "-999999999999999999");
        assert_eq!(product("1000000000", "1000000000"), None);
        assert_eq!(product("999999999999999999", "999999999999999999"), None);
    }

    #[test]
    fn small_numbers_take_few_bytes() {
        for (number, bytes) in [("0", 1), ("3", 1), ("19.99", 3), ("0.000000001", 1), ("-1", 1)] {
            let mut out = Vec::new();
            Decimal::parse(number).unwrap().write(&mut out);
            assert_eq!(out.len(), bytes, "{number}");
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

        #[test]
        fn is_read_as_written(any: i128, small in -5_000_i128..5_000, zeros in 0_u32..12) {
            for billionths in [any, small * 10_i128.pow(zeros)] {
                let mut bytes = Vec::new();
                Decimal(billionths).write(&mut bytes);
                let mut reader = Reader(&bytes);
                prop_assert_eq!(Decimal::read(&mut reader), Ok(Decimal(billionths)));
                prop_assert!(reader.finish().is_ok());
            }
        }

        #[test]
        fn a_product_is_that_of_the_digits(a in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000, b in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000) {
            // Small enough for one division of the whole product.
            let product = a * b;
            let (size, rest) = (product.unsigned_abs() / 1_000_000_000, product.unsigned_abs() % 1_000_000_000);
            let size = (size + u128::from(rest > 500_000_000 || (rest == 500_000_000 && size % 2 == 1))).cast_signed();
            let expected = if product < 0 { -size } else { size };
            prop_assert_eq!(Decimal(a).checked_mul(Decimal(b)), Some(Decimal(expected)));
        }
    }
}
