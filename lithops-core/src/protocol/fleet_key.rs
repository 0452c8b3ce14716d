//! [`SignKey`] and [`VerifyKey`]: the pair of keys of a fleet, Ed25519. The client signs job manifests, and workers
//! verify them, so that nothing a worker is launched with is secret.

use std::{fmt, str::FromStr};

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    bytes::Bytes,
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

/// The length of a signature.
const SIGNATURE: usize = Signature::BYTES;

/// The key that signs the job manifests of a fleet. Only the client has it, in memory: it is in no message, log or
/// stored object.
#[derive(Clone)]
pub struct SignKey(KeyPair);

impl SignKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn generate() -> Result<Self> {
        let mut seed = [0; Seed::BYTES];
        getrandom::fill(&mut seed).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the operating system gives no random numbers: {error}"))
        })?;
        Ok(Self(KeyPair::from_seed(Seed::new(seed))))
    }

    /// The key that workers verify with.
    #[must_use]
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey(*self.0.pk)
    }

    /// The signed form of `body`: the signature, then the body. It is valid under this name only.
    #[must_use]
    pub fn sign(&self, name: &str, body: &[u8]) -> Bytes {
        let mut signed = self.0.sk.sign(statement(name, body), None).to_vec();
        signed.extend_from_slice(body);
        signed.into()
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignKey(..)")
    }
}

/// The key that verifies the job manifests of a fleet. It is no secret. As text it is 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyKey([u8; PublicKey::BYTES]);

impl VerifyKey {
    /// Checks the signature, and returns the body that was signed under this name.
    ///
    /// # Errors
    /// `PermissionDenied` when the body was signed with another key or under another name, or has changed
    /// since.
    pub fn open(&self, name: &str, signed: &Bytes) -> Result<Bytes> {
        let refused = || {
            Error::new(
                ErrorKind::PermissionDenied,
                format!("`{name}` is not signed with the key of this fleet"),
            )
            .with_hint("it is not executed; somebody else can write to this storage")
        };
        let (signature, body) = signed.split_at_checked(SIGNATURE).ok_or_else(refused)?;
        let signature = Signature::from_slice(signature).map_err(|_| refused())?;
        PublicKey::new(self.0).verify(statement(name, body), &signature).map_err(|_| refused())?;
        Ok(signed.clone().into_inner().slice(SIGNATURE..).into())
    }
}

/// The body, without a check of its signature; `None` when it is too short to be signed. The body may be forged: nothing
/// may be executed because of its content.
pub(crate) fn unchecked(signed: &Bytes) -> Option<Bytes> {
    (signed.len() >= SIGNATURE).then(|| signed.clone().into_inner().slice(SIGNATURE..).into())
}

/// What is signed: the length of the name, the name, and the digest of the body. Ed25519 reads its message twice, and a
/// manifest may have megabytes.
fn statement(name: &str, body: &[u8]) -> Vec<u8> {
    let mut statement = (name.len() as u64).to_le_bytes().to_vec();
    statement.extend_from_slice(name.as_bytes());
    statement.extend_from_slice(Digest::of(body).to_string().as_bytes());
    statement
}

impl fmt::Display for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({self})")
    }
}

impl FromStr for VerifyKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidInput, "a key of a fleet has 64 hexadecimal digits");
        let mut key = [0; PublicKey::BYTES];
        if text.len() != 2 * key.len() || !text.is_ascii() {
            return Err(malformed());
        }
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Self(key))
    }
}

impl Serialize for VerifyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_opened_under_its_name_with_its_key_unchanged() {
        let (key, other) = (SignKey::generate().unwrap(), SignKey::generate().unwrap());
        let signed = key.sign("jobs/1", b"run this");
        assert_eq!(*key.verify_key().open("jobs/1", &signed).unwrap(), *b"run this");
        let refused = |key: &SignKey, name: &str, signed: Vec<u8>| {
            assert_eq!(
                key.verify_key().open(name, &signed.into()).unwrap_err().kind(),
                ErrorKind::PermissionDenied,
                "{name}"
            );
        };
        refused(&other, "jobs/1", signed.to_vec());
        refused(&key, "jobs/2", signed.to_vec());
        for place in 0..signed.len() {
            let mut changed = signed.to_vec();
            changed[place] ^= 1;
            refused(&key, "jobs/1", changed);
        }
        for len in 0..SIGNATURE {
            refused(&key, "jobs/1", signed[..len].to_vec());
        }
    }

    #[test]
    fn a_signing_key_is_not_shown_and_a_verifying_key_is_text() {
        let key = SignKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "SignKey(..)");
        let text = key.verify_key().to_string();
        assert_eq!(text.parse::<VerifyKey>().unwrap(), key.verify_key());
        assert!(text[1..].parse::<VerifyKey>().is_err() && "g".repeat(64).parse::<VerifyKey>().is_err());
    }
}
