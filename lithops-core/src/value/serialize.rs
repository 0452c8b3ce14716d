//! Writes each kind of value of `serde`.

use std::fmt::{self, Display, Write as _};

use serde::{Serialize, Serializer};

use super::{
    Error,
    compound::{Compound, Form},
    depth::MAX_DEPTH,
    encoder::{Encoder, text_header, too_long},
    markers::{
        BIG_SIGNED, BIG_UNSIGNED, BIN_8, BIN_16, BIN_32, F32, F64, FALSE, FIX_EXT_16, FIX_STR, NIL, TRUE,
    },
};

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

/// A text that is written piece by piece, without a buffer of its own.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
