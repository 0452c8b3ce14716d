//! [`Pace`]: how long a call may take before it gets a backup attempt in another worker.

use std::time::Duration;

/// The median is taken over this many of the latest durations.
const SAMPLE: usize = 255;
/// A call that takes no longer than this is never a straggler: a backup attempt would not return earlier.
const PATIENCE: Duration = Duration::from_millis(100);
/// A straggler takes longer than the median times this.
const FACTOR: f64 = 1.5;
/// This many percent of the calls must have ended before the median is used: earlier the short calls dominate
/// it.
const ENOUGH: u64 = 75;

/// The pace of a job: the median duration of its calls.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    sample: Vec<Duration>,
    next: usize,
}

impl Pace {
    /// Adds the duration of a call.
    pub(crate) fn took(&mut self, duration: Duration) {
        if self.sample.len() < SAMPLE {
            self.sample.push(duration);
        } else {
            self.sample[self.next % SAMPLE] = duration;
        }
        self.next += 1;
    }

    /// How long a worker may hold a call when `done` of `calls` have ended, before the call gets a backup
    /// attempt; `None` while too few calls have ended.
    pub(crate) fn patience(&self, done: u64, calls: u64) -> Option<Duration> {
        if self.sample.is_empty() || done * 100 < calls * ENOUGH {
            return None;
        }
        let mut sorted = self.sample.clone();
        let middle = sorted.len() / 2;
        let (_, median, _) = sorted.select_nth_unstable(middle);
        Some(median.mul_f64(FACTOR).max(PATIENCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_half_as_much_again_as_the_median_once_three_quarters_are_done() {
        let mut pace = Pace::default();
        assert_eq!(pace.patience(100, 100), None);
        (0..1000).for_each(|number| pace.took(Duration::from_millis(200 + number % 3)));
        assert_eq!(pace.patience(74, 100), None);
        assert_eq!(pace.patience(75, 100), Some(Duration::from_micros(301_500)));
        (0..1000).for_each(|_| pace.took(Duration::from_micros(3)));
        assert_eq!(pace.patience(100, 100), Some(PATIENCE));
    }
}
