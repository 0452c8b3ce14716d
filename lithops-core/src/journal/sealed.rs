//! The envelope of stored objects that are trusted later: a digest of the content and of the name
//! under which it is stored.
//!
//! The digest finds damage, not malice: a program that can write to the storage can also compute digests.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    bytes::Bytes,
    digest::{Digest, Hashing},
    error::{Error, ErrorKind, Result},
};

/// The first bytes of a sealed object. The last of them is the version of the envelope.
const MAGIC: &[u8; 8] = b"lithops\x01";
/// The length of the envelope: magic, length of the body (`u64 LE`), digest.
pub(crate) const HEADER: usize = 8 + 8 + Digest::LEN;
/// Bodies of at least this many bytes are hashed on a blocking thread, so that they do not delay
/// other tasks.
const LONG: usize = 1 << 20;

/// The error of an object that differs from what was stored.
pub(crate) fn damaged(key: &str, how: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, format!("`{key}` is damaged: {how}"))
        .with_hint("another program has written there, or the storage is damaged")
        .with_context("key", key)
}

/// Wraps a body in the envelope, to be stored under `name`.
pub(crate) async fn seal(name: &str, body: Bytes) -> Bytes {
    let digest = digest(name, body.clone()).await;
    let mut sealed = Vec::with_capacity(HEADER + body.len());
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&(body.len() as u64).to_le_bytes());
    sealed.extend_from_slice(digest.as_bytes());
    sealed.extend_from_slice(&body);
    sealed.into()
}

/// Unwraps the body of an object that was sealed for `name`. `key` is only for the error.
///
/// # Errors
/// `Damaged` when the object differs from what was sealed.
pub(crate) async fn open(name: &str, sealed: &Bytes, key: &str) -> Result<Bytes> {
    let (len, digest_then) = header(sealed, key)?;
    let body = Bytes::from(sealed.clone().into_inner().slice(HEADER..));
    if body.len() as u64 != len {
        return Err(damaged(key, format_args!("it has {} bytes of {len}", body.len())));
    }
    if digest(name, body.clone()).await != digest_then {
        return Err(damaged(key, "its content has another digest than it was stored with"));
    }
    Ok(body)
}

/// The length of the body and its digest, from the first [`HEADER`] bytes of an object.
///
/// # Errors
/// `Damaged` when these are not the first bytes of a sealed object.
pub(crate) fn header(sealed: &[u8], key: &str) -> Result<(u64, Digest)> {
    let cut = || damaged(key, format_args!("it has {} bytes, fewer than its header", sealed.len()));
    let (magic, rest) = sealed.split_first_chunk().ok_or_else(cut)?;
    if magic != MAGIC {
        return Err(damaged(key, "it does not begin as what this build of lithops stores"));
    }
    let (len, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    let digest = rest.first_chunk().ok_or_else(cut)?;
    Ok((u64::from_le_bytes(*len), Digest::from_bytes(*digest)))
}

/// The digest of a name and a body. The length of the name separates the two.
async fn digest(name: &str, body: Bytes) -> Digest {
    let len = body.len();
    let mut hashing = Hashing::default();
    hashing.update(&(name.len() as u64).to_le_bytes());
    hashing.update(name.as_bytes());
    let hash = move || {
        hashing.update(&body);
        hashing.finish()
    };
    if len < LONG { hash() } else { tokio::task::spawn_blocking(hash).await.expect("hashing does not panic") }
}

/// A value as JSON, with a field `digest` beside its own fields.
///
/// # Errors
/// When the value cannot be encoded.
pub(crate) fn to_json<T: Serialize>(name: &str, value: &T) -> Result<Vec<u8>> {
    let failed = |error: serde_json::Error| {
        Error::new(ErrorKind::Unexpected, format!("cannot encode what is stored as `{name}`: {error}"))
    };
    let mut json = serde_json::to_value(value).map_err(failed)?;
    let digest = digest_of(name, value)?;
    if let Some(fields) = json.as_object_mut() {
        fields.insert("digest".to_owned(), digest.to_string().into());
    }
    serde_json::to_vec_pretty(&json).map_err(failed)
}

/// Decodes a value from the JSON of [`to_json`].
///
/// # Errors
/// `Damaged` when the value differs from the one that was encoded.
pub(crate) fn from_json<T: Serialize + DeserializeOwned>(name: &str, json: &[u8], key: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Sealed {
        digest: Digest,
    }
    let wrong = |error: serde_json::Error| damaged(key, error);
    // The digest is decoded first, so that no large value is built from JSON without one.
    let Sealed { digest } = serde_json::from_slice(json).map_err(wrong)?;
    let value = serde_json::from_slice(json).map_err(wrong)?;
    if digest_of(name, &value)? != digest {
        return Err(damaged(key, "its fields have another digest than they were stored with"));
    }
    Ok(value)
}

/// The digest is of the value and not of its JSON text, because the value is what is trusted.
fn digest_of<T: Serialize>(name: &str, value: &T) -> Result<Digest> {
    let bytes = postcard::to_stdvec(&(name, value))
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode `{name}`: {error}")))?;
    Ok(Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_change_of_bytes_length_or_name_is_noticed() {
        for body in [Vec::new(), b"outcomes".to_vec(), vec![7; LONG + 1]] {
            let sealed = seal("a/1", body.clone().into()).await;
            assert_eq!(*open("a/1", &sealed, "key").await.expect("opens"), *body);
            let places = (0..sealed.len()).filter(|at| *at < 80 || sealed.len() - at < 3);
            for place in places {
                let mut changed = sealed.to_vec();
                changed[place] ^= 1;
                let error = open("a/1", &changed.into(), "the/key").await.expect_err("it was changed");
                assert_eq!(error.kind(), ErrorKind::Damaged);
                assert!(error.to_string().contains("`the/key` is damaged"), "{error}");
            }
            let mut longer = sealed.to_vec();
            longer.push(0);
            let cut = (0..sealed.len()).filter(|at| *at < 80 || sealed.len() - at < 3);
            for other in cut.map(|len| sealed[..len].to_vec()).chain([longer]) {
                assert!(open("a/1", &other.into(), "key").await.is_err());
            }
            assert!(open("a/2", &sealed, "key").await.is_err(), "it was stored under another name");
        }
    }

    #[test]
    fn a_value_is_read_back_and_any_changed_field_is_noticed() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Value {
            number: u64,
            text: String,
        }
        let value = Value { number: 5, text: "text".to_owned() };
        let json = to_json("a", &value).expect("encodes");
        assert_eq!(from_json::<Value>("a", &json, "key").expect("reads"), value);
        assert!(from_json::<Value>("b", &json, "key").is_err());
        let text = String::from_utf8(json).expect("UTF-8");
        for (from, to) in [("number\": 5", "number\": 6"), ("text\"", "test\""), ("digest", "digset")] {
            let changed = text.replacen(from, to, 1);
            let error = from_json::<Value>("a", changed.as_bytes(), "the/key").expect_err("it was changed");
            assert!(error.to_string().contains("`the/key` is damaged"), "{error}");
        }
        for len in 0..text.len() {
            assert!(from_json::<Value>("a", &text.as_bytes()[..len], "key").is_err());
        }
    }
}
