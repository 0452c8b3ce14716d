//! [`Tracking`]: the interface between a driver and the tracker of its calls.

use std::{fmt::Debug, time::Duration};

/// A range of calls to hand over to a worker, all on the same attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// The number of the first call.
    pub first: u64,
    /// The number after that of the last call.
    pub end: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Whether the calls are suspects, which must be the only calls of their worker.
    pub suspect: bool,
    /// Whether this is a backup attempt: another worker holds the calls too.
    pub backup: bool,
}

/// What a report says about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The call returned.
    Ok,
    /// The call failed.
    Failed {
        /// Whether the user's retry policy allows another try, if the call has retries left.
        again: bool,
    },
    /// The call was not begun.
    Unstarted,
    /// The call was begun, and lost with its sub-worker.
    Lost,
}

/// What the driver has to do with a part of the calls that were reported or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Commit the reported outcomes of calls `first..end`.
    Commit(u64, u64),
    /// Commit the call as lost: it may not be tried again.
    CommitLost {
        /// The call.
        call: u64,
        /// The attempt on which the call was lost.
        attempt: u32,
    },
    /// Drop the outcomes of calls `first..end`: these calls will be tried again.
    Again(u64, u64),
    /// Drop the outcomes of calls `first..end`: they came too late.
    Drop(u64, u64),
}

/// The methods of a tracker that a driver calls. Programs use one implementation,
/// [`Tracker`](super::Tracker). The simulator also uses broken ones, to prove that it detects the defects.
/// All times are durations since one moment, which the driver chooses.
pub trait Tracking: Debug + Send {
    /// Sets the number of calls, once it is known.
    fn set_total(&mut self, total: u64);
    /// Whether every call is committed.
    fn is_finished(&self) -> bool;
    /// Takes the next calls to be tried again, at most `limit`. The caller must dispatch them or put them
    /// back.
    fn take_waiting(&mut self, limit: u64) -> Option<Dispatch>;
    /// Takes the next suspects, which must be dispatched to a worker without other calls.
    fn take_suspect(&mut self) -> Option<Dispatch>;
    /// Puts back calls that were taken and could not be dispatched.
    fn put_back(&mut self, dispatch: Dispatch);
    /// Whether calls wait to be tried again, and whether suspects wait.
    fn has_waiting(&self) -> (bool, bool);
    /// Makes calls whose pause is over wait for a dispatch.
    fn wake(&mut self, now: Duration);
    /// When the next pause is over; `None` without paused calls.
    fn next_wake(&self) -> Option<Duration>;
    /// The parts of `first..end` that are not committed.
    fn open(&self, first: u64, end: u64) -> Vec<(u64, u64)>;
    /// Whether a worker holds calls, backup attempts not counted.
    fn holds(&self, holder: u64) -> bool;
    /// Commits calls in any state, because their outcome comes from another source. Returns those that were
    /// not committed before.
    fn settle(&mut self, first: u64, end: u64) -> Vec<(u64, u64)>;
    /// The calls that have been held for longest, at most `limit`, as a backup attempt; and the worker that
    /// holds them. `None` if no calls without a backup attempt have been held since `before`.
    fn straggler(&mut self, before: Duration, limit: u64) -> Option<(Dispatch, u64)>;
    /// Notes that a worker holds calls from `now` on.
    fn dispatched(&mut self, dispatch: Dispatch, holder: u64, now: Duration);
    /// Handles a report of `first..end` on an attempt, and returns what to do with each part of it. `holder`
    /// is the worker that sent the report; `None` for a report that was found in the storage.
    fn report(
        &mut self,
        holder: Option<u64>,
        first: u64,
        end: u64,
        attempt: u32,
        verdict: &dyn Fn(u64) -> Verdict,
        now: Duration,
    ) -> Vec<Step>;
    /// Handles the loss of a worker: its calls are tried again, or committed as lost.
    fn holder_lost(&mut self, holder: u64) -> Vec<Step>;
    /// Handles a worker that is given up for a reason that is no fault of its calls, although it may have
    /// begun them. The calls wait on their next attempt, or are committed as lost if they may run at most
    /// once.
    fn holder_unanswered(&mut self, holder: u64) -> Vec<Step>;
    /// Takes calls back from a worker that never got them: they wait again, on the same attempt.
    fn give_up(&mut self, holder: u64);
    /// Ends the job: commits every call below `known` that is not committed, and returns these calls.
    fn cancel(&mut self, known: u64) -> Vec<(u64, u64)>;
}
