//! Reading a value.

use std::marker::PhantomData;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, Visitor, value::SeqDeserializer},
};

use super::{
    Error,
    access::{Elements, Fields, UnitVariant, Variant},
    markers::{BIG_SIGNED, BIG_UNSIGNED, F32, F64, NIL, SOME},
    reader::{Reader, Token},
    stack::{self, MAX_DEPTH, SHALLOW},
};

/// Decodes a value, which is all of `bytes`.
///
/// # Errors
/// When the bytes are no value of the type, or more than one.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value()?;
    match decoder.reader.rest.is_empty() {
        true => Ok(value),
        false => Err(Error::malformed("more bytes follow the value")),
    }
}

/// Reads values that follow each other.
#[derive(Debug)]
pub struct Decoder<'de> {
    pub(super) reader: Reader<'de>,
    /// How many levels deeper it may go.
    levels: u16,
    /// Whether it would have had to go deeper. The type's own code may have dropped the error.
    reached: bool,
}

/// What can be encoded: so many maps and arrays, and as many `Some` around a nil.
const MOST_LEVELS: u16 = 2 * MAX_DEPTH;

impl<'de> Decoder<'de> {
    /// Reads from `bytes`.
    #[must_use]
    pub fn new(bytes: &'de [u8]) -> Self {
        Self { reader: Reader { rest: bytes }, levels: SHALLOW, reached: false }
    }

    /// The next value.
    ///
    /// # Errors
    /// When what follows is no value of the type.
    #[inline]
    pub fn value<T: Deserialize<'de>>(&mut self) -> Result<T, Error> {
        self.value_of(PhantomData)
    }

    /// The next value, by a seed.
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    #[inline]
    pub fn value_of<S: DeserializeSeed<'de> + Copy>(&mut self, seed: S) -> Result<S::Value, Error> {
        let start = self.reader;
        self.levels = SHALLOW;
        let value = seed.deserialize(&mut *self);
        if !self.reached {
            return value;
        }
        drop(value);
        let mut deep = Decoder { reader: start, levels: MOST_LEVELS, reached: false };
        let value = stack::deep(|| seed.deserialize(&mut deep));
        *self = Decoder { reader: deep.reader, levels: SHALLOW, reached: false };
        match deep.reached {
            true => Err(Error::too_deep()),
            false => value,
        }
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        if self.levels == 0 {
            self.reached = true;
            return Err(Error::too_deep());
        }
        self.levels -= 1;
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.levels += 1;
    }

    #[inline]
    fn visit_array<V: Visitor<'de>>(&mut self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.enter()?;
        let mut elements = Elements::new(self, length);
        let value = visitor.visit_seq(&mut elements)?;
        elements.end()?;
        self.leave();
        Ok(value)
    }

    #[inline]
    fn visit_map<V: Visitor<'de>>(&mut self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.enter()?;
        let mut entries = Elements::new(self, length);
        let value = visitor.visit_map(&mut entries)?;
        entries.end()?;
        self.leave();
        Ok(value)
    }

    /// The content of a marked `Some`.
    fn visit_some<V: Visitor<'de>>(&mut self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.enter()?;
        let after = self.reader.rest.len() - length;
        let value = visitor.visit_some(&mut *self)?;
        self.leave();
        match self.reader.rest.len() == after {
            true => Ok(value),
            false => Err(Error::malformed("a `Some` has another length than its content")),
        }
    }

    fn big(&mut self, kind: u8, length: usize) -> Result<Big, Error> {
        match (kind, length) {
            (BIG_UNSIGNED, 16) => Ok(Big::Unsigned(u128::from_be_bytes(self.reader.number()?))),
            (BIG_SIGNED, 16) => Ok(Big::Signed(i128::from_be_bytes(self.reader.number()?))),
            _ => Err(Error::malformed("an extension of an unknown kind")),
        }
    }

    #[inline]
    fn visit<V: Visitor<'de>>(&mut self, token: Token<'de>, visitor: V) -> Result<V::Value, Error> {
        match token {
            Token::Nil => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Unsigned(value) => visitor.visit_u64(value),
            Token::Signed(value) => visitor.visit_i64(value),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Text(text) => visitor.visit_borrowed_str(text),
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Array(length) => self.visit_array(length, visitor),
            Token::Map(length) => self.visit_map(length, visitor),
            Token::Extension(SOME, length) => self.visit_some(length, visitor),
            Token::Extension(kind, length) => match self.big(kind, length)? {
                Big::Unsigned(value) => visitor.visit_u128(value),
                Big::Signed(value) => visitor.visit_i128(value),
            },
        }
    }

    /// What stands for a unit: nil, within any number of marks of `Some`; the array of none is what other
    /// implementations write for a unit struct.
    fn unit(&mut self) -> Result<Option<Token<'de>>, Error> {
        loop {
            match self.reader.token()? {
                Token::Nil | Token::Array(0) => return Ok(None),
                Token::Extension(SOME, _) => {}
                other => return Ok(Some(other)),
            }
        }
    }
}

enum Big {
    Unsigned(u128),
    Signed(i128),
}

/// Bytes as the elements that they would be in JSON.
fn visit_bytes_as_array<'de, V: Visitor<'de>>(bytes: &'de [u8], visitor: V) -> Result<V::Value, Error> {
    let mut elements = SeqDeserializer::new(bytes.iter().copied());
    let value = visitor.visit_seq(&mut elements)?;
    elements.end()?;
    Ok(value)
}

macro_rules! integers {
    ($($method:ident $Int:ident $visit:ident),* $(,)?) => {
        $(
            // In the type that is asked for where it fits: a visitor may know no other.
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
            // `serde_json::value::RawValue` writes a struct of this name and reads a newtype, which it wants as a map.
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

/// Whether a visitor is that of the buffer from which serde reads `untagged`, `tag` and `flatten`. Bytes that are
/// also text would be taken for a `String` when they are read from there, so that they go in as an array, as in
/// JSON. Should serde rename its visitor, they are bytes again, which is right for all but such an enum.
#[inline]
fn is_buffer<V>() -> bool {
    std::any::type_name::<V>().contains("ContentVisitor")
}
