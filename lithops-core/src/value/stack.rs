//! Stack for deep values. Encoding and decoding recurse through the `serde` code of the value's type, whose
//! frames may have any size, and may run on any thread.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Error;

/// A value with fewer levels is decoded on the present stack. While a value is encoded, the stack is checked
/// every time that this many levels were entered.
pub(super) const SHALLOW: u16 = 64;

/// The stack that `SHALLOW` levels may need while encoding: 16 KiB for each level, several times what was
/// measured in builds without optimisation.
const NEEDED: usize = 1 << 20;

/// The size of a new piece of stack: for `SHALLOW` levels and the functions that they call.
const PIECE: usize = 4 << 20;

/// The stack for a value of `MAX_DEPTH` levels: 128 KiB for each, of which the system gives only touched
/// pages. It is one piece, because serde reads `untagged` enums from buffers of its own, where the stack
/// cannot be checked.
const DEEP: usize = 128 << 20;

/// Runs a step of encoding with stack for `SHALLOW` more levels.
pub(super) fn with_room<T>(step: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(NEEDED, PIECE, step)
}

/// Decodes a deep value on a new stack.
pub(super) fn deep<T>(decode: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let mut began = false;
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        stacker::grow(DEEP, || {
            began = true;
            decode()
        })
    }));
    decoded.unwrap_or_else(|panic| match began {
        true => resume_unwind(panic),
        // `stacker` panics before it calls the closure if the system has no memory for a stack.
        false => Err(Error::no_stack()),
    })
}
