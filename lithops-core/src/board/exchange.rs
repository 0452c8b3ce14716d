//! What passes between a participant and the storage: [`Request`], [`BoardAnswer`], and one of them at a time.

use std::time::Duration;

use crate::bytes::Bytes;

/// An operation of the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Store an object.
    Put {
        /// Its key.
        key: String,
        /// Its content.
        bytes: Bytes,
        /// Whether an object that exists stays as it is.
        if_absent: bool,
    },
    /// Read an object.
    Get {
        /// Its key.
        key: String,
    },
    /// List the keys that start with a prefix.
    List {
        /// The prefix.
        prefix: String,
    },
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardAnswer {
    /// The object is stored.
    Stored,
    /// There is such an object already. It may be this participant's own, of a try that seemed to have failed.
    Exists,
    /// The object.
    Found(Bytes),
    /// There is no such object.
    Absent,
    /// The keys.
    Listed(Vec<String>),
    /// Nobody knows whether it happened, or whether it is still going to.
    Failed,
}

/// Which of a participant's two lines of operations; each has at most one under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The worker's beat, and its looks at what became of its claim. Calls and other operations do not hold it up.
    Beat,
    /// Everything else.
    Board,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One line of operations: asks until it knows. An operation that failed is tried again as it was, byte for byte, so
/// that it makes no difference whether the first try happened.
#[derive(Debug, Default)]
pub(super) struct PendingRequest {
    wanted: Option<Request>,
    under_way: Option<Request>,
    asked: Duration,
    not_before: Duration,
    failures: u32,
}

impl PendingRequest {
    /// Sets what is to be asked next, instead of what was. An answer that is still to come is not waited for, but
    /// nothing is asked before it is there.
    pub(super) fn ask(&mut self, request: Request) {
        (self.wanted, self.failures, self.not_before) = (Some(request), 0, Duration::ZERO);
    }

    /// Wants nothing any more.
    pub(super) fn forget(&mut self) {
        self.wanted = None;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_none()
    }

    /// What to send now.
    pub(super) fn send(&mut self, now: Duration) -> Option<Request> {
        if self.under_way.is_some() || now < self.not_before {
            return None;
        }
        self.under_way.clone_from(&self.wanted);
        self.asked = now;
        self.under_way.clone()
    }

    /// When there will be something to send, unless an answer comes first.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.wanted.is_some() && self.under_way.is_none()).then_some(self.not_before)
    }

    /// Takes an answer in. Returns it with the time it was asked at, if it is wanted and says something.
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
