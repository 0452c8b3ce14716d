//! [`Identity`]: what a descriptor refers to, so that one whose number user code has got for something else is noticed.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::{fs::fstat, io};

/// What a descriptor refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// That of an open descriptor.
    pub(super) fn of(descriptor: &impl AsFd) -> Option<Self> {
        Self::look(descriptor.as_fd()).ok()
    }

    /// The same, of one that may be closed.
    ///
    /// # Errors
    /// `BADF` when it is closed.
    pub(super) fn look(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = fstat(descriptor)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}
