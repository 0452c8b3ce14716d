//! [`Assignment`]: everything a driver needs for a job; and [`Ended`]: how driving it ended.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{commit_buffer::Durable, payload_store::PayloadStore};
use crate::{
    compute::ComputeBackend,
    error::CallError,
    executor::job::{InputQueue, JobState, history::Learn},
    plan::Plan,
    protocol::JobSpec,
    tracker::Policy,
};

/// The user's function that says whether a failed call is tried again.
pub type RetryIf = fn(&CallError) -> bool;

/// Everything a driver needs for a job.
#[derive(Debug)]
pub struct Assignment {
    /// The job's state, which its futures read.
    pub job: Arc<JobState>,
    /// The spec that is sent to the workers.
    pub spec: Arc<JobSpec>,
    /// The backend that runs the calls.
    pub backend: Arc<dyn ComputeBackend>,
    /// The queue of encoded inputs.
    pub queue: Arc<InputQueue>,
    /// How often the calls may be tried.
    pub policy: Policy,
    /// Which failures are tried again; with `None` all of them are, while retries are left.
    pub retry_if: Option<RetryIf>,
    /// Whether stragglers get backup attempts in a second worker.
    pub speculate: bool,
    /// The granularity: workers, sub-workers and calls per chunk.
    pub plan: Plan,
    /// The journal of a durable job; `None` for other jobs.
    pub durable: Option<Durable>,
    /// Where payloads go that are too large for a message; `None` on backends without a message limit.
    pub payload_store: Option<PayloadStore>,
    /// Where the durations of the calls are recorded; `None` if they are not.
    pub learn: Option<Learn>,
    /// A message on this channel tells the driver to stop, because another client takes over; `None` if that
    /// cannot happen.
    pub stop: Option<oneshot::Receiver<()>>,
}

/// How driving a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every call has an outcome.
    Finished,
    /// The driver stopped before the end: another client took over, or the program was interrupted.
    Stopped,
    /// The job could not go on; its handles return the error.
    Failed,
}
