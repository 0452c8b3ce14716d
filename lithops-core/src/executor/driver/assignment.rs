//! [`Assignment`]: everything a job needs to be driven; and how that [`Ended`].

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

/// Which failures are tried again.
pub type RetryIf = fn(&CallError) -> bool;

/// Everything a job needs to be driven.
#[derive(Debug)]
pub struct Assignment {
    /// What the futures see of it.
    pub job: Arc<JobState>,
    /// What workers are told of it.
    pub spec: Arc<JobSpec>,
    /// Where its calls run.
    pub backend: Arc<dyn ComputeBackend>,
    /// Its encoded inputs.
    pub queue: Arc<InputQueue>,
    /// How often its calls may be tried.
    pub policy: Policy,
    /// Which failures are tried again; all of them otherwise.
    pub retry_if: Option<RetryIf>,
    /// Whether the slowest calls are given to a second worker.
    pub speculate: bool,
    /// Its granularity.
    pub plan: Plan,
    /// Where its outcomes are stored, when it is durable.
    pub durable: Option<Durable>,
    /// What is too large for a message, on a backend whose messages have a limit.
    pub payload_store: Option<PayloadStore>,
    /// Who is told how long its calls took.
    pub learn: Option<Learn>,
    /// Tells the driver to leave the job to another.
    pub stop: Option<oneshot::Receiver<()>>,
}

/// How driving a job has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every call has an outcome.
    Finished,
    /// The job was left to another.
    Stopped,
    /// The job could not go on; its handles know why.
    Failed,
}
