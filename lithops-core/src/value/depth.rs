//! The limit on the depth of a value.

/// The most levels of a value: maps and arrays within each other, and also `Some` directly within each other.
/// A deeper value is an error when it is encoded and when it is decoded.
pub const MAX_DEPTH: u16 = 1024;
