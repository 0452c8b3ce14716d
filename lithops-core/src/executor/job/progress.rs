//! [`Progress`]: how far a job is.

use serde::Serialize;

/// How far a job is, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// How many calls are known so far: all of them once `complete` is set.
    pub known: u64,
    /// Whether `known` is the final number.
    pub complete: bool,
    /// How many calls have an outcome.
    pub done: u64,
    /// How many of the calls with an outcome failed.
    pub failed: u64,
    /// How often a call was tried again.
    pub retried: u64,
    /// How many workers were lost while they had calls.
    pub lost_workers: u64,
    /// How often the platform asked to slow down.
    pub throttled: u64,
    /// How many workers the platform cannot start for now. [`JobEvent::Waiting`](crate::executor::JobEvent::Waiting) says
    /// why.
    pub waiting_workers: u64,
    /// How often a slow call got a backup attempt in a second worker.
    pub speculated: u64,
    /// How many outcomes were already stored when this client started or attached to the job.
    pub restored: u64,
    /// Whether another client drives the job, and this one only reads it.
    pub reading: bool,
    /// Whether the inputs have not ended, so that there may be more calls than the iterator announced.
    #[serde(skip)]
    pub(crate) open: bool,
}

impl Progress {
    /// Whether every call has an outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.complete && !self.open && self.done == self.known
    }
}
