//! What a client tells a worker: its own setup ([`Setup`]), a job ([`JobSpec`]), and changes of a running
//! job.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Launch, Secrets};
use crate::{
    bytes::Bytes,
    id::JobId,
    storage::{BlobRef, Locator},
};

/// The settings of a worker, sent once by the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The program that the worker starts as a sub-worker.
    pub program: Program,
    /// How long a process that was asked to end may take before it is killed.
    pub grace: Duration,
    /// The fleet that the worker belongs to: then it finds its jobs itself. `None` when the client sends
    /// them.
    pub launch: Option<Launch>,
    /// The credentials of the storage of a fleet, which a launch document does not hold.
    pub secrets: Option<Secrets>,
}

/// A program that plays the sub-worker: the user's compiled program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The path of the executable.
    pub path: PathBuf,
    /// The arguments that the executable is started with.
    pub arguments: Vec<OsString>,
}

/// The description of a job for worker and sub-worker, sent before its first calls.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobSpec {
    /// The id of the job.
    pub job: JobId,
    /// The registered name of its function.
    pub function: String,
    /// How many of its calls may run at once in one worker.
    pub worker_processes: u32,
    /// How long a call may run; no limit when it is `None`.
    pub timeout: Option<Duration>,
    /// Whether a call may be begun only once; then calls are never sent in batches.
    pub at_most_once: bool,
    /// Environment variables of its calls.
    pub env: Vec<(String, String)>,
    /// The encoded values of its `Shared<T>` parameters, in order.
    pub shared: Vec<Bytes>,
    /// The blobs that hold the shared values instead, when these are too large for a message. The worker
    /// fetches them: a sub-worker is always sent the values.
    pub stored_shared: Vec<BlobRef>,
    /// The most bytes of arguments or outcomes in one message; longer ones become blobs. No limit when it is
    /// `None`.
    pub inline_limit: Option<u64>,
    /// The storage of the job, without its credentials.
    pub storage: Option<Locator>,
    /// How many bytes of the output of one call are kept.
    pub log_limit: u64,
    /// Whether what a call prints is sent while the call runs, and not only when it has ended.
    pub live_logs: bool,
    /// How its outcomes are stored; `None` unless the job is durable.
    pub durable: Option<DurableSpec>,
    /// How deep the job is nested: 0 for a client's job, one more than its parent's for a job that a call has
    /// started.
    pub depth: u32,
    /// The call that has started the job; `None` for a client's job.
    pub parent: Option<ParentCall>,
}

/// A call that has started a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCall {
    /// The job of the call.
    pub job: JobId,
    /// The number of the call in that job.
    pub call: u64,
}

/// How a worker stores the outcomes of a durable job, a chunk at a time, before it reports them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableSpec {
    /// How many calls the job has.
    pub calls: u64,
    /// How many calls one chunk has.
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
            live_logs: false,
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

/// Says that a job is finished: everything that is kept for it may be dropped.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Forget {
    /// The finished job.
    pub job: JobId,
}

/// How long the platform lets the worker run calls of a job. Shortly before that time has passed the worker
/// stops beginning calls and gives back those that it has not begun. A little later it ends the calls that
/// still run: if the platform ended the worker, all outcomes that it has not reported would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The job whose calls the time limit is for.
    pub job: JobId,
    /// The time that is left, counted from the arrival of the frame.
    pub within: Duration,
}

impl Deadline {
    /// The time from the arrival of the frame until no further call may begin: 5 s before the limit, or a
    /// twentieth of the time if that is less; half a second before a short limit, or a quarter of the time if
    /// that is less.
    #[must_use]
    pub fn last_start(&self) -> Duration {
        self.within - self.margin()
    }

    /// The time from the arrival of the frame until calls that still run are ended, so that the other
    /// outcomes can be reported: half of the margin of [`last_start`](Self::last_start) before the limit.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.within - self.margin() / 2
    }

    fn margin(&self) -> Duration {
        let least = Duration::from_millis(500).min(self.within / 4);
        (self.within / 20).min(Duration::from_secs(5)).max(least)
    }
}

/// Says that a worker is to leave: it begins no further call of a job and gives back those that it has not begun. Calls
/// that still run when the time has passed are ended, and are tried again elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandBack {
    /// The job whose calls are given back.
    pub job: JobId,
    /// How long calls may run on, counted from the arrival of the frame.
    pub within: Duration,
}

/// Changes how many calls of a job may run at once in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetProcesses {
    /// The job whose limit changes.
    pub job: JobId,
    /// How many of its calls may run at once in one worker from now on.
    pub worker_processes: u32,
}

/// Ends calls of a job, begun or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cancel {
    /// The job of the calls.
    pub job: JobId,
    /// The calls, as ranges `first..end`.
    pub calls: Vec<(u64, u64)>,
}
