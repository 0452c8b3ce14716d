//! [`StorageTasks`]: requests to the storage that run beside the pool, and their results.

use std::collections::HashMap;

use lithops_core::{
    error::Result,
    id::JobId,
    protocol::StoredReport,
    protocol::{Calls, Frame, JobSpec, Run},
};
use tokio::sync::mpsc;

use super::jobs::{Committed, Due, JobOwner, PayloadStore};

/// Requests to the storage that run beside the pool: each is a task, and sends its result when it is done.
#[derive(Debug)]
pub(super) struct StorageTasks {
    /// For the tasks.
    pub(super) results: mpsc::UnboundedSender<StorageResult>,
    /// For the dispatcher.
    pub(super) finished: mpsc::UnboundedReceiver<StorageResult>,
    /// Jobs whose shared values are being fetched, and the frames that wait for them.
    pub(super) arriving: HashMap<JobId, Vec<(JobOwner, Frame)>>,
    /// The deadlines of such jobs: their time runs from the moment the frame has come.
    pub(super) deadlines: HashMap<JobId, Due>,
}

/// The result of a task.
#[derive(Debug)]
pub(super) enum StorageResult {
    /// A job, and its shared values.
    Job(JobOwner, Box<JobSpec>, Result<Vec<lithops_core::bytes::Bytes>>),
    /// Calls with their arguments.
    Calls(JobOwner, Run, Result<Calls>),
    /// A report that was stored.
    Report(Run, Option<PayloadStore>, Result<StoredReport>),
    /// A chunk of a durable job that was committed.
    Chunk(JobId, Committed),
}

impl StorageTasks {
    pub(super) fn new() -> Self {
        let (results, finished) = mpsc::unbounded_channel();
        Self { results, finished, arriving: HashMap::new(), deadlines: HashMap::new() }
    }
}
