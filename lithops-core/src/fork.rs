//! Whether this process is a copy, made by `fork`, of one that speaks over channels.
//!
//! A copy has the sockets of its parent and none of its threads. It must neither write to them nor shut them down, and
//! nobody waits for what it computes. The mark is a page that the kernel wipes in every copy, however it was made, so
//! that asking costs no system call.

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

const PAGE: usize = 4096;

static ORIGIN: OnceLock<Origin> = OnceLock::new();

#[derive(Debug)]
enum Origin {
    /// A byte that is 1 here, and 0 in a copy.
    Wiped(NonNull<AtomicU8>),
    /// The number of the process, where the kernel does not wipe pages.
    Number(u32),
}

#[expect(unsafe_code, reason = "an address is not Send by itself")]
// SAFETY: the page is never unmapped, and is only reached as an atomic.
unsafe impl Send for Origin {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Origin {}

/// Notes that this process is no copy; a second time it changes nothing.
pub fn note_origin() {
    ORIGIN.get_or_init(|| wiped_page().map_or_else(|| Origin::Number(process::id()), Origin::Wiped));
}

/// Whether this process is a copy of one that has noted its origin.
#[must_use]
pub fn is_copy() -> bool {
    match ORIGIN.get() {
        None => false,
        Some(Origin::Number(number)) => *number != process::id(),
        Some(Origin::Wiped(mark)) => is_wiped(*mark),
    }
}

/// Says so, instead of waiting for threads that are not there.
///
/// # Errors
/// This is a fork.
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
    // SAFETY: it is this page, which nobody else knows.
    unsafe { madvise(page, PAGE, Advice::LinuxWipeOnFork).ok()? };
    let mark = NonNull::new(page.cast::<AtomicU8>())?;
    // SAFETY: the page was mapped above and is as large as it needs to be.
    unsafe { mark.as_ref() }.store(1, Ordering::Relaxed);
    Some(mark)
}
