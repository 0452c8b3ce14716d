//! [`Progress`]: how far a job is.

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many calls, as far as is known: all of them once `complete`.
    pub known: u64,
    /// Whether `known` is the final number.
    pub complete: bool,
    /// How many have an outcome.
    pub done: u64,
    /// How many of those failed.
    pub failed: u64,
    /// How often a call was tried again.
    pub retried: u64,
    /// How many workers were lost with calls in their hands.
    pub lost_workers: u64,
    /// How often the platform asked to slow down.
    pub throttled: u64,
    /// How often a slow call was given to a second worker.
    pub speculated: u64,
    /// How many outcomes were stored already when this client came to the job.
    pub restored: u64,
    /// Whether another client drives the job, and this one only reads it.
    pub reading: bool,
    /// Whether the inputs may have more calls than they said.
    pub(crate) open: bool,
}

impl Progress {
    /// Whether every call has an outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.complete && !self.open && self.done == self.known
    }
}
