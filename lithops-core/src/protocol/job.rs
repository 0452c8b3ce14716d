//! What a worker is told of a job, and of itself.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::Launch;
use crate::{
    bytes::Bytes,
    id::JobId,
    storage::{BlobRef, Locator},
};

/// What a worker needs to know of itself, sent once by the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// What to start as a sub-worker.
    pub program: Program,
    /// How long a process that was asked to end may take before it is killed.
    pub grace: Duration,
    /// The fleet it is of: then it finds its jobs itself. Else the client sends them.
    pub launch: Option<Launch>,
}

/// A program that plays the sub-worker: the user's compiled program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// What worker and sub-worker need to know of a job, sent before its first calls.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobSpec {
    /// The job.
    pub job: JobId,
    /// The registered name of its function.
    pub function: String,
    /// How many of its calls may run at once in one worker.
    pub worker_processes: u32,
    /// How long a call may run.
    pub timeout: Option<Duration>,
    /// Whether a call may be begun only once; then calls are never sent in batches.
    pub at_most_once: bool,
    /// Environment variables of its calls.
    pub env: Vec<(String, String)>,
    /// The encoded values of its `Shared<T>` parameters, in order.
    pub shared: Vec<Bytes>,
    /// Where they are instead, when they are too large for a message; a sub-worker is sent the values.
    pub stored_shared: Vec<BlobRef>,
    /// The most bytes of arguments or outcomes in one message; more go through the storage.
    pub inline_limit: Option<u64>,
    /// Where its storage is; no secret in it.
    pub storage: Option<Locator>,
    /// How many bytes of what one call prints are kept.
    pub log_limit: u64,
    /// How its outcomes are stored, when it is durable.
    pub durable: Option<DurableSpec>,
    /// How deep it is nested: 0 for a client's job, one more than its parent's for a job that a call has started.
    pub depth: u32,
    /// The call that has started it.
    pub parent: Option<ParentCall>,
}

/// A call that has started a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCall {
    /// Its job.
    pub job: JobId,
    /// Its number there.
    pub call: u64,
}

/// How a worker stores the outcomes of a durable job, a chunk at a time, before it reports them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableSpec {
    /// How many calls the job has.
    pub calls: u64,
    /// Calls per chunk.
    pub chunksize: u64,
    /// Whether a failed call is never tried again, so that its failure may be stored at once.
    pub failures_are_final: bool,
}

#[cfg(test)]
impl JobSpec {
    /// A job for tests, of a function that does not exist.
    pub(crate) fn blank(job: JobId) -> Self {
        Self {
            job,
            function: "f".into(),
            worker_processes: 1,
            timeout: None,
            at_most_once: false,
            env: Vec::new(),
            shared: Vec::new(),
            stored_shared: Vec::new(),
            inline_limit: None,
            storage: None,
            log_limit: 0,
            durable: None,
            depth: 0,
            parent: None,
        }
    }
}

impl fmt::Debug for JobSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of environment variables may be secrets; only their names are shown.
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("JobSpec")
            .field("job", &self.job)
            .field("function", &self.function)
            .field("worker_processes", &self.worker_processes)
            .field("timeout", &self.timeout)
            .field("env", &env)
            .finish_non_exhaustive()
    }
}

/// The job is finished: whatever is kept for it may go.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Forget {
    /// The job.
    pub job: JobId,
}

/// How long the platform lets the worker run calls of a job from now on: shortly before, it stops beginning them and
/// gives those that it has not begun back; and a little later it ends those that still run, so that the platform does
/// not end it with all that it has not yet told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The job.
    pub job: JobId,
    /// From when the frame comes.
    pub within: Duration,
}

impl Deadline {
    /// When no further call may begin, from when the frame comes: 5 s before, or a twentieth of the time if that is
    /// less; of short times half a second, or a quarter.
    #[must_use]
    pub fn last_start(&self) -> Duration {
        self.within - self.margin()
    }

    /// When what still runs is ended, so that the rest can be told: half of that before.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.within - self.margin() / 2
    }

    fn margin(&self) -> Duration {
        let least = Duration::from_millis(500).min(self.within / 4);
        (self.within / 20).min(Duration::from_secs(5)).max(least)
    }
}

/// Changes how many calls of a job may run at once in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetProcesses {
    /// The job.
    pub job: JobId,
    /// As many.
    pub worker_processes: u32,
}

/// Ends calls of a job, begun or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cancel {
    /// The job.
    pub job: JobId,
    /// The calls, as ranges `first..end`.
    pub calls: Vec<(u64, u64)>,
}
