//! [`BeatObserver`]: whether a worker's beat still moves.

use std::time::Duration;

use crate::bytes::Bytes;

/// A worker's beat as one observer sees it.
///
/// Nothing is read from the beat but whether it is another than before. It counts as still from the moment its first
/// reading has *come* to the moment the last one was *asked* for: a slow storage makes the time shorter, never longer.
/// Time that passes without a reading proves nothing, so that an observer who was asleep gives nobody up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BeatObserver {
    last: Option<Bytes>,
    since: Duration,
    gone: bool,
}

impl BeatObserver {
    /// A worker that is presumed to live.
    pub(super) fn new(now: Duration) -> Self {
        Self { last: None, since: now, gone: false }
    }

    /// Takes a reading in. Returns whether the beat has moved; a beat that is seen for the first time has not.
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

    /// Whether it has beaten at all.
    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Whether its lease has expired.
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
        // Asked for too early, although it came late.
        assert!(!observer.read(beat(1), lease, lease * 3, lease));
        assert!(!observer.is_gone());
        observer.read(beat(1), lease + second, lease + second, lease);
        assert!(observer.is_gone());
        assert!(observer.read(beat(2), lease * 9, lease * 9, lease), "it was only asleep");
        assert!(!observer.is_gone());
    }
}
