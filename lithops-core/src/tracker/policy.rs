//! [`Policy`]: how often a call may be tried, and how long to pause between two tries.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How often a call may be tried, and how long to pause between two tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many further tries a call has after failures of the call itself.
    pub retries: u32,
    /// How many further tries a call has after losses that it caused itself: it was lost with its sub-worker,
    /// or it was the only call of a lost worker.
    pub losses: u32,
    /// Whether a call that may have begun is never tried again.
    pub at_most_once: bool,
    /// The pause before the second try; each further pause is twice as long. Jitter shortens pauses by up to
    /// a half.
    pub backoff: Duration,
    /// The longest pause between two tries.
    pub max_backoff: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: 0,
            losses: 3,
            at_most_once: false,
            backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// The pause before a call is tried again after its `failures`th failure: a jitter of between half and
    /// all of the doubled backoff, so that calls that failed together do not come back together. The jitter
    /// depends on the arguments only, so that the simulator is reproducible.
    #[must_use]
    pub fn pause(&self, call: u64, failures: u32) -> Duration {
        let doubled =
            self.backoff.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let full = doubled.min(self.max_backoff);
        let mut hasher = DefaultHasher::new();
        (call, failures).hash(&mut hasher);
        let part = (hasher.finish() % 1000) as f64 / 1000.0;
        full.mul_f64(0.5 + part / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_between_calls() {
        let policy = Policy {
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            ..Policy::default()
        };
        for (failures, full) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (60, 10.0)] {
            for call in 0..50 {
                let pause = policy.pause(call, failures).as_secs_f64();
                assert!(pause >= full / 2.0 && pause <= full, "{pause} of {full}");
            }
        }
        assert_ne!(policy.pause(1, 1), policy.pause(2, 1));
        assert_eq!(policy.pause(1, 1), policy.pause(1, 1));
    }
}
