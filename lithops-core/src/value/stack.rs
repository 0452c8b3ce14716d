//! Room on the stack for deep values: both directions recurse through the `serde` code of the value's type,
//! whose frames are of any size, on whatever thread the value is used.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Error;

/// A value of fewer levels is decoded on the stack that there is; also the distance between two looks at the
/// stack while a value is encoded.
pub(super) const SHALLOW: u16 = 64;

/// What `SHALLOW` levels may need while encoding: 16 KiB a level, several times what was seen in builds
/// without optimisation.
const NEEDED: usize = 1 << 20;

/// A piece of stack for `SHALLOW` levels and what they call.
const PIECE: usize = 4 << 20;

/// A stack for a value of `MAX_DEPTH` levels: 128 KiB for each, of which the system gives only what is
/// touched. serde reads `untagged` enums from buffers of its own, so that there is no place to look at the
/// stack meanwhile.
const DEEP: usize = 128 << 20;

/// Runs a step of encoding with room for `SHALLOW` more levels.
pub(super) fn with_room<T>(step: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(NEEDED, PIECE, step)
}

/// Decodes a deep value on a stack of its own.
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
        // `stacker` panics where the system has no memory for a stack.
        false => Err(Error::no_stack()),
    })
}
