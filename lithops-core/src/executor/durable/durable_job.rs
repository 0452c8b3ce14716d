//! [`Leadership`]: what a client holds of a durable job, and [`JobResources`]: what it needs to drive one.

use std::sync::Arc;

use crate::{
    compute::ComputeBackend,
    error::Result,
    executor::{
        driver::payload_store::PayloadStore,
        job::{JobState, cleanup::JobCleanup, history::Learn},
    },
    fleet::ClientFleet,
    journal::{JobRecord, Journal, Owner},
    plan::Plan,
    protocol::JobSpec,
};

/// What a client needs to drive a job.
#[derive(Debug, Clone)]
pub struct JobResources {
    /// Where its calls run.
    pub backend: Arc<dyn ComputeBackend>,
    /// What workers are told of it.
    pub spec: Arc<JobSpec>,
    /// Its granularity.
    pub plan: Plan,
    /// Whether the slowest calls are given to a second worker.
    pub speculate: bool,
    /// Who is told how long its calls took.
    pub learn: Option<Learn>,
    /// What is too large for a message, on a backend whose messages have a limit.
    pub payload_store: Option<PayloadStore>,
    /// The fleet that runs it, where workers fetch their chunks themselves.
    pub client_fleet: Option<Arc<ClientFleet>>,
}

/// A client's part in a durable job.
#[derive(Debug)]
pub struct Leadership {
    /// What is stored of it.
    pub journal: Journal,
    /// What it is.
    pub record: JobRecord,
    /// What the handles see of it.
    pub job: Arc<JobState>,
    /// What this client needs to drive it, or why it cannot.
    pub resources: Result<JobResources>,
    /// Who this client is.
    pub owner: Owner,
    /// What is to be removed when the job is finished and nobody needs it any more; `None` leaves that to others.
    pub cleanup: Option<Arc<JobCleanup>>,
}
