//! [`Throttle`]: how fast new workers may be requested after the platform has asked to slow down.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// The pause after the first refusal; each further refusal doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Pauses grow no longer than this, unless the platform itself asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A platform that has never accepted a worker of this job is given up after this time: its address is more
/// likely wrong than the platform overloaded.
const NEVER_ANSWERED: Duration = Duration::from_secs(20);
/// A platform that has accepted workers before is given up after this time without another success.
const NO_ANSWER: Duration = Duration::from_secs(300);

/// Halves the number of allowed workers when the platform refuses one, and raises the number by one with each
/// worker that is accepted.
#[derive(Debug)]
pub(crate) struct Throttle {
    most: usize,
    allowed: usize,
    /// Refusals in a row.
    refusals: u32,
    until: Option<Instant>,
    /// Since when the platform has refused everything; `None` after a success.
    fails_since: Option<Instant>,
    has_accepted: bool,
}

impl Throttle {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, allowed: most, refusals: 0, until: None, fails_since: None, has_accepted: false }
    }

    /// Whether one more worker may be requested while `live` workers are there.
    pub(crate) fn allows(&self, live: usize) -> bool {
        live < self.allowed && self.until.is_none_or(|until| until <= Instant::now())
    }

    /// When the present pause ends; `None` without a pause.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Clears a pause whose time is over.
    pub(crate) fn look(&mut self) {
        self.until = self.until.filter(|until| *until > Instant::now());
    }

    /// Since when the platform has refused everything.
    #[cfg(test)]
    pub(crate) fn fails_since(&self) -> Option<Instant> {
        self.fails_since
    }

    /// Checks that the platform is not to be given up yet; `reason` is its last answer.
    ///
    /// # Errors
    /// `Timeout`, when the platform has accepted nothing for too long. The message contains `reason`.
    pub(crate) fn still_hopes(&self, reason: &str) -> Result<()> {
        let patience = if self.has_accepted { NO_ANSWER } else { NEVER_ANSWERED };
        if self.fails_since.is_none_or(|since| since.elapsed() < patience) {
            return Ok(());
        }
        let problem = format!("the platform has answered nothing for {patience:?}; the last was: {reason}");
        Err(Error::new(ErrorKind::Timeout, problem).with_hint("is its address right, and is it there?"))
    }

    /// Notes that the platform's workers make progress, although new ones are refused: the platform is
    /// reachable.
    pub(crate) fn works(&mut self) {
        self.has_accepted = true;
        self.fails_since = None;
    }

    /// The platform has accepted a worker: the pause ends, and one more worker is allowed.
    pub(crate) fn accepted(&mut self) {
        self.has_accepted = true;
        self.fails_since = None;
        self.refusals = 0;
        self.until = None;
        self.allowed = (self.allowed + 1).min(self.most);
    }

    /// The platform has refused a worker while `live` others were there. `at_least` is the pause that the
    /// platform has asked for, or zero. `seed` varies the pauses of many jobs, so that they do not come back
    /// together.
    pub(crate) fn refused(&mut self, live: usize, at_least: Duration, seed: u64) {
        let now = Instant::now();
        self.fails_since.get_or_insert(now);
        self.allowed = (live / 2).max(1);
        // Workers that were requested together are refused together: that counts as one refusal.
        if at_least.is_zero() && self.until.is_some_and(|until| until > now) {
            return;
        }
        self.refusals = self.refusals.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1u32.checked_shl(self.refusals - 1).unwrap_or(u32::MAX));
        // The jitter is between half and all of the pause. The multiplier (2^64 divided by the golden ratio)
        // spreads neighbouring seeds.
        let part = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(self.refusals) % 1000;
        let jittered = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + part as f64 / 2000.0);
        self.until = Some(now + jittered.max(at_least));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_pause_longer_each_time_and_halve_what_is_allowed() {
        let mut throttle = Throttle::new(100);
        assert!(throttle.allows(99) && !throttle.allows(100));
        let began = Instant::now();
        throttle.refused(80, Duration::ZERO, 1);
        let first = throttle.until().expect("a pause");
        assert!(!throttle.allows(0));
        (40..80).rev().for_each(|live| throttle.refused(live, Duration::ZERO, 1));
        assert_eq!(throttle.until(), Some(first), "they were asked for together");
        assert_eq!(throttle.allowed, 20);
        tokio::time::advance(first - Instant::now()).await;
        throttle.refused(40, Duration::ZERO, 1);
        assert!(throttle.until().expect("a pause") > first + (first - began));
        assert_eq!(throttle.fails_since(), Some(began));
        throttle.accepted();
        assert_eq!(throttle.fails_since(), None);
        assert!(throttle.allows(20) && !throttle.allows(21));
        throttle.refused(0, Duration::from_secs(9), 1);
        assert!(
            throttle.until().expect("a pause") > Instant::now() + Duration::from_secs(8),
            "the platform's own word"
        );
        assert_eq!(throttle.allowed, 1, "one is always tried");
    }
}
