//! [`Bytes`]: binary data as an argument, a result or the content of an object.

use std::{borrow::Cow, cell::RefCell, fmt, mem, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Shared, immutable bytes. Clones are cheap. They are encoded as one block, while a `Vec<u8>` is
/// encoded element by element.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(bytes::Bytes);

impl Bytes {
    /// The lines as text. Invalid UTF-8 is replaced with U+FFFD. The last line may lack its newline.
    pub fn lines(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let end = match memchr::memchr(b'\n', rest) {
                Some(end) => end,
                None if rest.is_empty() => return None,
                None => rest.len(),
            };
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            Some(text_of_line(line))
        })
    }

    /// The same bytes as the type of the `bytes` crate, without a copy.
    #[must_use]
    pub fn into_inner(self) -> bytes::Bytes {
        self.0
    }
}

/// A line without its end as text. Text that is valid, which is nearly all, is checked the fast way.
pub(crate) fn text_of_line(line: &[u8]) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

/// The fewest bytes that share the memory of the decoded message. Shorter ones are copied, so that
/// a few bytes do not keep a whole message in memory.
pub(crate) const SHARED_FROM: usize = 32 << 10;

thread_local! {
    /// The message that is being decoded on this thread.
    static SOURCE: RefCell<bytes::Bytes> = const { RefCell::new(bytes::Bytes::new()) };
}

/// Calls `decode` with `source`. Long [`Bytes`] in the result share the memory of `source` instead
/// of being copied.
pub(crate) fn decode_from<T>(source: &bytes::Bytes, decode: impl FnOnce(&[u8]) -> T) -> T {
    /// Restores the source of an outer call, also after a panic.
    struct Before(bytes::Bytes);

    impl Drop for Before {
        fn drop(&mut self) {
            SOURCE.replace(mem::take(&mut self.0));
        }
    }

    let _before = Before(SOURCE.replace(source.clone()));
    decode(source)
}

/// The bytes as a slice of the message that is being decoded; `None` if they are not within it.
fn part_of_source(bytes: &[u8]) -> Option<bytes::Bytes> {
    SOURCE.with_borrow(|source| {
        let (all, part) = (source.as_ptr_range(), bytes.as_ptr_range());
        (all.start <= part.start && part.end <= all.end).then(|| source.slice_ref(bytes))
    })
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<bytes::Bytes> for Bytes {
    fn from(bytes: bytes::Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self(bytes::Bytes::from_static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Bytes {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self(bytes::Bytes::from_static(bytes))
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        Self(bytes::Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                let shared = if bytes.len() < SHARED_FROM { None } else { part_of_source(bytes) };
                Ok(Bytes(shared.unwrap_or_else(|| bytes::Bytes::copy_from_slice(bytes))))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes::from(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                self.visit_bytes(text.as_bytes())
            }

            // JSON writes bytes as a sequence, and so does serde's buffer for `untagged`, `tag` and
            // `flatten`.
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = elements.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes::from(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn lines_are_those_of_str_lines() {
        for text in ["", "\n", "a", "a\n", "a\n\nb", "a\r\nb\r\n", "a\n\n"] {
            let bytes = Bytes::from(text.to_owned());
            assert_eq!(bytes.lines().collect::<Vec<_>>(), text.lines().collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn long_ones_share_what_they_are_decoded_from_and_short_ones_do_not() {
        for (len, is_shared) in [(SHARED_FROM - 1, false), (SHARED_FROM, true)] {
            let values = (Bytes::from(vec![7; len]), "text".to_owned());
            let source = bytes::Bytes::from(value::encode(&values).expect("encodes"));
            let decoded = decode_from(&source, |bytes| value::decode::<(Bytes, String)>(bytes));
            let decoded = decoded.expect("decodes");
            assert_eq!(decoded, values);
            assert_eq!(source.as_ptr_range().contains(&decoded.0.as_ptr()), is_shared, "{len} bytes");
            let other = value::decode::<(Bytes, String)>(&source).expect("decodes");
            assert!(!source.as_ptr_range().contains(&other.0.as_ptr()), "nothing was said of a source");
        }
    }

    #[test]
    fn a_panic_while_something_is_decoded_leaves_no_source_behind() {
        let source = bytes::Bytes::from(vec![0; SHARED_FROM]);
        let decode = || decode_from(&source, |_| panic!("on purpose"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).expect_err("panics");
        assert!(SOURCE.with_borrow(bytes::Bytes::is_empty));
    }

    #[test]
    fn encoded_as_one_block() {
        let bytes = Bytes::from(vec![200u8; 1000]);
        let encoded = value::encode(&bytes).expect("encodes");
        assert_eq!(encoded.len(), 1003);
        assert_eq!(value::decode::<Bytes>(&encoded).expect("decodes"), bytes);
    }
}
