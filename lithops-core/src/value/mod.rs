//! The format of values: arguments, results and shared values as they travel and are stored.
//!
//! It is MessagePack as other languages read it, and it is self-describing: what `serde_json` gives back
//! comes back here too, and so do values that JSON cannot say. `docs/values.md` describes every form; in
//! short:
//!
//! ```text
//! struct, struct variant     map of field names, without the fields that were skipped
//! unit variant               its name            other variants   map of one: name => content
//! None, (), unit struct      nil                 Some(x)          x
//! Some(x), x being nil       extension 1 around x, so that Some(None) is not None
//! beyond 64 bits             extension 2 (u128) or 3 (i128), 16 bytes, big-endian
//! ```
//!
//! The field names are what makes this safe: a skipped field moves no other, and `untagged`, `tag` and
//! `flatten` find what they look for. Types that write themselves differently for people (IP addresses,
//! UUIDs) are written as text, because serde's own buffers read them as text.

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
