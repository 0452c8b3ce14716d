//! [`Process`]: a process by its id and the time at which it began.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a process may take to be gone once it was killed, with all processes of its namespace.
const END: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// A process. Another one that is given the same id later is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) struct Process {
    pid: u32,
    /// In ticks since the machine started.
    began: u64,
}

impl Process {
    /// The process that has this id now. One that has ended and was not waited for counts as gone.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        (!stat.has_ended).then_some(Self { pid, began: stat.began })
    }

    /// The one child of a process, once there is one.
    pub(super) fn child_of(parent: u32) -> Option<Self> {
        let entries = fs::read_dir("/proc").ok()?.flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find_map(|pid: u32| {
            let stat = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
            (stat.parent == parent && !stat.has_ended).then_some(Self { pid, began: stat.began })
        })
    }

    pub(in crate::cluster) fn pid(self) -> u32 {
        self.pid
    }

    pub(in crate::cluster) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal; a process that is gone is no error.
    pub(in crate::cluster) fn signal(self, signal: Signal) -> Result<(), String> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
        // The descriptor is of one process for good: what is compared now stays true.
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(format!("cannot send {signal:?} to process {}: {error}", self.pid)),
        }
    }

    /// Sends a signal that ends the process, and waits until it is gone.
    pub(in crate::cluster) fn end(self, signal: Signal) -> Result<(), String> {
        self.signal(signal)?;
        let begun = Instant::now();
        while self.is_alive() {
            if begun.elapsed() > END {
                return Err(format!(
                    "process {} has not ended {} s after {signal:?}",
                    self.pid,
                    END.as_secs()
                ));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Reads what [`record`](Self::record) wrote.
    pub(in crate::cluster) fn recorded(file: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(file).ok()?)
    }

    /// Writes a file from which any later process can find this one.
    pub(in crate::cluster) fn record(self, file: &Path) -> Result<(), String> {
        fs::write(file, format!("{} {}\n", self.pid, self.began))
            .map_err(|error| format!("cannot write `{}`: {error}", file.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, began) = text.trim_end().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, began: began.parse().ok()? })
    }
}

/// What is read of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    has_ended: bool,
    began: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program may hold spaces and parentheses.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(15)?.parse().ok()?;
        let began = fields.nth(1)?.parse().ok()?;
        // The others of its threads still hold its files, such as the address that it listens at.
        let has_ended = is_over && threads <= 1;
        Some(Self { parent, has_ended, began })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_what_separates_fields() {
        let of = |state: &str, threads: u32| {
            format!("7 (a) S 1 (b) {state} 42 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 {threads} 0 987654 10 11 12\n")
        };
        let text = |state: &str| of(state, 1);
        let lives = Stat { parent: 42, has_ended: false, began: 987_654 };
        assert_eq!(Stat::parse(&text("S")), Some(lives));
        assert!(Stat::parse(&text("Z")).is_some_and(|stat| stat.has_ended));
        assert!(Stat::parse(&of("Z", 4)).is_some_and(|stat| !stat.has_ended), "three threads still end");
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let own = Process::of(std::process::id()).expect("this process lives");
        assert!(own.is_alive());
        assert_eq!(Process::parse(&format!("{} {}\n", own.pid, own.began)), Some(own));
        assert!(!Process { began: own.began + 1, ..own }.is_alive());
        assert_eq!(Process::parse("12"), None);
    }
}
