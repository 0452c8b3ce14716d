//! [`encode`]: writes values in the format.

use serde::Serialize;

use super::{
    Error,
    depth::MAX_DEPTH,
    markers::{
        EXT_8, EXT_16, EXT_32, FIX_EXT_1, FIX_STR, I8, I16, I32, I64, NIL, SOME, STR_8, STR_16, STR_32, U8,
        U16, U32, U64,
    },
    stack::{SHALLOW, with_room},
};

/// Encodes a value into a new buffer.
///
/// # Errors
/// When the type's `Serialize` fails, or the value is nested too deeply.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Appends an encoded value to `out`. After an error, `out` ends with a part of the value.
///
/// # Errors
/// The errors of [`encode`].
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(&mut Encoder { out, depth: 0, somes: 0 })
}

/// Appends encoded values to a buffer.
#[derive(Debug)]
pub(super) struct Encoder<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// How many maps and arrays are open.
    pub(super) depth: u16,
    /// How many `Some` are open directly within each other, without a map or an array between them.
    pub(super) somes: u16,
}

impl Encoder<'_> {
    /// Enters a map or an array. The result is the argument of [`leave`](Self::leave).
    #[inline]
    pub(super) fn enter(&mut self) -> Result<u16, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::too_deep());
        }
        self.depth += 1;
        Ok(std::mem::take(&mut self.somes))
    }

    #[inline]
    pub(super) fn leave(&mut self, somes: u16) {
        self.depth -= 1;
        self.somes = somes;
    }

    /// Writes a value within a map or an array; checks the stack at every [`SHALLOW`]th level.
    #[inline]
    pub(super) fn inner<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if (self.depth + self.somes).is_multiple_of(SHALLOW) {
            return with_room(|| value.serialize(&mut *self));
        }
        value.serialize(self)
    }

    /// Called when the content of a `Some` that begins at `at` has been written. Puts a mark around a content
    /// that would be read as `None`, or as a `Some` with one level less.
    #[inline]
    pub(super) fn mark_some(&mut self, at: usize) {
        match self.out[at..] {
            [NIL] => {
                self.out.truncate(at);
                self.out.extend_from_slice(&[FIX_EXT_1, SOME, NIL]);
            }
            [FIX_EXT_1, SOME, ..]
            | [EXT_8, _, SOME, ..]
            | [EXT_16, _, _, SOME, ..]
            | [EXT_32, _, _, _, _, SOME, ..] => {
                self.mark_marked(at);
            }
            _ => {}
        }
    }

    #[cold]
    pub(super) fn mark_marked(&mut self, at: usize) {
        let length = self.out.len() - at;
        let mut header = [0; 6];
        let header = some_header(length, &mut header);
        self.out.splice(at..at, header.iter().copied());
    }

    #[inline]
    pub(super) fn unsigned(&mut self, value: u64) {
        match value {
            0..=0x7f => self.out.push(value as u8),
            0x80..=0xff => self.out.extend_from_slice(&[U8, value as u8]),
            0x100..=0xffff => self.with_marker::<2, 3>(U16, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.with_marker::<4, 5>(U32, (value as u32).to_be_bytes()),
            _ => self.with_marker::<8, 9>(U64, value.to_be_bytes()),
        }
    }

    #[inline]
    pub(super) fn signed(&mut self, value: i64) {
        match value {
            0.. => self.unsigned(value as u64),
            -32..0 => self.out.push(value as u8),
            -0x80..-32 => self.out.extend_from_slice(&[I8, value as u8]),
            -0x8000..-0x80 => self.with_marker::<2, 3>(I16, (value as i16).to_be_bytes()),
            -0x8000_0000..-0x8000 => self.with_marker::<4, 5>(I32, (value as i32).to_be_bytes()),
            _ => self.with_marker::<8, 9>(I64, value.to_be_bytes()),
        }
    }

    /// Writes a marker and a number; `M` is one more than `N`.
    #[inline]
    pub(super) fn with_marker<const N: usize, const M: usize>(&mut self, marker: u8, bytes: [u8; N]) {
        const { assert!(M == N + 1) };
        let mut written = [marker; M];
        written[1..].copy_from_slice(&bytes);
        self.out.extend_from_slice(&written);
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        let length = text.len();
        if length < 32 {
            self.out.reserve(1 + length);
            self.out.push(FIX_STR | length as u8);
        } else {
            let mut header = [0; 5];
            let header = text_header(length, &mut header)?;
            self.out.reserve(header.len() + length);
            self.out.extend_from_slice(header);
        }
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Begins a map with one entry, whose key is the name of a variant; the content must follow.
    #[inline]
    pub(super) fn variant(&mut self, name: &str) -> Result<(), Error> {
        self.out.push(super::markers::FIX_MAP | 1);
        self.text(name)
    }
}

/// The header of a text of `length` bytes.
pub(super) fn text_header(length: usize, header: &mut [u8; 5]) -> Result<&[u8], Error> {
    let bytes = u32::try_from(length).map_err(|_| too_long())?.to_be_bytes();
    Ok(match length {
        0..32 => {
            header[0] = FIX_STR | length as u8;
            &header[..1]
        }
        32..0x100 => {
            header[..2].copy_from_slice(&[STR_8, length as u8]);
            &header[..2]
        }
        0x100..0x1_0000 => {
            header[..3].copy_from_slice(&[STR_16, bytes[2], bytes[3]]);
            &header[..3]
        }
        _ => {
            header[0] = STR_32;
            header[1..].copy_from_slice(&bytes);
            &header[..]
        }
    })
}

/// The mark of a `Some` around another marked one, whose encoded length is `length`.
fn some_header(length: usize, header: &mut [u8; 6]) -> &[u8] {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    let written: &[u8] = match length {
        0..0x100 => &[EXT_8, d, SOME],
        0x100..0x1_0000 => &[EXT_16, c, d, SOME],
        _ => &[EXT_32, a, b, c, d, SOME],
    };
    header[..written.len()].copy_from_slice(written);
    &header[..written.len()]
}

#[cold]
pub(super) fn too_long() -> Error {
    <Error as serde::ser::Error>::custom("a part of the value has more than 4,294,967,295 bytes or elements")
}
