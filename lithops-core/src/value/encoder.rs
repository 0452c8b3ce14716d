//! Writing a value.

use std::fmt::{self, Display, Write as _};

use serde::{Serialize, Serializer};

use super::{
    Error,
    compound::{Compound, Form},
    markers::{
        BIG_SIGNED, BIG_UNSIGNED, BIN_8, BIN_16, BIN_32, EXT_8, EXT_16, EXT_32, F32, F64, FALSE, FIX_EXT_1,
        FIX_EXT_16, FIX_STR, I8, I16, I32, I64, NIL, SOME, STR_8, STR_16, STR_32, TRUE, U8, U16, U32, U64,
    },
    stack::{MAX_DEPTH, SHALLOW, with_room},
};

/// Encodes a value.
///
/// # Errors
/// What the type's `Serialize` says; or that the value is nested too deeply.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Appends an encoded value. After an error, `out` ends with a part of it.
///
/// # Errors
/// Those of [`encode`].
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(&mut Encoder { out, depth: 0, somes: 0 })
}

/// Appends to a buffer.
#[derive(Debug)]
pub(super) struct Encoder<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// How many maps and arrays are open.
    depth: u16,
    /// How many `Some` directly within each other, without a map or an array between them.
    somes: u16,
}

impl Encoder<'_> {
    /// One map or array further in. What comes back is for [`leave`](Self::leave).
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

    /// Writes what is within a map or an array.
    #[inline]
    pub(super) fn inner<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if (self.depth + self.somes).is_multiple_of(SHALLOW) {
            return with_room(|| value.serialize(&mut *self));
        }
        value.serialize(self)
    }

    /// Where a `Some` begins whose content has been written: puts the mark around what would be taken for a `None`,
    /// or for a `Some` with one level less.
    #[inline]
    fn mark_some(&mut self, at: usize) {
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
    fn mark_marked(&mut self, at: usize) {
        let length = self.out.len() - at;
        let mut header = [0; 6];
        let header = some_header(length, &mut header);
        self.out.splice(at..at, header.iter().copied());
    }

    #[inline]
    fn unsigned(&mut self, value: u64) {
        match value {
            0..=0x7f => self.out.push(value as u8),
            0x80..=0xff => self.out.extend_from_slice(&[U8, value as u8]),
            0x100..=0xffff => self.with_marker::<2, 3>(U16, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.with_marker::<4, 5>(U32, (value as u32).to_be_bytes()),
            _ => self.with_marker::<8, 9>(U64, value.to_be_bytes()),
        }
    }

    #[inline]
    fn signed(&mut self, value: i64) {
        match value {
            0.. => self.unsigned(value as u64),
            -32..0 => self.out.push(value as u8),
            -0x80..-32 => self.out.extend_from_slice(&[I8, value as u8]),
            -0x8000..-0x80 => self.with_marker::<2, 3>(I16, (value as i16).to_be_bytes()),
            -0x8000_0000..-0x8000 => self.with_marker::<4, 5>(I32, (value as i32).to_be_bytes()),
            _ => self.with_marker::<8, 9>(I64, value.to_be_bytes()),
        }
    }

    /// One byte and a number: `M` is one more than `N`.
    #[inline]
    fn with_marker<const N: usize, const M: usize>(&mut self, marker: u8, bytes: [u8; N]) {
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

    /// A map of one, whose key is the name of a variant; its content follows.
    #[inline]
    fn variant(&mut self, name: &str) -> Result<(), Error> {
        self.out.push(super::markers::FIX_MAP | 1);
        self.text(name)
    }
}

/// The header of a text.
fn text_header(length: usize, header: &mut [u8; 5]) -> Result<&[u8], Error> {
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

/// The mark of a `Some` around another one.
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

impl<'e, 'o> Serializer for &'e mut Encoder<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'e, 'o>;
    type SerializeTuple = Compound<'e, 'o>;
    type SerializeTupleStruct = Compound<'e, 'o>;
    type SerializeTupleVariant = Compound<'e, 'o>;
    type SerializeMap = Compound<'e, 'o>;
    type SerializeStruct = Compound<'e, 'o>;
    type SerializeStructVariant = Compound<'e, 'o>;

    fn is_human_readable(&self) -> bool {
        true
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    #[inline]
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    #[inline]
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.signed(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        if let Ok(value) = i64::try_from(value) {
            self.signed(value);
        } else if let Ok(value) = u128::try_from(value) {
            return self.serialize_u128(value);
        } else {
            self.out.extend_from_slice(&[FIX_EXT_16, BIG_SIGNED]);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
        Ok(())
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    #[inline]
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    #[inline]
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.unsigned(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        if let Ok(value) = u64::try_from(value) {
            self.unsigned(value);
        } else {
            self.out.extend_from_slice(&[FIX_EXT_16, BIG_UNSIGNED]);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.with_marker::<4, 5>(F32, value.to_be_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.with_marker::<8, 9>(F64, value.to_be_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let at = self.out.len();
        self.out.push(FIX_STR);
        if write!(Text(self.out), "{value}").is_err() {
            return Err(<Error as serde::ser::Error>::custom("the value's `Display` returned an error"));
        }
        let mut header = [0; 5];
        let header = text_header(self.out.len() - at - 1, &mut header)?;
        self.out.splice(at..=at, header.iter().copied());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(value.len()).map_err(|_| too_long())?;
        self.out.reserve(5 + value.len());
        match length {
            0..0x100 => self.out.extend_from_slice(&[BIN_8, length as u8]),
            0x100..0x1_0000 => self.with_marker::<2, 3>(BIN_16, (length as u16).to_be_bytes()),
            _ => self.with_marker::<4, 5>(BIN_32, length.to_be_bytes()),
        }
        self.out.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        if self.somes >= MAX_DEPTH {
            return Err(Error::too_deep());
        }
        self.somes += 1;
        let at = self.out.len();
        self.inner(value)?;
        self.somes -= 1;
        self.mark_some(at);
        Ok(())
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Error> {
        self.out.push(NIL);
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.text(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let somes = self.enter()?;
        self.variant(variant)?;
        self.inner(value)?;
        self.leave(somes);
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'e, 'o>, Error> {
        Compound::begin(self, Form::Array, length)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Compound<'e, 'o>, Error> {
        Compound::begin(self, Form::Array, Some(length))
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Compound<'e, 'o>, Error> {
        Compound::begin(self, Form::Array, Some(length))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'e, 'o>, Error> {
        self.variant(variant)?;
        Compound::begin(self, Form::Array, Some(length))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'e, 'o>, Error> {
        Compound::begin(self, Form::Map, length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Compound<'e, 'o>, Error> {
        Compound::begin(self, Form::Map, Some(length))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'e, 'o>, Error> {
        self.variant(variant)?;
        Compound::begin(self, Form::Map, Some(length))
    }
}

/// Text that is written piece by piece.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
