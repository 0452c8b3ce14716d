//! Reads each kind of value of `serde`.

use serde::{
    Deserializer,
    de::{Error as _, Visitor, value::SeqDeserializer},
};

use super::{
    Error,
    access::{Elements, Fields, UnitVariant, Variant},
    markers::{F32, F64, NIL, SOME},
    reader::Token,
};

use super::decoder::{Big, Decoder};

/// Reads bytes as an array of their numbers, which is their form in JSON.
fn visit_bytes_as_array<'de, V: Visitor<'de>>(bytes: &'de [u8], visitor: V) -> Result<V::Value, Error> {
    let mut elements = SeqDeserializer::new(bytes.iter().copied());
    let value = visitor.visit_seq(&mut elements)?;
    elements.end()?;
    Ok(value)
}

macro_rules! integers {
    ($($method:ident $Int:ident $visit:ident),* $(,)?) => {
        $(
            // The number is passed on in the type that was asked for, where it fits: a visitor may accept no
            // other.
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                if let Some(value) = self.reader.unsigned() {
                    return match $Int::try_from(value) {
                        Ok(value) => visitor.$visit(value),
                        Err(_) => visitor.visit_u64(value),
                    };
                }
                match self.reader.token()? {
                    Token::Signed(value) => match $Int::try_from(value) {
                        Ok(value) => visitor.$visit(value),
                        Err(_) => visitor.visit_i64(value),
                    },
                    token => self.visit(token, visitor),
                }
            }
        )*
    };
}

macro_rules! floats {
    ($($method:ident $Float:ident $marker:ident $visit:ident),* $(,)?) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                if let Some(bytes) = self.reader.float($marker) {
                    return visitor.$visit($Float::from_be_bytes(bytes));
                }
                let token = self.reader.token()?;
                self.visit(token, visitor)
            }
        )*
    };
}

macro_rules! as_they_are {
    ($($method:ident),* $(,)?) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                let token = self.reader.token()?;
                self.visit(token, visitor)
            }
        )*
    };
}

impl<'de> Decoder<'de> {
    #[inline]
    pub(super) fn visit_array<V: Visitor<'de>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.enter()?;
        let mut elements = Elements::new(self, length);
        let value = visitor.visit_seq(&mut elements)?;
        elements.end()?;
        self.leave();
        Ok(value)
    }

    #[inline]
    pub(super) fn visit_map<V: Visitor<'de>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.enter()?;
        let mut entries = Elements::new(self, length);
        let value = visitor.visit_map(&mut entries)?;
        entries.end()?;
        self.leave();
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        true
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.token()? {
            Token::Bytes(bytes) if is_buffer::<V>() && std::str::from_utf8(bytes).is_ok() => {
                self.enter()?;
                let value = visit_bytes_as_array(bytes, visitor);
                self.leave();
                value
            }
            token => self.visit(token, visitor),
        }
    }

    integers!(
        deserialize_i8 i8 visit_i8,
        deserialize_i16 i16 visit_i16,
        deserialize_i32 i32 visit_i32,
        deserialize_i64 i64 visit_i64,
        deserialize_u8 u8 visit_u8,
        deserialize_u16 u16 visit_u16,
        deserialize_u32 u32 visit_u32,
        deserialize_u64 u64 visit_u64,
    );

    floats!(deserialize_f32 f32 F32 visit_f32, deserialize_f64 f64 F64 visit_f64);

    as_they_are!(
        deserialize_bool,
        deserialize_char,
        deserialize_str,
        deserialize_string,
        deserialize_bytes,
        deserialize_byte_buf,
        deserialize_map,
        deserialize_identifier,
    );

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.token()? {
            Token::Unsigned(value) => visitor.visit_i128(value.into()),
            Token::Signed(value) => visitor.visit_i128(value.into()),
            Token::Bytes(bytes) if let Ok(bytes) = bytes.try_into() => {
                visitor.visit_i128(i128::from_be_bytes(bytes))
            }
            Token::Extension(kind, length) if kind != SOME => match self.big(kind, length)? {
                Big::Unsigned(value) => match i128::try_from(value) {
                    Ok(value) => visitor.visit_i128(value),
                    Err(_) => visitor.visit_u128(value),
                },
                Big::Signed(value) => visitor.visit_i128(value),
            },
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.token()? {
            Token::Unsigned(value) => visitor.visit_u128(value.into()),
            Token::Bytes(bytes) if let Ok(bytes) = bytes.try_into() => {
                visitor.visit_u128(u128::from_be_bytes(bytes))
            }
            token => self.visit(token, visitor),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.reader.peek()? == NIL {
            self.reader.take(1)?;
            return visitor.visit_none();
        }
        let start = self.reader;
        match self.reader.token()? {
            Token::Extension(SOME, length) => self.visit_some(length, visitor),
            _ => {
                self.reader = start;
                visitor.visit_some(self)
            }
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.unit()? {
            None => visitor.visit_unit(),
            Some(token) => self.visit(token, visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            // `serde_json::value::RawValue` writes a struct of this name, and reads it as a newtype with a
            // map.
            "$serde_json::private::RawValue" => self.deserialize_any(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.token()? {
            Token::Array(length) => self.visit_array(length, visitor),
            Token::Bytes(bytes) => visit_bytes_as_array(bytes, visitor),
            token => self.visit(token, visitor),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.reader.token()? {
            Token::Map(length) => {
                self.enter()?;
                let mut fields = Fields { entries: Elements::new(self, length), names };
                let value = visitor.visit_map(&mut fields)?;
                fields.entries.end()?;
                self.leave();
                Ok(value)
            }
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let start = self.reader;
        match self.reader.token()? {
            Token::Text(_) => {
                self.reader = start;
                visitor.visit_enum(UnitVariant(self))
            }
            Token::Map(1) => {
                self.enter()?;
                let value = visitor.visit_enum(Variant(&mut *self))?;
                self.leave();
                Ok(value)
            }
            Token::Map(_) => Err(Error::custom("an enum is the name of a variant, or a map of one")),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.skip()?;
        visitor.visit_unit()
    }
}

/// Whether a visitor is that of the buffer from which serde reads `untagged`, `tag` and `flatten`. Bytes that
/// are also text would be taken for a `String` when they are read from that buffer, so that they go in as an
/// array, as in JSON. If serde renames its visitor, they go in as bytes, which is right except for such an
/// enum.
#[inline]
fn is_buffer<V>() -> bool {
    std::any::type_name::<V>().contains("ContentVisitor")
}
