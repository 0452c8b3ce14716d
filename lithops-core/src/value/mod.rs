//! The format of values: arguments, results and shared values as they travel and are stored.
//!
//! The format is MessagePack as other languages read it, and it is self-describing: values that `serde_json`
//! reads back as they were are read back here too, and so are values that JSON cannot express.
//! `docs/values.md` describes every form; in short:
//!
//! ```text
//! struct, struct variant     map of field names, without the fields that were skipped
//! unit variant               its name            other variants   map of one: name => content
//! None, (), unit struct      nil                 Some(x)          x
//! Some(x), x being nil       extension 1 around x, so that Some(None) is not None
//! beyond 64 bits             extension 2 (u128) or 3 (i128), 16 bytes, big-endian
//! ```
//!
//! The field names make the format safe: a skipped field does not move the others, and `untagged`, `tag` and
//! `flatten` find the names that they look for. Types that have a form for people (IP addresses, UUIDs) are
//! written as text, because serde's own buffers read them as text.

mod access;
mod compound;
mod decoder;
mod depth;
mod deserialize;
mod encoder;
mod error;
mod markers;
mod reader;
mod serialize;
mod stack;

pub use decoder::{Decoder, decode};
pub use depth::MAX_DEPTH;
pub use encoder::{encode, encode_into};
pub use error::Error;

#[cfg(test)]
mod tests;
