//! Tells whether this process was made by `fork` from a process that uses channels.
//!
//! A forked process has the sockets of its parent, but none of its threads. It must neither write
//! to these sockets nor shut them down, and no process waits for its results. The mark is a page
//! that the kernel clears in every forked process, so that the check needs no system call.

use std::{
    process, ptr,
    ptr::NonNull,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use crate::error::{Error, ErrorKind, Result};

/// The size of the marked page in bytes.
const PAGE: usize = 4096;

/// The mark of the original process; empty until [`note_origin`] is called.
static ORIGIN: OnceLock<Origin> = OnceLock::new();

/// How a forked process is told from the original.
#[derive(Debug)]
enum Origin {
    /// A byte that is 1 in the original process, and 0 in a forked one.
    Wiped(NonNull<AtomicU8>),
    /// The process id of the original process, on kernels that cannot clear pages at a fork.
    Number(u32),
}

#[expect(unsafe_code, reason = "an address is not Send by itself")]
// SAFETY: the page is never unmapped, and is only accessed as an atomic.
unsafe impl Send for Origin {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Origin {}

/// Notes that this process is the original. Further calls change nothing.
pub fn note_origin() {
    ORIGIN.get_or_init(|| wiped_page().map_or_else(|| Origin::Number(process::id()), Origin::Wiped));
}

/// Whether this process was forked from one that has called [`note_origin`].
#[must_use]
pub fn is_copy() -> bool {
    match ORIGIN.get() {
        None => false,
        Some(Origin::Number(number)) => *number != process::id(),
        Some(Origin::Wiped(mark)) => is_wiped(*mark),
    }
}

/// Refuses to continue in a forked process, which would wait for threads that it does not have.
///
/// # Errors
/// `Unsupported` in a forked process.
pub(crate) fn refuse() -> Result<()> {
    if !is_copy() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "this process was forked from one that uses lithops, and has none of the threads that drive its jobs",
    )
    .with_hint("use executors and futures in the process that has built them; a fork may `exec` a program that builds its own"))
}

#[expect(unsafe_code, reason = "the page is reached by address")]
fn is_wiped(mark: NonNull<AtomicU8>) -> bool {
    // SAFETY: the page is mapped as long as the process lives, and any byte is a valid `AtomicU8`.
    unsafe { mark.as_ref() }.load(Ordering::Relaxed) == 0
}

#[expect(unsafe_code, reason = "memory is mapped by address")]
fn wiped_page() -> Option<NonNull<AtomicU8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the address, so that no existing mapping is touched.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), PAGE, access, MapFlags::PRIVATE).ok()? };
    // SAFETY: the range is this page, which nothing else refers to.
    unsafe { madvise(page, PAGE, Advice::LinuxWipeOnFork).ok()? };
    let mark = NonNull::new(page.cast::<AtomicU8>())?;
    // SAFETY: the page was mapped above and is large enough.
    unsafe { mark.as_ref() }.store(1, Ordering::Relaxed);
    Some(mark)
}
