//! [`Digest`]: the SHA-256 of bytes, to check that the bytes that are read are those that were written.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The SHA-256 of some bytes. As a text it has 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The length of a digest in bytes.
    pub const LEN: usize = 32;

    /// The digest with these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Computes the digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Checks that this is the digest of `bytes`. `name` is only for the error.
    ///
    /// # Errors
    /// `Unexpected` when the digests differ.
    pub fn check(&self, bytes: &[u8], name: &str) -> Result<()> {
        self.is(Self::of(bytes), name)
    }

    /// Checks that `found` is this digest. `name` is only for the error.
    ///
    /// # Errors
    /// `Unexpected` when the digests differ.
    pub fn is(&self, found: Self, name: &str) -> Result<()> {
        if found == *self {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unexpected,
            format!("`{name}` is not what was stored: its SHA-256 is {found}, and was {self}"),
        )
        .with_hint("something else has written there, or the storage is damaged"))
    }
}

/// Computes the digest of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Hashing(Sha256);

impl Hashing {
    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidInput, format!("`{text}` is not a SHA-256"));
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard_and_is_read_back() {
        let digest = Digest::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text, "the example of FIPS 180-2");
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        for wrong in ["", "ba78", &text.replace('b', "g"), &text.replace("ba", "ä")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_bytes_are_refused_by_name() {
        let error = Digest::of(b"abc").check(b"abd", "inputs/1").unwrap_err();
        assert!(error.to_string().contains("`inputs/1` is not what was stored"), "{error}");
        Digest::of(b"abc").check(b"abc", "inputs/1").unwrap();
    }
}
