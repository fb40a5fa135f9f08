//! Decimals with nine digits after the point, taken from their digits.

use std::fmt;

/// A number in units of 10⁻⁹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(pub i128);

impl Decimal {
    /// Reads a JSON number, rounding half to even. Nothing when it is 10¹⁸ or more in size (before rounding), or no
    /// number.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let point = whole.len() as i128 + exponent_of(exponent)?;
        let zeros = digits.iter().take_while(|d| **d == b'0').count();
        let digits = &digits[zeros..];
        // The number is 0.DIGITS × 10^point, and the first digit is not 0.
        let point = point - zeros as i128;
        if digits.is_empty() {
            return Some(Self(0));
        }
        if point > 18 {
            return None;
        }
        let units = rounded(digits, point + 9);
        Some(Self(if negative { -units } else { units }))
    }

    /// The product by long multiplication, rounded half to even. Nothing when it is 10¹⁸ or more in size.
    pub fn times(self, other: Self) -> Option<Self> {
        let digits = |number: Self| -> Vec<u32> {
            number.0.unsigned_abs().to_string().bytes().map(|d| u32::from(d - b'0')).collect()
        };
        let (a, b) = (digits(self), digits(other));
        let mut product = vec![0; a.len() + b.len()];
        for (i, x) in a.iter().enumerate().rev() {
            let mut carry = 0;
            for (j, y) in b.iter().enumerate().rev() {
                let sum = product[i + j + 1] + x * y + carry;
                (product[i + j + 1], carry) = (sum % 10, sum / 10);
            }
            product[i] = carry;
        }
        // In units of 10⁻¹⁸: eighteen digits stand behind the point, and as many may before it.
        let text: String = product.iter().map(u32::to_string).collect();
        let (whole, fraction) = text.split_at(text.len().saturating_sub(18));
        let sign = if (self.0 < 0) == (other.0 < 0) { "" } else { "-" };
        Self::parse(&format!("{sign}0{whole}.{fraction:0>18}")).filter(|size| size.0.abs() < 10_i128.pow(27))
    }
}

fn exponent_of(text: &str) -> Option<i128> {
    let digits = text.trim_start_matches(['+', '-']);
    if digits.is_empty() || !digits.bytes().all(|d| d.is_ascii_digit()) {
        return None;
    }
    // No record has as many digits as would bring such an exponent back.
    let size = digits.parse::<i128>().unwrap_or(i128::MAX).min(1_000_000_000);
    Some(if text.starts_with('-') { -size } else { size })
}

/// 0.DIGITS × 10^keep as an integer, half to even.
fn rounded(digits: &[u8], keep: i128) -> i128 {
    if keep < 0 {
        return 0;
    }
    let keep = keep as usize;
    let digit = |i: usize| i128::from(digits.get(i).map_or(0, |d| d - b'0'));
    let kept = (0..keep).fold(0, |sum: i128, i| sum * 10 + digit(i));
    let rest = digits.get(keep..).unwrap_or(&[]);
    let more = rest.iter().skip(1).any(|d| *d != b'0');
    let up = match digit(keep) {
        0..5 => false,
        5 => more || kept % 2 == 1,
        _ => true,
    };
    kept + i128::from(up)
}

impl std::ops::Add for Decimal {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("no test adds 10^11 numbers of 10^18"))
    }
}

impl std::iter::Sum for Decimal {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::default(), |a, b| a + b)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let (whole, fraction) = (size / 1_000_000_000, size % 1_000_000_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = format!("{sign}{whole}.{fraction:09}");
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_their_digits_say() {
        for (text, units) in [
            ("0", 0),
            ("-0.0", 0),
            ("1", 1_000_000_000),
            ("0.7", 700_000_000),
            ("7e-1", 700_000_000),
            ("70E-2", 700_000_000),
            ("0.0000000005", 0),
            ("0.00000000050001", 1),
            ("0.0000000015", 2),
            ("0.0000000025", 2),
            ("-0.0000000015", -2),
            ("1e-400", 0),
            ("0e999999999999999999999999999999999999999999", 0),
            ("9007199254740993", 9_007_199_254_740_993_000_000_000),
            ("999999999999999999", 999_999_999_999_999_999_000_000_000),
            ("0.000000000000000000000001e24", 1_000_000_000),
        ] {
            assert_eq!(Decimal::parse(text), Some(Decimal(units)), "{text}");
        }
        for text in ["1000000000000000000", "-1e18", "1e400", "12345678901234567890.5"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn products_are_rounded_half_to_even() {
        for (a, b, product) in [
            ("19.99", "3", Some("59.97")),
            ("-0.7", "0.5", Some("-0.35")),
            ("0", "999999999999999999", Some("0")),
            ("0.000000001", "0.5", Some("0")),
            ("0.000000003", "0.5", Some("0.000000002")),
            ("0.000000005", "-0.5", Some("-0.000000002")),
            ("1000000000", "999999999.999999999", Some("999999999999999999")),
            ("1000000000", "1000000000", None),
            ("999999999999999999", "-999999999999999999", None),
        ] {
            let of = |text| Decimal::parse(text).unwrap();
            assert_eq!(of(a).times(of(b)), product.map(of), "{a} × {b}");
        }
    }

    #[test]
    fn they_print_without_needless_zeros() {
        for text in ["0", "1", "-0.5", "100", "0.000000001", "12.34"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
    }
}
