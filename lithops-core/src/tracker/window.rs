//! [`Window`]: how many calls a live worker is given ahead of time.

use std::time::{Duration, Instant};

/// A worker is not given more than this many calls ahead of its reports.
const MAX_CALLS: u64 = 32 << 10;
/// A worker is not given more than this many bytes ahead of its reports.
const MAX_BYTES: usize = 16 << 20;
/// What a worker has should last about this long, so that it never waits for the client.
const AHEAD: Duration = Duration::from_millis(20);

/// The calls in the hands of one worker, and how many it may have.
///
/// It starts with as many as run at once. When a worker has used up half of what it was given in less time than
/// 20 ms, it is given twice as many, so that short calls travel in large batches and long ones are not hoarded.
#[derive(Debug)]
pub struct Window {
    calls: u64,
    bytes: usize,
    limit: u64,
    least: u64,
    changed: Instant,
    reported: u64,
}

impl Window {
    /// The window of a worker in which so many calls run at once.
    #[must_use]
    pub fn new(worker_processes: u64, now: Instant) -> Self {
        let least = worker_processes.max(1);
        Self { calls: 0, bytes: 0, limit: least, least, changed: now, reported: 0 }
    }

    /// From now on it is given at least so many.
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
        // Waiting until half is used up keeps frames large.
        let threshold = if self.limit > self.least { self.limit / 2 } else { self.limit - 1 };
        if self.calls > threshold { 0 } else { self.limit - self.calls }
    }

    /// How many calls it has.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// It was given calls.
    pub fn given(&mut self, calls: u64, bytes: usize) {
        self.calls += calls;
        self.bytes += bytes;
    }

    /// It has reported calls.
    pub fn reported(&mut self, calls: u64, now: Instant) {
        let left = self.calls.saturating_sub(calls);
        // Which arguments were those is not known here; on the average it is their share.
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
