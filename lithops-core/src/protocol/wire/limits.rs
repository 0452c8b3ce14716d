//! How long frames and values may be.

/// The longest body that is sent or accepted, checked before anything is allocated.
pub const MAX_FRAME: usize = 1 << 30;

/// The longest encoded argument, result or shared value: a frame with one of them alone stays below [`MAX_FRAME`].
pub const MAX_VALUE: usize = MAX_FRAME - (1 << 20);
