//! [`Tracking`]: what a driver and the tracker of its calls say to each other.

use std::{fmt::Debug, time::Duration};

/// Calls to hand over: a range that is on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// The first call.
    pub first: u64,
    /// The call after the last.
    pub end: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether they must be the only calls their worker has.
    pub suspect: bool,
    /// Whether another worker has them too.
    pub backup: bool,
}

/// What a report says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It returned.
    Ok,
    /// It failed; `again` says whether the user's policy would try such a failure again.
    Failed {
        /// Whether it may be tried again, if its retries are not used up.
        again: bool,
    },
    /// It was not begun.
    Unstarted,
    /// It was begun and lost with its sub-worker.
    Lost,
}

/// What to do with a part of what was reported or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make these outcomes visible: `first..end`.
    Commit(u64, u64),
    /// Make the call visible as lost: it may not be tried again.
    CommitLost {
        /// The call.
        call: u64,
        /// The attempt it was lost on.
        attempt: u32,
    },
    /// The calls will be tried again; their outcomes are dropped.
    Again(u64, u64),
    /// The outcomes come too late and are dropped.
    Drop(u64, u64),
}

/// What the driver asks of a tracker. There is one tracker; the trait is the seam at which the simulator breaks it on
/// purpose, to show that it would notice.
pub trait Tracking: Debug + Send {
    /// Says how many calls there are, once that is known.
    fn set_total(&mut self, total: u64);
    /// Whether every call is committed.
    fn is_finished(&self) -> bool;
    /// The next calls to be tried again, at most `limit`. They must be dispatched, or put back.
    fn take_waiting(&mut self, limit: u64) -> Option<Dispatch>;
    /// The next calls that must be dispatched to a worker that has nothing else.
    fn take_suspect(&mut self) -> Option<Dispatch>;
    /// Puts back calls that were taken and could not be dispatched.
    fn put_back(&mut self, dispatch: Dispatch);
    /// Whether calls wait to be tried again, and whether suspects do.
    fn has_waiting(&self) -> (bool, bool);
    /// Lets calls whose pause is over wait to be dispatched.
    fn wake(&mut self, now: Duration);
    /// When the next pause is over.
    fn next_wake(&self) -> Option<Duration>;
    /// The parts of `first..end` that are not committed.
    fn open(&self, first: u64, end: u64) -> Vec<(u64, u64)>;
    /// Whether a worker holds calls, as far as this knows.
    fn holds(&self, holder: u64) -> bool;
    /// Commits calls that have an outcome from elsewhere, wherever they are. Returns those that had none.
    fn settle(&mut self, first: u64, end: u64) -> Vec<(u64, u64)>;
    /// The calls that have been held for longest, at most `limit`, if that is since `before` or longer and they have
    /// no backup attempt; and who holds them.
    fn straggler(&mut self, before: Duration, limit: u64) -> Option<(Dispatch, u64)>;
    /// Notes that calls are in the hands of a worker.
    fn dispatched(&mut self, dispatch: Dispatch, holder: u64, now: Duration);
    /// Takes in a report of `first..end` on an attempt, and says what to do with each part of it. `holder` is the worker
    /// that sent the report; a report without one was found in the storage.
    fn report(
        &mut self,
        holder: Option<u64>,
        first: u64,
        end: u64,
        attempt: u32,
        verdict: &dyn Fn(u64) -> Verdict,
        now: Duration,
    ) -> Vec<Step>;
    /// A worker is gone: its calls are tried again, or committed as lost.
    fn holder_lost(&mut self, holder: u64) -> Vec<Step>;
    /// Nobody knows whether a worker has begun its calls, for a reason that is none of theirs: they wait on their next
    /// attempt, or are committed as lost where they may run only once.
    fn holder_unanswered(&mut self, holder: u64) -> Vec<Step>;
    /// Takes calls back from a worker that never got them: they wait on the same attempt.
    fn give_up(&mut self, holder: u64);
    /// Ends the job: every call below `known` that is not committed is committed now. Returns those.
    fn cancel(&mut self, known: u64) -> Vec<(u64, u64)>;
}
