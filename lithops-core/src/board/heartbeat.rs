//! [`Heartbeat`]: writes the beat of a worker, and regularly checks its claim and the cancellation
//! of the job. Each of the three is one request for one short object, because a large fleet makes
//! more of these requests than of all others.

use std::time::Duration;

use super::{BoardAnswer, Request, exchange::PendingRequest, keys};
use crate::bytes::Bytes;

/// The result of one answer on the heartbeat's lane.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeartbeatResult {
    /// The worker need not do anything.
    Nothing,
    /// Whether the chunk that the worker held in an epoch when it sent the request is claimed at the
    /// next epoch.
    Claimed((u64, u64), bool),
    /// The job was cancelled.
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Resting,
    Beating,
    LookingAtClaim(u64, u64),
    LookingForCancel,
}

/// The cycle of a heartbeat: write the beat, look for a newer claim of the held chunk, read `cancel`, rest.
#[derive(Debug)]
pub(super) struct Heartbeat {
    key: String,
    /// The pause between two beats.
    pause: Duration,
    pending: PendingRequest,
    step: Step,
    /// The content of the last beat, a count.
    beats: u64,
    /// When the next beat is due.
    next: Duration,
}

impl Heartbeat {
    pub(super) fn new(worker: &str, pause: Duration) -> Self {
        Self {
            key: keys::beat(worker),
            pause,
            pending: PendingRequest::default(),
            step: Step::Resting,
            beats: 0,
            // A beat that is missing is one that does not change: the first one is due when the second would be.
            next: pause,
        }
    }

    /// The request to send now, if any. With `hurry` the next beat does not wait for the pause to end.
    pub(super) fn send(&mut self, now: Duration, hurry: bool) -> Option<Request> {
        if self.step == Step::Resting && (hurry || now >= self.next) {
            self.beats += 1;
            self.next = now + self.pause;
            let bytes = Bytes::from(self.beats.to_string());
            self.go(Step::Beating, Request::Put { key: self.key.clone(), bytes, if_absent: false });
        }
        self.pending.send(now)
    }

    /// When there is a request to send, unless an answer comes first; `None` while an answer is awaited.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.step == Step::Resting { Some(self.next) } else { self.pending.due() }
    }

    /// Takes in an answer; `held` is the chunk that the worker holds, and its epoch.
    pub(super) fn answered(
        &mut self,
        answer: BoardAnswer,
        held: Option<(u64, u64)>,
        now: Duration,
    ) -> HeartbeatResult {
        let Some((answer, _)) = self.pending.answered(answer, now) else { return HeartbeatResult::Nothing };
        let cancel = Request::Get { key: keys::CANCEL.to_owned() };
        match (self.step, answer) {
            (Step::Beating, _) => {
                match held {
                    Some((chunk, epoch)) => {
                        let newer = Request::Get { key: keys::claim(chunk, epoch + 1) };
                        self.go(Step::LookingAtClaim(chunk, epoch), newer);
                    }
                    None => self.go(Step::LookingForCancel, cancel),
                }
                HeartbeatResult::Nothing
            }
            (Step::LookingAtClaim(chunk, epoch), answer) => {
                self.go(Step::LookingForCancel, cancel);
                HeartbeatResult::Claimed((chunk, epoch), matches!(answer, BoardAnswer::Found(_)))
            }
            (Step::LookingForCancel, BoardAnswer::Found(_)) => HeartbeatResult::Cancelled,
            _ => {
                self.step = Step::Resting;
                HeartbeatResult::Nothing
            }
        }
    }

    fn go(&mut self, step: Step, request: Request) {
        self.step = step;
        self.pending.ask(request);
    }
}
