//! Secrets of keys: made from random bytes that the caller gives, kept as a hash only.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Role;

/// Digits of a secret's random part; in base 62 as many hold 256 bits.
const DIGITS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The text that opens Weir: shown once, never on the log.
///
/// `Debug` hides it, and there is no `Display`, so that it gets into no log line by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret that 32 random bytes make. The letter in it says the role to a human; nothing is decided by it.
    ///
    /// ```
    /// use weir_control::{Role, Secret};
    /// let secret = Secret::new(Role::Write, &[7; 32]);
    /// assert!(secret.expose().starts_with("weir_w_"));
    /// assert_eq!(secret.hash(), weir_control::key_hash(secret.expose()));
    /// ```
    pub fn new(role: Role, random: &[u8; 32]) -> Self {
        Self(format!("weir_{}_{}", &role.as_str()[..1], base62(*random)))
    }

    /// The text, to show it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the log keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        key_hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a secret's text: what the log keeps, and by what [`State::authenticate`](crate::State::authenticate)
/// finds the key. A secret has 256 random bits, so no slow hash is needed; being found by its hash, it is never
/// compared, so nothing is learned from the time that a refusal takes.
pub fn key_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The number that the bytes are, big endian, in exactly [`DIGITS`] digits.
fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let part = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(part / 62).expect("the rest is below 62, so part / 62 is below 256");
            rest = part % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
    digits.iter().copied().map(char::from).collect()
}

/// A hash as 64 hexadecimal digits, for serde.
pub(crate) mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        let text: String = hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse(text.as_bytes()).ok_or_else(|| D::Error::custom("a SHA-256 is 64 hexadecimal digits"))
    }

    fn parse(text: &[u8]) -> Option<[u8; 32]> {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        if text.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (nibble(digits[0])? << 4) | nibble(digits[1])?;
        }
        Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_is_the_number_and_always_as_long() {
        assert_eq!(base62([0; 32]), "0".repeat(DIGITS));
        let mut one = [0; 32];
        one[31] = 62;
        assert_eq!(base62(one), format!("{}10", "0".repeat(DIGITS - 2)));
        // 2^256 - 1
        assert_eq!(base62([255; 32]).len(), DIGITS);
        assert_ne!(base62([255; 32]), base62([254; 32]));
        let back = base62([255; 32]).bytes().fold([0_u8; 32], |mut sum, digit| {
            let mut carry = ALPHABET.iter().position(|&d| d == digit).unwrap() as u32;
            for byte in sum.iter_mut().rev() {
                let part = u32::from(*byte) * 62 + carry;
                *byte = (part % 256) as u8;
                carry = part / 256;
            }
            assert_eq!(carry, 0);
            sum
        });
        assert_eq!(back, [255; 32]);
    }

    #[test]
    fn a_secret_names_its_role_and_hides_from_debug() {
        for (role, start) in
            [(Role::Write, "weir_w_"), (Role::Read, "weir_r_"), (Role::Admin, "weir_a_"), (Role::Operator, "weir_o_")]
        {
            let secret = Secret::new(role, &[9; 32]);
            assert!(secret.expose().starts_with(start));
            assert_eq!(secret.expose().len(), 50);
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        // The test vector of FIPS 180.
        let expected = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(key_hash("abc")[..8], expected);
    }
}
