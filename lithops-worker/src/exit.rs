//! The end of this process: what it says, and how it goes.

use std::process;

/// Writes to stderr why this process cannot go on. The process that has started it reads that.
#[expect(clippy::print_stderr, reason = "the last words of a process that ends")]
pub(crate) fn complain(message: &str) {
    eprintln!("lithops: {message}");
}

/// Ends the process without running the destructors of the user's program.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "this process has done all it was started for")]
pub(crate) fn leave(code: i32) -> ! {
    process::exit(code)
}

/// Ends the process and runs nothing more of it, not even what the C library does at an exit.
#[expect(unsafe_code, reason = "there is no safe binding of _exit")]
pub(crate) fn leave_at_once(code: i32) -> ! {
    // SAFETY: it has no preconditions, and does not return.
    unsafe { libc::_exit(code) }
}
