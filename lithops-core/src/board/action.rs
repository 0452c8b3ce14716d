//! [`Action`] and [`ClientAction`]: what a participant asks its driver to do.

use std::time::Duration;

use super::{Lane, Request};

/// The next step of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this request to the storage, and give the answer to
    /// [`BoardWorker::answered`](super::BoardWorker::answered), also when the request fails.
    Ask(Lane, Request),
    /// Run these calls, each after [`BoardWorker::may_start`](super::BoardWorker::may_start), and
    /// give the outcomes to [`BoardWorker::ran`](super::BoardWorker::ran).
    RunCalls {
        /// The number of the chunk.
        chunk: u64,
        /// The epoch in which the worker holds the chunk.
        epoch: u64,
        /// The number of the first call.
        first: u64,
        /// The number of the call after the last.
        end: u64,
    },
    /// Stop the calls of this chunk: their outcomes are not needed any more.
    StopCalls {
        /// The number of the chunk.
        chunk: u64,
        /// The epoch in which the worker held the chunk.
        epoch: u64,
    },
    /// Wait for an answer or for outcomes, at the longest until this time; `None` means without a limit.
    Wait(Option<Duration>),
    /// The worker has left the job.
    Done(End),
}

/// Why a worker has left the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every chunk is committed.
    Finished,
    /// The worker has found no chunk to claim for [`LeaseConfig::patience`](super::LeaseConfig::patience).
    Idle,
    /// The job was cancelled.
    Cancelled,
    /// The worker was told to [leave](super::BoardWorker::leave), and has handed back what it held.
    Left,
}

/// The next step of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAction {
    /// Send this request to the storage, and give the answer, with the number of the lane, to
    /// [`BoardClient::answered`](super::BoardClient::answered), also when the request fails. Each lane has at most one
    /// request in flight.
    Ask(usize, Request),
    /// Wait for an answer, at the longest until this time; `None` means without a limit.
    Wait(Option<Duration>),
    /// Every chunk is committed.
    Done,
}
