//! How deep a value may be.

/// The most levels of a value, counting maps, arrays, and each `Some` around a nil. More are an error on both
/// sides.
pub const MAX_DEPTH: u16 = 1024;
