//! The bytes that folds keep: LEB128 integers and length-prefixed parts.

/// State bytes that this release can't read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state bytes are damaged: {0}")]
pub struct Damaged(pub &'static str);

/// Appends an integer, seven bits to a byte.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes, their length before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// One byte.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged("too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// An integer.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Damaged> {
        // Most integers are small.
        match self.0 {
            [first, rest @ ..] if *first < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*first))
            }
            _ => self.large(),
        }
    }

    fn large(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged("an integer has too many bytes"))
    }

    /// So many bytes.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Bytes with their length.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = usize::try_from(self.u64()?).map_err(|_| Damaged("a length is out of range"))?;
        self.take(length)
    }

    /// The same, as text.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    pub fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("text is not UTF-8"))
    }

    /// So many bytes as an array.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged("too short"))
    }

    /// Says that everything was read.
    ///
    /// # Errors
    /// The bytes aren't what was written.
    pub fn finish(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_it_wrote(u in any::<u64>(), b in any::<Vec<u8>>()) {
            let mut out = Vec::new();
            put_u64(&mut out, u);
            put_bytes(&mut out, &b);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.u64(), Ok(u));
            prop_assert_eq!(reader.bytes(), Ok(b.as_slice()));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn never_panics(bytes in any::<Vec<u8>>()) {
            let mut reader = Reader(&bytes);
            while reader.u64().is_ok() && reader.bytes().is_ok() {}
        }
    }
}
