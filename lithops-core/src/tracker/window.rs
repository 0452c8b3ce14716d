//! [`Window`]: how many calls a live worker is given ahead of its reports.

use std::time::{Duration, Instant};

/// A worker is given at most this many calls ahead of its reports, which bounds what is lost with the worker.
const MAX_CALLS: u64 = 32 << 10;
/// A worker is given at most this many bytes of arguments ahead of its reports, which bounds its memory.
const MAX_BYTES: usize = 16 << 20;
/// The calls in a worker's hands should last about this long. A shorter time lets workers wait for the
/// client; a longer one keeps calls from other workers.
const AHEAD: Duration = Duration::from_millis(20);

/// The calls that one worker holds, and how many it may hold.
///
/// The limit starts with the number of calls that run at once. When a worker has reported half of the limit
/// in less than 20 ms, the limit doubles; when that took more than 80 ms, the limit halves. So short calls
/// travel in large batches, and long calls are not held back from other workers.
#[derive(Debug)]
pub struct Window {
    calls: u64,
    bytes: usize,
    limit: u64,
    least: u64,
    /// When the limit was last reconsidered, and how many calls were reported since.
    changed: Instant,
    reported: u64,
}

impl Window {
    /// The window of a worker in which `worker_processes` calls run at once.
    #[must_use]
    pub fn new(worker_processes: u64, now: Instant) -> Self {
        let least = worker_processes.max(1);
        Self { calls: 0, bytes: 0, limit: least, least, changed: now, reported: 0 }
    }

    /// From now on the limit is at least `least` calls.
    pub fn give_at_least(&mut self, least: u64) {
        self.least = least.max(1);
        self.limit = self.limit.max(self.least);
    }

    /// How many calls the worker should be given now.
    #[must_use]
    pub fn room(&self) -> u64 {
        if self.bytes >= MAX_BYTES && self.calls >= self.least {
            return 0;
        }
        // Calls are given only once half of the limit is used up, which keeps frames large.
        let threshold = if self.limit > self.least { self.limit / 2 } else { self.limit - 1 };
        if self.calls > threshold { 0 } else { self.limit - self.calls }
    }

    /// How many calls the worker holds.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Notes that the worker was given calls with `bytes` bytes of arguments.
    pub fn given(&mut self, calls: u64, bytes: usize) {
        self.calls += calls;
        self.bytes += bytes;
    }

    /// Notes that the worker has reported calls.
    pub fn reported(&mut self, calls: u64, now: Instant) {
        let left = self.calls.saturating_sub(calls);
        // The sizes of single arguments are not known here: each call counts as the mean.
        self.bytes = if self.calls == 0 {
            0
        } else {
            (self.bytes as u128 * u128::from(left) / u128::from(self.calls)) as usize
        };
        self.calls = left;
        self.reported += calls;
        if self.reported < self.limit.div_ceil(2) {
            return;
        }
        let took = now - self.changed;
        if took < AHEAD {
            self.limit = (self.limit * 2).min(MAX_CALLS);
        } else if took > AHEAD * 4 {
            self.limit = (self.limit / 2).max(self.least);
        }
        (self.changed, self.reported) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_are_given_in_ever_larger_numbers_and_long_ones_are_not_hoarded() {
        let start = Instant::now();
        let mut window = Window::new(4, start);
        assert_eq!(window.room(), 4);
        for round in 1..30 {
            let room = window.room();
            window.given(room, 0);
            window.reported(window.calls(), start + Duration::from_micros(round));
        }
        assert_eq!(window.room(), MAX_CALLS);
        for round in 1..30 {
            let room = window.room();
            window.given(room, 0);
            window.reported(window.calls(), start + Duration::from_secs(round));
        }
        assert_eq!(window.room(), 4);
        window.given(4, 0);
        assert_eq!(window.room(), 0);
        window.reported(1, start + Duration::from_secs(40));
        assert_eq!(window.room(), 1, "a free sub-worker is given a call at once");
    }
}
