//! What a worker and its sub-workers rely on of signals: whoever starts a process hands down what it ignores and blocks.

use lithops_core::protocol::Role;

/// Sets what is relied on, whatever was inherited.
#[expect(unsafe_code, reason = "there is no safe binding of sigaction")]
pub(crate) fn set(role: Role) {
    // How children end is told only to those that do not ignore it, and a request to end is to be obeyed.
    for signal in [libc::SIGCHLD, libc::SIGTERM] {
        dispose(signal, libc::SIG_DFL);
    }
    // A worker that meets the limit of file sizes says so; what a call does is its own business.
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
