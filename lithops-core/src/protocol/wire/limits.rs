//! The limits on the lengths of frames and values.

/// The longest body of a frame in bytes, sent or accepted. A reader checks it before it allocates memory.
pub const MAX_FRAME: usize = 1 << 30;

/// The longest encoded argument, result or shared value in bytes: a frame with one such value stays below
/// [`MAX_FRAME`].
pub const MAX_VALUE: usize = MAX_FRAME - (1 << 20);
