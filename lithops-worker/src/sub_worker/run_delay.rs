//! [`RunDelay`]: how long a thread was ready to run and had no CPU.
//!
//! A call that shares CPUs with others takes longer than it would alone. The planner needs this to tell a call that waits
//! for input from one that waits for a CPU.

use std::{fs::File, os::unix::fs::FileExt, time::Duration};

/// The file `schedstat` of a thread: time on a CPU, time waiting for one, and how often it was given one.
#[derive(Debug)]
pub(super) struct RunDelay {
    /// `None` where the kernel was built without it.
    file: Option<File>,
    last: u64,
}

impl RunDelay {
    pub(super) fn of_this_thread() -> Self {
        let mut delay = Self { file: File::open("/proc/thread-self/schedstat").ok(), last: 0 };
        delay.since_last();
        delay
    }

    /// The delay since this was last asked.
    pub(super) fn since_last(&mut self) -> Duration {
        let now = self.file.as_ref().and_then(read).unwrap_or(self.last);
        let since = now.saturating_sub(self.last);
        self.last = now;
        Duration::from_nanos(since)
    }
}

fn read(file: &File) -> Option<u64> {
    let mut text = [0; 96];
    let len = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..len]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_does_not_wait_for_a_cpu() {
        let mut delay = RunDelay::of_this_thread();
        assert!(delay.file.is_some(), "Linux tells it");
        std::thread::sleep(Duration::from_millis(20));
        assert!(delay.since_last() < Duration::from_millis(20));
    }
}
