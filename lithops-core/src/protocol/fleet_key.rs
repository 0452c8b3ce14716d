//! [`FleetKey`]: the key that signs the job manifests of a fleet.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
};

/// The length of a signature: that of SHA-256.
const TAG: usize = 32;

/// The key that signs the job manifests of a fleet (HMAC-SHA-256). Workers get the key when they are
/// launched; it is in no payload, log or stored object.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetKey([u8; 32]);

impl FleetKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn generate() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the operating system gives no random numbers: {error}"))
        })?;
        Ok(Self(key))
    }

    /// The signed form of `body`: the signature, then the body. It is valid under this name only.
    #[must_use]
    pub fn sign(&self, name: &str, body: &[u8]) -> Bytes {
        let mut signed = self.mac(name, body).finalize().into_bytes().to_vec();
        signed.extend_from_slice(body);
        signed.into()
    }

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
        let (tag, body) = signed.split_at_checked(TAG).ok_or_else(refused)?;
        self.mac(name, body).verify_slice(tag).map_err(|_| refused())?;
        Ok(signed.clone().into_inner().slice(TAG..).into())
    }

    /// The body, without a check of its signature; `None` when it is too short to be signed. The body may be
    /// forged: nothing may be executed because of its content.
    pub(crate) fn unchecked(signed: &Bytes) -> Option<Bytes> {
        (signed.len() >= TAG).then(|| signed.clone().into_inner().slice(TAG..).into())
    }

    fn mac(&self, name: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(body);
        mac
    }
}

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_opened_under_its_name_with_its_key_unchanged() {
        let (key, other) = (FleetKey::generate().unwrap(), FleetKey::generate().unwrap());
        let signed = key.sign("jobs/1", b"run this");
        assert_eq!(*key.open("jobs/1", &signed).unwrap(), *b"run this");
        let refused = |key: &FleetKey, name: &str, signed: Vec<u8>| {
            assert_eq!(
                key.open(name, &signed.into()).unwrap_err().kind(),
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
        for len in 0..TAG {
            refused(&key, "jobs/1", signed[..len].to_vec());
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", FleetKey::generate().unwrap()), "FleetKey");
    }
}
