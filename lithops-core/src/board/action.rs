//! [`Action`] and [`ClientAction`]: what a participant wants to be done for it.

use std::time::Duration;

use super::{Lane, Request};

/// What a worker does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It asks the storage; the answer goes to [`BoardWorker::answered`](super::BoardWorker::answered), and comes in
    /// any case.
    Ask(Lane, Request),
    /// It runs calls, each after [`BoardWorker::may_start`](super::BoardWorker::may_start); outcomes go to
    /// [`BoardWorker::ran`](super::BoardWorker::ran).
    RunCalls {
        /// The chunk.
        chunk: u64,
        /// The epoch it holds the chunk in.
        epoch: u64,
        /// The first call.
        first: u64,
        /// The call after the last.
        end: u64,
    },
    /// The outcomes of these calls are not wanted any more.
    StopCalls {
        /// The chunk.
        chunk: u64,
        /// The epoch it held the chunk in.
        epoch: u64,
    },
    /// There is nothing to do before an answer or outcomes come, or until then.
    Wait(Option<Duration>),
    /// It is no worker of this job any more.
    Done(End),
}

/// Why a worker is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every chunk is committed.
    Finished,
    /// It has found nothing to claim for too long.
    Idle,
    /// The job was cancelled.
    Cancelled,
}

/// What a client does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAction {
    /// It asks the storage; the answer goes to [`BoardClient::answered`](super::BoardClient::answered), and comes in
    /// any case.
    Ask(Request),
    /// There is nothing to do before an answer comes, or until then.
    Wait(Option<Duration>),
    /// Every chunk is committed.
    Done,
}
