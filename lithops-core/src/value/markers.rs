//! The first bytes of the forms of MessagePack, and the extensions of this format.

pub(super) const FIX_MAP: u8 = 0x80;
pub(super) const FIX_ARRAY: u8 = 0x90;
pub(super) const FIX_STR: u8 = 0xa0;
pub(super) const NIL: u8 = 0xc0;
pub(super) const FALSE: u8 = 0xc2;
pub(super) const TRUE: u8 = 0xc3;
pub(super) const BIN_8: u8 = 0xc4;
pub(super) const BIN_16: u8 = 0xc5;
pub(super) const BIN_32: u8 = 0xc6;
pub(super) const EXT_8: u8 = 0xc7;
pub(super) const EXT_16: u8 = 0xc8;
pub(super) const EXT_32: u8 = 0xc9;
pub(super) const F32: u8 = 0xca;
pub(super) const F64: u8 = 0xcb;
pub(super) const U8: u8 = 0xcc;
pub(super) const U16: u8 = 0xcd;
pub(super) const U32: u8 = 0xce;
pub(super) const U64: u8 = 0xcf;
pub(super) const I8: u8 = 0xd0;
pub(super) const I16: u8 = 0xd1;
pub(super) const I32: u8 = 0xd2;
pub(super) const I64: u8 = 0xd3;
pub(super) const FIX_EXT_1: u8 = 0xd4;
pub(super) const FIX_EXT_2: u8 = 0xd5;
pub(super) const FIX_EXT_4: u8 = 0xd6;
pub(super) const FIX_EXT_8: u8 = 0xd7;
pub(super) const FIX_EXT_16: u8 = 0xd8;
pub(super) const STR_8: u8 = 0xd9;
pub(super) const STR_16: u8 = 0xda;
pub(super) const STR_32: u8 = 0xdb;
pub(super) const ARRAY_16: u8 = 0xdc;
pub(super) const ARRAY_32: u8 = 0xdd;
pub(super) const MAP_16: u8 = 0xde;
pub(super) const MAP_32: u8 = 0xdf;

/// The extension of a `Some` whose content is nil, or another such `Some`: its data is the content, encoded.
pub(super) const SOME: u8 = 1;
/// An integer above 64 bits: 16 bytes, big-endian.
pub(super) const BIG_UNSIGNED: u8 = 2;
/// An integer below 64 bits: 16 bytes, big-endian, two's complement.
pub(super) const BIG_SIGNED: u8 = 3;
