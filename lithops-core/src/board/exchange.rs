//! The messages between a participant and the storage, [`Request`] and [`BoardAnswer`], and the one
//! request in flight.

use std::time::Duration;

use crate::bytes::Bytes;

/// An operation of the storage. Keys are relative to the job's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Store an object.
    Put {
        /// The key of the object.
        key: String,
        /// The content of the object.
        bytes: Bytes,
        /// Whether the put must leave an existing object as it is.
        if_absent: bool,
    },
    /// Read an object.
    Get {
        /// The key of the object.
        key: String,
    },
    /// List the keys that start with a prefix.
    List {
        /// The prefix of the keys, of any length.
        prefix: String,
    },
}

/// The result of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardAnswer {
    /// The object is stored.
    Stored,
    /// An object of this key exists already. A try of this participant that seemed to fail may have
    /// stored it.
    Exists,
    /// The content of the object.
    Found(Bytes),
    /// No object has this key.
    Absent,
    /// The keys that start with the prefix.
    Listed(Vec<String>),
    /// The operation failed. It may have happened, and may still happen later.
    Failed,
}

/// One of the two lanes of a participant. Each lane has at most one operation in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The worker's heartbeat and the checks of its claim. Calls and the operations of the other
    /// lane do not delay this lane.
    Beat,
    /// All other operations.
    Board,
}

/// The pause before a failed operation is repeated, doubled with each failure. It is short, because
/// most failures are brief.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause. It must stay well below the lease, which goes on while a beat is repeated.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One lane of operations. A failed operation is repeated byte for byte, so that it makes no
/// difference whether the first try happened.
#[derive(Debug, Default)]
pub(super) struct PendingRequest {
    /// The request whose answer is wanted.
    wanted: Option<Request>,
    /// The request in flight, which may no longer be the wanted one.
    under_way: Option<Request>,
    /// When the request in flight was sent.
    asked: Duration,
    /// When a failed request may be sent again.
    not_before: Duration,
    /// How often the wanted request has failed.
    failures: u32,
    /// Whether the request that was answered last had failed before.
    was_repeated: bool,
}

impl PendingRequest {
    /// Sets the next request, instead of the one before. The answer of a request in flight is
    /// ignored when it comes, but the new request is not sent before.
    pub(super) fn ask(&mut self, request: Request) {
        (self.wanted, self.failures, self.not_before) = (Some(request), 0, Duration::ZERO);
    }

    /// Drops the request that is wanted, so that its answer is ignored.
    pub(super) fn forget(&mut self) {
        self.wanted = None;
    }

    /// Whether no request is wanted.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_none()
    }

    /// The request to send now; `None` while one is in flight, or before the pause after a failure is over.
    pub(super) fn send(&mut self, now: Duration) -> Option<Request> {
        if self.under_way.is_some() || now < self.not_before {
            return None;
        }
        self.under_way.clone_from(&self.wanted);
        self.asked = now;
        self.under_way.clone()
    }

    /// When there is a request to send, unless an answer comes first; `None` if none is wanted, or
    /// one is in flight.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.wanted.is_some() && self.under_way.is_none()).then_some(self.not_before)
    }

    /// Whether the request that was answered last had failed before, so that it may itself have stored what exists now.
    pub(super) fn was_repeated(&self) -> bool {
        self.was_repeated
    }

    /// Takes in an answer. Returns the answer with the time of its request, if the request is still
    /// wanted and succeeded.
    pub(super) fn answered(&mut self, answer: BoardAnswer, now: Duration) -> Option<(BoardAnswer, Duration)> {
        let request = self.under_way.take()?;
        if self.wanted.as_ref() != Some(&request) {
            return None;
        }
        let fits = match request {
            Request::Put { .. } => matches!(answer, BoardAnswer::Stored | BoardAnswer::Exists),
            Request::Get { .. } => matches!(answer, BoardAnswer::Found(_) | BoardAnswer::Absent),
            Request::List { .. } => matches!(answer, BoardAnswer::Listed(_)),
        };
        if fits {
            self.wanted = None;
            self.was_repeated = self.failures > 0;
            return Some((answer, self.asked));
        }
        self.not_before = now + (FIRST_PAUSE * (1 << self.failures.min(8))).min(LONGEST_PAUSE);
        self.failures += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn get(key: &str) -> Request {
        Request::Get { key: key.to_owned() }
    }

    #[test]
    fn what_failed_is_asked_again_after_a_pause_that_grows() {
        let mut pending = PendingRequest::default();
        pending.ask(get("a"));
        let mut now = ZERO;
        for pause in [100, 200, 400] {
            assert_eq!(pending.send(now), Some(get("a")));
            assert_eq!((pending.send(now), pending.due()), (None, None), "one at a time");
            assert_eq!(pending.answered(BoardAnswer::Failed, now), None);
            assert_eq!(pending.send(now), None);
            now += Duration::from_millis(pause);
            assert_eq!(pending.due(), Some(now));
        }
        assert_eq!(pending.send(now), Some(get("a")));
        assert_eq!(pending.answered(BoardAnswer::Absent, now), Some((BoardAnswer::Absent, now)));
        assert!(pending.is_idle());
    }

    #[test]
    fn an_answer_to_what_is_not_wanted_any_more_is_dropped() {
        let mut pending = PendingRequest::default();
        pending.ask(get("a"));
        assert!(pending.send(ZERO).is_some());
        pending.ask(get("b"));
        assert_eq!(pending.send(ZERO), None, "the first answer is not there yet");
        assert_eq!(pending.answered(BoardAnswer::Absent, ZERO), None);
        assert_eq!(pending.send(ZERO), Some(get("b")));
        pending.forget();
        assert_eq!(pending.answered(BoardAnswer::Absent, ZERO), None);
        assert_eq!((pending.send(ZERO), pending.due()), (None, None));
    }
}
