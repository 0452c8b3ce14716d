//! [`Decoder`]: reads values of the format.

use std::marker::PhantomData;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Visitor},
};

use super::{
    Error,
    depth::MAX_DEPTH,
    markers::{BIG_SIGNED, BIG_UNSIGNED, SOME},
    reader::{Reader, Token},
    stack::{self, SHALLOW},
};

/// Decodes one value from all of `bytes`.
///
/// # Errors
/// When the bytes are no value of the type, or bytes follow the value.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value()?;
    match decoder.reader.rest.is_empty() {
        true => Ok(value),
        false => Err(Error::malformed("more bytes follow the value")),
    }
}

/// Reads values that follow each other in a buffer.
#[derive(Debug)]
pub struct Decoder<'de> {
    pub(super) reader: Reader<'de>,
    /// How many levels of maps, arrays and marked `Some` may still be entered.
    pub(super) levels: u16,
    /// Whether the limit on levels was reached. It is noted here because the type's own code may drop the
    /// error.
    pub(super) reached: bool,
}

/// The most levels that an encoded value can have: [`MAX_DEPTH`] maps and arrays, and as many `Some` around a
/// nil.
const MOST_LEVELS: u16 = 2 * MAX_DEPTH;

impl<'de> Decoder<'de> {
    /// A decoder that reads from `bytes`.
    #[must_use]
    pub fn new(bytes: &'de [u8]) -> Self {
        Self { reader: Reader { rest: bytes }, levels: SHALLOW, reached: false }
    }

    /// Reads the next value.
    ///
    /// # Errors
    /// When the next bytes are no value of the type.
    #[inline]
    pub fn value<T: Deserialize<'de>>(&mut self) -> Result<T, Error> {
        self.value_of(PhantomData)
    }

    /// Reads the next value with a seed. A value of more than 64 levels is read again on a stack of its own.
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

    /// Reads the content of a marked `Some`.
    pub(super) fn visit_some<V: Visitor<'de>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.enter()?;
        let after = self.reader.rest.len() - length;
        let value = visitor.visit_some(&mut *self)?;
        self.leave();
        match self.reader.rest.len() == after {
            true => Ok(value),
            false => Err(Error::malformed("a `Some` has another length than its content")),
        }
    }

    pub(super) fn big(&mut self, kind: u8, length: usize) -> Result<Big, Error> {
        match (kind, length) {
            (BIG_UNSIGNED, 16) => Ok(Big::Unsigned(u128::from_be_bytes(self.reader.number()?))),
            (BIG_SIGNED, 16) => Ok(Big::Signed(i128::from_be_bytes(self.reader.number()?))),
            _ => Err(Error::malformed("an extension of an unknown kind")),
        }
    }

    #[inline]
    pub(super) fn visit<V: Visitor<'de>>(
        &mut self,
        token: Token<'de>,
        visitor: V,
    ) -> Result<V::Value, Error> {
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

    /// Reads a unit: nil, within any number of marks of `Some`, or an empty array, which other
    /// implementations write for a unit struct. Returns the token if it is something else.
    pub(super) fn unit(&mut self) -> Result<Option<Token<'de>>, Error> {
        loop {
            match self.reader.token()? {
                Token::Nil | Token::Array(0) => return Ok(None),
                Token::Extension(SOME, _) => {}
                other => return Ok(Some(other)),
            }
        }
    }
}

pub(super) enum Big {
    Unsigned(u128),
    Signed(i128),
}
