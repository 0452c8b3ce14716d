//! [`Usage`]: what a sub-worker has used in its life, as the system counted it.

use std::{mem::MaybeUninit, time::Duration};

use rustix::process::Pid;

/// What a process and the children that it has waited for have used.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pool) struct Usage {
    pub(in crate::pool) cpu: Duration,
    /// The highest resident memory, in bytes.
    pub(in crate::pool) peak_memory: u64,
}

impl Usage {
    /// Lets a child of this process go that has ended. Nothing is known if something else has done so before.
    #[expect(unsafe_code, reason = "no safe binding of wait4 tells what the child has used")]
    pub(super) fn at_end_of(pid: Pid) -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        let mut status = 0;
        // SAFETY: both pointers are to writable memory of the right size.
        let reaped =
            unsafe { libc::wait4(pid.as_raw_pid(), &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
        if reaped != pid.as_raw_pid() {
            return Self::default();
        }
        // SAFETY: the call succeeded and has filled it; it was zeroed before in any case.
        let usage = unsafe { usage.assume_init() };
        let peak_memory = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
        Self { cpu: duration(usage.ru_utime) + duration(usage.ru_stime), peak_memory }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_a_child_has_used_is_known_once() {
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", burn]).spawn().expect("a shell");
        let pid = Pid::from_child(&child);
        let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), ended).expect("it ends");
        let usage = Usage::at_end_of(pid);
        assert!(usage.cpu > Duration::from_millis(1) && usage.peak_memory > 100_000, "{usage:?}");
        assert_eq!(Usage::at_end_of(pid).peak_memory, 0);
        child.wait().expect_err("it is let go");
    }
}
