//! [`LogMarks`]: marks in the log, where the output of one call ends and that of the next begins.

use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, ioctl_fionread, write},
};

use super::identity::Identity;
use crate::{clock, pool::MARK_LEN};

/// How often the shortest system call is timed, at the start of a sub-worker: the minimum of a few dozen is steady.
const TRIALS: usize = 64;
/// In this many nanoseconds no machine writes into a pipe and goes on with what lies between two calls. Where the trials
/// were slow, because other tenants of the machine were busy just then, less than their time is to be believed.
const SURELY_NOTHING: u64 = 128;
/// A call that takes less than this many times as long has not closed and opened a descriptor.
const FEW: u64 = 8;

/// Writes marks into the log pipe, through a descriptor of its own, because a call may close or redirect standard
/// output.
#[derive(Debug)]
pub(super) struct LogMarks {
    secret: [u8; 16],
    pipe: OwnedFd,
    identity: Option<Identity>,
    /// Three quarters of the time of the shortest system call, in nanoseconds, or less: a call that takes less, with what
    /// comes between two calls, cannot have printed anything. To print takes longer than that system call.
    nothing: u64,
}

/// Where standard output and standard error go after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputTarget {
    /// Into the log, perhaps after the descriptor was opened again.
    Logged,
    /// Into a file that the call has put there, which must stay as it is.
    Elsewhere,
}

impl LogMarks {
    pub(super) fn new(secret: [u8; 16]) -> io::Result<Self> {
        let pipe = io::stdout().as_fd().try_clone_to_owned()?;
        let took = (0..TRIALS).map(|_| {
            let begun = clock::monotonic();
            let _ = ioctl_fionread(&pipe);
            clock::monotonic().saturating_sub(begun)
        });
        let nothing = (took.min().unwrap_or(0) / 4 * 3).min(SURELY_NOTHING);
        Ok(Self { secret, nothing, identity: Identity::of(&pipe), pipe })
    }

    /// Ends the output of the program before the first call.
    pub(super) fn start(&self) {
        self.mark(u32::MAX, u32::MAX);
    }

    /// Prints what Rust's standard output has buffered: half a line is part of the call's output too.
    pub(super) fn flush() {
        // Where standard output is broken, nothing was printed that needs a mark.
        let _ = io::stdout().flush();
    }

    /// Ends the output of a call that took `took` nanoseconds, flushing included, if there is any output. Returns whether
    /// the call took long enough to be looked at.
    ///
    /// The worker leaves at least a byte in the pipe until a mark has come, so an empty pipe means that nothing was
    /// printed; unless `is_live`, when the worker takes all of it as soon as it can.
    pub(super) fn end_call(&self, batch: u32, index: u32, took: u64, is_live: bool) -> bool {
        // To look at the pipe would cost several times what such a short call does.
        if took < self.nothing {
            return false;
        }
        if is_live || ioctl_fionread(&self.pipe).unwrap_or(1) > 0 {
            self.mark(batch, index);
        }
        true
    }

    /// Whether a call that took `took` nanoseconds may have closed or replaced descriptors, so that it is worth looking.
    /// After the last call of a batch a single system call counts, such as a close.
    pub(super) fn may_have_replaced(&self, took: u64, is_last: bool) -> bool {
        took >= if is_last { self.nothing } else { FEW * self.nothing }
    }

    /// Where the output of the next call would go. Closed descriptors are opened again.
    pub(super) fn output(&self) -> OutputTarget {
        let is_logged = |output: BorrowedFd<'_>, number| match Identity::look(output) {
            Ok(found) => self.identity == Some(found),
            // The number is free: nothing of the call's is lost when it is taken.
            Err(Errno::BADF) => self.is_there() && self.reopen(number),
            Err(_) => false,
        };
        if is_logged(io::stdout().as_fd(), 1) && is_logged(io::stderr().as_fd(), 2) {
            OutputTarget::Logged
        } else {
            OutputTarget::Elsewhere
        }
    }

    fn reopen(&self, number: i32) -> bool {
        let reopened = if number == 1 {
            rustix::stdio::dup2_stdout(&self.pipe)
        } else {
            rustix::stdio::dup2_stderr(&self.pipe)
        };
        reopened.is_ok()
    }

    /// Whether the own descriptor is still that of the pipe: user code may have closed it, and got its number for another
    /// file.
    fn is_there(&self) -> bool {
        self.identity.is_some() && Identity::look(self.pipe.as_fd()).ok() == self.identity
    }

    fn mark(&self, batch: u32, index: u32) {
        if !self.is_there() {
            return;
        }
        let mut mark = [0; MARK_LEN];
        mark[..16].copy_from_slice(&self.secret);
        mark[16..20].copy_from_slice(&batch.to_le_bytes());
        mark[20..].copy_from_slice(&index.to_le_bytes());
        // A pipe takes this few bytes as a whole or not at all.
        while let Err(Errno::AGAIN | Errno::INTR) = write(&self.pipe, &mark) {
            // A call has made the pipe non-blocking, and it is full: the worker empties it.
            let _ = poll(&mut [PollFd::new(&self.pipe, PollFlags::OUT)], None);
        }
    }
}
