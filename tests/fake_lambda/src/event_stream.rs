//! The framing of `application/vnd.amazon.eventstream`, as far as streamed responses need it: messages whose headers
//! are strings.
//!
//! A message is its length and that of its headers, a checksum of these eight bytes, the headers, the payload, and a
//! checksum of everything before it.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Lengths and the checksum of the lengths.
const PRELUDE: usize = 12;
/// The checksum of a message.
const CHECKSUM: usize = 4;
/// The type of a header that is a string.
const STRING: u8 = 7;

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The headers, by name.
    pub headers: BTreeMap<String, String>,
    /// The payload.
    pub payload: Bytes,
}

/// What is wrong with bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A length that cannot be.
    Length,
    /// A checksum that is not the bytes'.
    Checksum,
    /// A header that is no string, or that has no end.
    Header,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Length => "a message of an event stream has an impossible length",
            Self::Checksum => "a message of an event stream has a wrong checksum",
            Self::Header => "a message of an event stream has a header that cannot be read",
        })
    }
}

impl std::error::Error for Malformed {}

impl Message {
    /// An event, as opposed to an exception.
    #[must_use]
    pub fn event(kind: &str, content_type: &str, payload: Bytes) -> Self {
        let headers = [(":message-type", "event"), (":event-type", kind), (":content-type", content_type)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { headers: headers.into(), payload }
    }

    /// The type of an event.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.headers.get(":event-type").map(String::as_str)
    }

    /// The bytes of the message.
    ///
    /// # Panics
    /// A name is longer than 255 bytes, a value than 65535, or the whole than 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut headers = BytesMut::new();
        for (name, value) in &self.headers {
            headers.put_u8(u8::try_from(name.len()).expect("names are short"));
            headers.put_slice(name.as_bytes());
            headers.put_u8(STRING);
            headers.put_u16(u16::try_from(value.len()).expect("values are short"));
            headers.put_slice(value.as_bytes());
        }
        let len = PRELUDE + headers.len() + self.payload.len() + CHECKSUM;
        let mut message = BytesMut::with_capacity(len);
        message.put_u32(u32::try_from(len).expect("messages are small"));
        message.put_u32(u32::try_from(headers.len()).expect("messages are small"));
        message.put_u32(crc32fast::hash(&message));
        message.put_slice(&headers);
        message.put_slice(&self.payload);
        message.put_u32(crc32fast::hash(&message));
        message.freeze()
    }

    /// Takes the first message from bytes that may go on; `None` if its end has not come yet.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn decode(bytes: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        if bytes.len() < PRELUDE {
            return Ok(None);
        }
        let mut prelude = &bytes[..PRELUDE];
        let (len, headers_len) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
        if prelude.get_u32() != crc32fast::hash(&bytes[..PRELUDE - CHECKSUM]) {
            return Err(Malformed::Checksum);
        }
        if len < PRELUDE + CHECKSUM || headers_len > len - PRELUDE - CHECKSUM {
            return Err(Malformed::Length);
        }
        if bytes.len() < len {
            return Ok(None);
        }
        let mut message = bytes.split_to(len);
        if message.split_off(len - CHECKSUM).get_u32() != crc32fast::hash(&message) {
            return Err(Malformed::Checksum);
        }
        message.advance(PRELUDE);
        let headers = read_headers(message.split_to(headers_len).freeze()).ok_or(Malformed::Header)?;
        Ok(Some(Self { headers, payload: message.freeze() }))
    }
}

fn read_headers(mut bytes: Bytes) -> Option<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    while bytes.has_remaining() {
        let len = bytes.try_get_u8().ok()?;
        let name = read_string(&mut bytes, len.into())?;
        if bytes.try_get_u8().ok()? != STRING {
            return None;
        }
        let len = bytes.try_get_u16().ok()?;
        headers.insert(name, read_string(&mut bytes, len.into())?);
    }
    Some(headers)
}

fn read_string(bytes: &mut Bytes, len: usize) -> Option<String> {
    (bytes.len() >= len).then(|| bytes.split_to(len))?.to_vec().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two messages without headers among the examples that the SDKs are tested with.
    const EMPTY: &[u8] = b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
    const PAYLOAD: &[u8] = b"\0\0\0\x1d\0\0\0\0\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";

    #[test]
    fn the_examples_of_the_sdks() {
        assert_eq!(Message::default().encode(), EMPTY);
        let message = Message { payload: Bytes::from_static(b"{'foo':'bar'}"), ..Message::default() };
        assert_eq!(message.encode(), PAYLOAD);
        assert_eq!(Message::decode(&mut BytesMut::from(PAYLOAD)), Ok(Some(message)));
    }

    #[test]
    fn there_and_back_in_pieces() {
        let first = Message::event("PayloadChunk", "application/octet-stream", Bytes::from_static(b"one"));
        let second = Message::event("InvokeComplete", "application/json", Bytes::from_static(b"{}"));
        let all = [first.encode(), second.encode()].concat();
        let (mut buffer, mut decoded) = (BytesMut::new(), Vec::new());
        for byte in all {
            buffer.put_u8(byte);
            decoded.extend(Message::decode(&mut buffer).unwrap());
        }
        assert_eq!(decoded, [first, second]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn whatever_byte_is_wrong_is_noticed() {
        let whole = Message::event("PayloadChunk", "text/plain", Bytes::from_static(b"payload")).encode();
        for at in 0..whole.len() {
            let mut bytes = BytesMut::from(&whole[..]);
            bytes[at] ^= 1;
            assert!(Message::decode(&mut bytes).is_err(), "byte {at}");
        }
    }
}
