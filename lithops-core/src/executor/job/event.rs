//! [`JobEvent`]: what happens to jobs, for programs that want to watch.

use std::time::Duration;

use super::Progress;
use crate::id::JobId;

/// Something that happened to a job of an executor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobEvent {
    /// The job has started.
    Started {
        /// The job.
        job: JobId,
        /// Its function's name.
        function: String,
        /// How many calls it has, when that is known beforehand.
        calls: Option<u64>,
    },
    /// A further worker has been given calls.
    WorkerStarted {
        /// The job.
        job: JobId,
        /// How many live workers it has now.
        workers: usize,
    },
    /// Calls have ended.
    Done {
        /// The job.
        job: JobId,
        /// How far it is now.
        progress: Progress,
    },
    /// Calls `first..end` will be tried again.
    Retried {
        /// The job.
        job: JobId,
        /// The first call.
        first: u64,
        /// The call after the last.
        end: u64,
    },
    /// A worker was lost with calls in its hands.
    WorkerLost {
        /// The job.
        job: JobId,
        /// What is known of its end.
        reason: String,
    },
    /// The platform asked to slow down.
    Throttled {
        /// The job.
        job: JobId,
    },
    /// Chunks take longer than the platform lets a worker run: from now on they are smaller.
    Replanned {
        /// The job.
        job: JobId,
        /// Calls per chunk.
        chunksize: u64,
    },
    /// Calls `first..end` are slow and were given to a second worker.
    Speculated {
        /// The job.
        job: JobId,
        /// The first call.
        first: u64,
        /// The call after the last.
        end: u64,
    },
    /// The job was cancelled, and the platform has no way to end what runs: nobody waits for it any more, and it costs
    /// what it costs.
    RunsOn {
        /// The job.
        job: JobId,
        /// How many workers.
        workers: usize,
        /// How long they may run, where that is limited.
        at_most: Option<Duration>,
    },
    /// Every call has an outcome.
    Finished {
        /// The job.
        job: JobId,
        /// How it went.
        progress: Progress,
    },
    /// The job could not go on.
    Failed {
        /// The job.
        job: JobId,
        /// Why.
        reason: String,
    },
}

impl JobEvent {
    /// The job it is about.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::Started { job, .. }
            | Self::WorkerStarted { job, .. }
            | Self::Done { job, .. }
            | Self::Retried { job, .. }
            | Self::WorkerLost { job, .. }
            | Self::Throttled { job }
            | Self::Replanned { job, .. }
            | Self::RunsOn { job, .. }
            | Self::Speculated { job, .. }
            | Self::Finished { job, .. }
            | Self::Failed { job, .. } => *job,
        }
    }
}
