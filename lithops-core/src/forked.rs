//! Whether this process is a fork of one that uses the library: it has none of its threads, and shares its channels.

use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use crate::error::{Error, ErrorKind, Result};

/// A byte that a fork finds to be 0: looking there costs no system call.
static MARK: OnceLock<Option<&'static AtomicU8>> = OnceLock::new();

/// The kernel clears whole pages.
const PAGE: usize = 4096;

/// From now on a fork of this process knows that it is one.
pub(crate) fn mark() {
    MARK.get_or_init(new_mark);
}

#[expect(unsafe_code, reason = "memory is mapped by address")]
fn new_mark() -> Option<&'static AtomicU8> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the address, so that no existing mapping is touched.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), PAGE, access, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: it is this page, and nothing is in it yet.
    unsafe { madvise(page, PAGE, Advice::LinuxWipeOnFork) }.ok()?;
    // SAFETY: the page is aligned, of zeros, and never unmapped.
    let mark = unsafe { AtomicU8::from_ptr(page.cast()) };
    mark.store(1, Ordering::Relaxed);
    Some(mark)
}

/// Whether this is a fork of a process that has built an executor.
pub(crate) fn is_fork() -> bool {
    MARK.get().is_some_and(|mark| mark.is_some_and(|mark| mark.load(Ordering::Relaxed) == 0))
}

/// Says so, instead of waiting for threads that are not there.
///
/// # Errors
/// This is a fork.
pub(crate) fn refuse() -> Result<()> {
    if !is_fork() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "this process was forked from one that uses lithops, and has none of the threads that drive its jobs",
    )
    .with_hint("use executors and futures in the process that has built them; a fork may `exec` a program that builds its own"))
}
