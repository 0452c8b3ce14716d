//! [`Leadership`]: a client's part in a durable job, and [`JobResources`]: what the client needs to drive it.

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

/// What a client needs to drive a durable job.
#[derive(Debug, Clone)]
pub struct JobResources {
    /// The backend that runs the calls.
    pub backend: Arc<dyn ComputeBackend>,
    /// The spec that is sent to the workers.
    pub spec: Arc<JobSpec>,
    /// The granularity: workers, sub-workers and calls per chunk.
    pub plan: Plan,
    /// Whether stragglers get backup attempts in a second worker.
    pub speculate: bool,
    /// Where the durations of the calls are recorded; `None` if they are not.
    pub learn: Option<Learn>,
    /// Where payloads go that are too large for a message; `None` on backends without a message limit.
    pub payload_store: Option<PayloadStore>,
    /// The fleet that runs the job, on backends whose workers fetch their chunks themselves; `None` on
    /// others.
    pub client_fleet: Option<Arc<ClientFleet>>,
}

/// A client's part in a durable job: the client drives the job while it holds the lease, and reads it
/// otherwise.
#[derive(Debug)]
pub struct Leadership {
    /// The job's journal in the storage.
    pub journal: Journal,
    /// The job's record, as stored.
    pub record: JobRecord,
    /// The job's state, which its handles read.
    pub job: Arc<JobState>,
    /// What this client needs to drive the job, or the error that says why it cannot.
    pub resources: Result<JobResources>,
    /// The identity of this client, which it writes into the lease.
    pub owner: Owner,
    /// Removes the stored data when the job is finished and its last handle is dropped; `None` leaves that to
    /// other clients.
    pub cleanup: Option<Arc<JobCleanup>>,
}
