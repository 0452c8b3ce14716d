//! Reads the forms of MessagePack. Every length is compared with the bytes that are there before it is used.

use super::{
    Error,
    markers::{
        ARRAY_16, ARRAY_32, BIN_8, BIN_16, BIN_32, EXT_8, EXT_16, EXT_32, F32, F64, FALSE, FIX_ARRAY,
        FIX_EXT_1, FIX_EXT_2, FIX_EXT_4, FIX_EXT_8, FIX_EXT_16, FIX_MAP, FIX_STR, I8, I16, I32, I64, MAP_16,
        MAP_32, NIL, STR_8, STR_16, STR_32, TRUE, U8, U16, U32, U64,
    },
};

/// The bytes that are not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'de> {
    pub(super) rest: &'de [u8],
}

/// The first part of a value: the content of a compound follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// An integer below zero.
    Signed(i64),
    F32(f32),
    F64(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    Array(usize),
    Map(usize),
    /// An extension: its kind, and the length of its content, which follows.
    Extension(u8, usize),
}

impl<'de> Reader<'de> {
    /// The marker of the next value, which is not taken off.
    #[inline]
    pub(super) fn peek(&self) -> Result<u8, Error> {
        self.rest.first().copied().ok_or_else(Error::cut_short)
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(Error::cut_short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(Error::cut_short)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn length_8(&mut self) -> Result<usize, Error> {
        Ok(usize::from(u8::from_be_bytes(self.number()?)))
    }

    #[inline]
    fn length_16(&mut self) -> Result<usize, Error> {
        Ok(usize::from(u16::from_be_bytes(self.number()?)))
    }

    #[inline]
    fn length_32(&mut self) -> Result<usize, Error> {
        Ok(u32::from_be_bytes(self.number()?) as usize)
    }

    #[inline]
    fn text(&mut self, length: usize) -> Result<Token<'de>, Error> {
        let text = std::str::from_utf8(self.take(length)?);
        Ok(Token::Text(text.map_err(|_| Error::malformed("a text is not UTF-8"))?))
    }

    #[inline]
    fn bytes(&mut self, length: usize) -> Result<Token<'de>, Error> {
        self.take(length).map(Token::Bytes)
    }

    /// Refuses a length beyond the bytes that are left: every element has at least one byte.
    #[inline]
    fn array(&mut self, length: usize) -> Result<Token<'de>, Error> {
        if length > self.rest.len() {
            return Err(Error::cut_short());
        }
        Ok(Token::Array(length))
    }

    #[inline]
    fn map(&mut self, length: usize) -> Result<Token<'de>, Error> {
        if length > self.rest.len() / 2 {
            return Err(Error::cut_short());
        }
        Ok(Token::Map(length))
    }

    #[inline]
    fn extension(&mut self, length: usize) -> Result<Token<'de>, Error> {
        let [kind] = self.number()?;
        if length > self.rest.len() {
            return Err(Error::cut_short());
        }
        Ok(Token::Extension(kind, length))
    }

    #[inline]
    fn signed(value: i64) -> Token<'de> {
        u64::try_from(value).map_or(Token::Signed(value), Token::Unsigned)
    }

    /// Takes an integer that is not negative; `None` if the next value is something else.
    #[inline]
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let (value, rest) = match *self.rest {
            [value @ 0..FIX_MAP, ref rest @ ..] => (value.into(), rest),
            [U8, value, ref rest @ ..] => (value.into(), rest),
            [U16, a, b, ref rest @ ..] => (u16::from_be_bytes([a, b]).into(), rest),
            [U32, a, b, c, d, ref rest @ ..] => (u32::from_be_bytes([a, b, c, d]).into(), rest),
            [U64, a, b, c, d, e, f, g, h, ref rest @ ..] => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    /// Takes a floating-point number with this marker; `None` if the next value is something else.
    #[inline]
    pub(super) fn float<const N: usize>(&mut self, marker: u8) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        (*first == marker).then(|| {
            self.rest = rest;
            *bytes
        })
    }

    /// Takes a text of less than 32 bytes, if it is the next value, and returns whether it was.
    #[inline]
    pub(super) fn is_text(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(&[FIX_STR | text.len() as u8 & 0x1f]);
        match rest.and_then(|rest| rest.strip_prefix(text.as_bytes())) {
            Some(rest) if text.len() < 32 => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes the next token off.
    pub(super) fn token(&mut self) -> Result<Token<'de>, Error> {
        let [marker] = self.number()?;
        match marker {
            0..FIX_MAP => Ok(Token::Unsigned(marker.into())),
            FIX_MAP..FIX_ARRAY => self.map(usize::from(marker & 0x0f)),
            FIX_ARRAY..FIX_STR => self.array(usize::from(marker & 0x0f)),
            FIX_STR..NIL => self.text(usize::from(marker & 0x1f)),
            NIL => Ok(Token::Nil),
            FALSE => Ok(Token::Bool(false)),
            TRUE => Ok(Token::Bool(true)),
            BIN_8 => self.length_8().and_then(|length| self.bytes(length)),
            BIN_16 => self.length_16().and_then(|length| self.bytes(length)),
            BIN_32 => self.length_32().and_then(|length| self.bytes(length)),
            EXT_8 => self.length_8().and_then(|length| self.extension(length)),
            EXT_16 => self.length_16().and_then(|length| self.extension(length)),
            EXT_32 => self.length_32().and_then(|length| self.extension(length)),
            F32 => Ok(Token::F32(f32::from_be_bytes(self.number()?))),
            F64 => Ok(Token::F64(f64::from_be_bytes(self.number()?))),
            U8 => Ok(Token::Unsigned(u8::from_be_bytes(self.number()?).into())),
            U16 => Ok(Token::Unsigned(u16::from_be_bytes(self.number()?).into())),
            U32 => Ok(Token::Unsigned(u32::from_be_bytes(self.number()?).into())),
            U64 => Ok(Token::Unsigned(u64::from_be_bytes(self.number()?))),
            I8 => Ok(Self::signed(i8::from_be_bytes(self.number()?).into())),
            I16 => Ok(Self::signed(i16::from_be_bytes(self.number()?).into())),
            I32 => Ok(Self::signed(i32::from_be_bytes(self.number()?).into())),
            I64 => Ok(Self::signed(i64::from_be_bytes(self.number()?))),
            FIX_EXT_1 => self.extension(1),
            FIX_EXT_2 => self.extension(2),
            FIX_EXT_4 => self.extension(4),
            FIX_EXT_8 => self.extension(8),
            FIX_EXT_16 => self.extension(16),
            STR_8 => self.length_8().and_then(|length| self.text(length)),
            STR_16 => self.length_16().and_then(|length| self.text(length)),
            STR_32 => self.length_32().and_then(|length| self.text(length)),
            ARRAY_16 => self.length_16().and_then(|length| self.array(length)),
            ARRAY_32 => self.length_32().and_then(|length| self.array(length)),
            MAP_16 => self.length_16().and_then(|length| self.map(length)),
            MAP_32 => self.length_32().and_then(|length| self.map(length)),
            0xe0.. => Ok(Token::Signed((marker as i8).into())),
            _ => Err(Error::malformed("a byte that MessagePack does not use")),
        }
    }

    /// Passes over a value of any depth, without recursion.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            // The sums cannot overflow: each length is at most the number of bytes that are left.
            match self.token()? {
                Token::Array(length) => left += length,
                Token::Map(length) => left += 2 * length,
                Token::Extension(_, length) => drop(self.take(length)?),
                _ => {}
            }
        }
        Ok(())
    }
}
