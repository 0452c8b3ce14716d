//! Marks in the log: where one call's output ends and the next call's begins.

use std::io::{self, Write};

use rustix::io::{ioctl_fionread, write};

use crate::{clock, pool::MARK_LEN};

/// So often the shortest system call is tried.
const TRIALS: usize = 64;

/// Writes marks into standard output, which is the log pipe.
#[derive(Debug)]
pub(super) struct LogMarks {
    secret: [u8; 16],
    /// Nothing can have been printed in less time, in nanoseconds: half of what the shortest system call has taken.
    nothing: u64,
}

impl LogMarks {
    pub(super) fn new(secret: [u8; 16]) -> Self {
        let took = (0..TRIALS).map(|_| {
            let begun = clock::monotonic();
            let _ = ioctl_fionread(io::stdout());
            clock::monotonic().saturating_sub(begun)
        });
        Self { secret, nothing: took.min().unwrap_or(0) / 2 }
    }

    /// Ends what was printed before the first call.
    pub(super) fn start(&self) {
        self.mark(u32::MAX, u32::MAX);
    }

    /// Prints half a line, which is part of the call's output too.
    pub(super) fn flush() {
        // Where stdout is broken there is nothing to mark.
        let _ = io::stdout().flush();
    }

    /// Ends a call's output, if there is any; it took so many nanoseconds, flushing included. The worker leaves at
    /// least a byte in the pipe until a mark has come, so that an empty pipe means that nothing was printed.
    pub(super) fn end_call(&self, batch: u32, index: u32, took: u64) {
        // Looking costs several times what such a call does.
        if took < self.nothing {
            return;
        }
        if ioctl_fionread(io::stdout()).unwrap_or(1) > 0 {
            self.mark(batch, index);
        }
    }

    fn mark(&self, batch: u32, index: u32) {
        let mut mark = [0; MARK_LEN];
        mark[..16].copy_from_slice(&self.secret);
        mark[16..20].copy_from_slice(&batch.to_le_bytes());
        mark[20..].copy_from_slice(&index.to_le_bytes());
        // So few bytes are written whole or not at all; without a reader this process is about to end anyway.
        let _ = write(io::stdout(), &mark);
    }
}
