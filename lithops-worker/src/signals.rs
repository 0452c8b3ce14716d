//! Signals as a worker and its sub-workers rely on them: a process inherits from its parent which it ignores and blocks.

use lithops_core::protocol::Role;

/// Sets dispositions and mask as they are relied on, in the place of the inherited ones.
#[expect(unsafe_code, reason = "there is no safe binding of sigaction")]
pub(crate) fn set(role: Role) {
    // A parent that ignores SIGCHLD is not told how its children end, and one that ignores SIGTERM does not end when it
    // is asked to.
    for signal in [libc::SIGCHLD, libc::SIGTERM] {
        dispose(signal, libc::SIG_DFL);
    }
    // With the signal ignored, a worker that meets the limit of file sizes gets an error and reports it. User code gets
    // what it would get in any program.
    let excess = if role == Role::SubWorker { libc::SIG_DFL } else { libc::SIG_IGN };
    dispose(libc::SIGXFSZ, excess);
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointers are to a set of the right size, which the first call fills.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

#[expect(unsafe_code, reason = "there is no safe binding of sigaction")]
fn dispose(signal: libc::c_int, how: libc::sighandler_t) {
    // SAFETY: neither disposition runs any code of this process.
    unsafe {
        libc::signal(signal, how);
    }
}
