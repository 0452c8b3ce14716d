//! [`Identity`]: the file that a descriptor refers to. User code may close a descriptor of the sub-worker, and get its
//! number for another file; this is noticed by the identity.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::{fs::fstat, io};

/// The file that a descriptor refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity of an open descriptor; `None` when it is closed after all.
    pub(super) fn of(descriptor: &impl AsFd) -> Option<Self> {
        Self::look(descriptor.as_fd()).ok()
    }

    /// The identity of a descriptor that may be closed.
    ///
    /// # Errors
    /// `BADF` when it is closed.
    pub(super) fn look(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = fstat(descriptor)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}
