//! Marks in the log: where one call's output ends and the next call's begins.

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

/// So often the shortest system call is tried.
const TRIALS: usize = 64;
/// What takes less than this many of the shortest system calls has not closed and opened anything.
const FEW: u64 = 8;

/// Writes marks into the log pipe, through a descriptor of its own: what a call does to standard output is the call's
/// business.
#[derive(Debug)]
pub(super) struct LogMarks {
    secret: [u8; 16],
    pipe: OwnedFd,
    identity: Option<Identity>,
    /// Half of what the shortest system call has taken, in nanoseconds: nothing can have been printed in less time.
    nothing: u64,
}

/// Where standard output and standard error go after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Into the log, or again into it.
    Logged,
    /// Into something of the call's, which must stay as it is.
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
        let nothing = took.min().unwrap_or(0) / 2;
        Ok(Self { secret, nothing, identity: Identity::of(&pipe), pipe })
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
        if ioctl_fionread(&self.pipe).unwrap_or(1) > 0 {
            self.mark(batch, index);
        }
    }

    /// Whether to look whether a call that took so many nanoseconds has closed or replaced descriptors. Behind the last
    /// of a batch even one system call counts.
    pub(super) fn may_have_replaced(&self, took: u64, is_last: bool) -> bool {
        took >= if is_last { self.nothing } else { 2 * FEW * self.nothing }
    }

    /// Where the output of the next call would go. What was closed is opened again.
    pub(super) fn output(&self) -> Output {
        let is_logged = |output: BorrowedFd<'_>, number| match Identity::look(output) {
            Ok(found) => self.identity == Some(found),
            // Nobody has the number: nothing is lost when it is taken.
            Err(Errno::BADF) => self.is_there() && self.reopen(number),
            Err(_) => false,
        };
        if is_logged(io::stdout().as_fd(), 1) && is_logged(io::stderr().as_fd(), 2) {
            Output::Logged
        } else {
            Output::Elsewhere
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

    /// Whether the descriptor is still that of the pipe: user code may have closed it, and got its number again.
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
        // So few bytes are written whole or not at all.
        while let Err(Errno::AGAIN | Errno::INTR) = write(&self.pipe, &mark) {
            // A call has made it one that does not block, and it is full: the worker empties it.
            let _ = poll(&mut [PollFd::new(&self.pipe, PollFlags::OUT)], None);
        }
    }
}
