//! [`Heartbeat`]: a worker's beat, and its regular looks at what became of its claim and its job.

use std::time::Duration;

use super::{BoardAnswer, Request, exchange::PendingRequest, keys};
use crate::bytes::Bytes;

/// What a beat has brought to light.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeartbeatResult {
    /// Nothing yet.
    Nothing,
    /// The claims of the chunk that it held, in the epoch that it held it in, when they were asked for.
    Claims((u64, u64), Vec<String>),
    /// The job was cancelled.
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Resting,
    Beating,
    LookingAtClaims(u64, u64),
    LookingForCancel,
}

/// Beats, looks at the claims of the chunk it holds, looks whether the job was cancelled, rests.
#[derive(Debug)]
pub(super) struct Heartbeat {
    key: String,
    pause: Duration,
    pending: PendingRequest,
    step: Step,
    beats: u64,
    next: Duration,
    has_begun: bool,
}

impl Heartbeat {
    pub(super) fn new(worker: &str, pause: Duration) -> Self {
        Self {
            key: keys::beat(worker),
            pause,
            pending: PendingRequest::default(),
            step: Step::Resting,
            beats: 0,
            next: Duration::ZERO,
            has_begun: false,
        }
    }

    /// Whether others can see that it lives. It claims nothing before.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// What to send now; in a hurry it does not rest.
    pub(super) fn send(&mut self, now: Duration, hurry: bool) -> Option<Request> {
        if self.step == Step::Resting && (hurry || now >= self.next) {
            self.beats += 1;
            self.next = now + self.pause;
            let bytes = Bytes::from(self.beats.to_string());
            self.go(Step::Beating, Request::Put { key: self.key.clone(), bytes, if_absent: false });
        }
        self.pending.send(now)
    }

    /// When there will be something to send, unless an answer comes first.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.step == Step::Resting { Some(self.next) } else { self.pending.due() }
    }

    /// Takes an answer in; `held` is the chunk the worker holds, and the epoch.
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
                self.has_begun = true;
                match held {
                    Some((chunk, epoch)) => {
                        let claims = Request::List { prefix: keys::claims(chunk) };
                        self.go(Step::LookingAtClaims(chunk, epoch), claims);
                    }
                    None => self.go(Step::LookingForCancel, cancel),
                }
                HeartbeatResult::Nothing
            }
            (Step::LookingAtClaims(chunk, epoch), BoardAnswer::Listed(claims)) => {
                self.go(Step::LookingForCancel, cancel);
                HeartbeatResult::Claims((chunk, epoch), claims)
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
