//! [`BeatObserver`]: tells whether the beat of a worker still changes.

use std::time::Duration;

use crate::bytes::Bytes;

/// The beat of a worker, as one observer sees it.
///
/// The observer only compares a beat with the one before. A beat counts as unchanged from the
/// moment its first reading *arrived* to the moment the last reading was *requested*. A slow
/// storage makes this time shorter, never longer. Time without a reading proves nothing, so that an
/// observer that was suspended does not give up a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BeatObserver {
    /// The last beat; `None` before the first one.
    last: Option<Bytes>,
    /// When that beat was first read.
    since: Duration,
    /// Whether the beat has not changed for the lease.
    gone: bool,
}

impl BeatObserver {
    /// An observer of a worker that is assumed to live. The lease runs from `now`.
    pub(super) fn new(now: Duration) -> Self {
        Self { last: None, since: now, gone: false }
    }

    /// Takes in one reading, `None` if the key is absent. Returns whether the beat has changed; the
    /// first beat is no change.
    pub(super) fn read(
        &mut self,
        beat: Option<Bytes>,
        asked: Duration,
        now: Duration,
        lease: Duration,
    ) -> bool {
        let is_new = beat != self.last;
        let moved = is_new && self.has_begun();
        if is_new {
            *self = Self { last: beat, since: now, gone: false };
        } else if asked >= self.since.saturating_add(lease) {
            self.gone = true;
        }
        moved
    }

    /// Whether a beat was seen in the last reading that changed.
    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// How long the beat is known to be unchanged.
    pub(super) fn unchanged_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }

    /// Whether the lease of the worker has expired.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_between_two_readings_of_the_same_beat() {
        let [second, lease] = [1, 10].map(Duration::from_secs);
        let beat = |count: u8| Some(Bytes::from(vec![count]));
        let mut observer = BeatObserver::new(Duration::ZERO);
        assert!(
            !observer.read(beat(1), Duration::ZERO, second, lease),
            "it may be the beat of a dead worker"
        );
        // This reading arrived late, but was requested before the lease was over.
        assert!(!observer.read(beat(1), lease, lease * 3, lease));
        assert!(!observer.is_gone());
        observer.read(beat(1), lease + second, lease + second, lease);
        assert!(observer.is_gone());
        assert!(observer.read(beat(2), lease * 9, lease * 9, lease), "it was only asleep");
        assert!(!observer.is_gone());
    }
}
