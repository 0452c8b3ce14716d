//! [`JobEvent`]: what happens to jobs, for programs that observe them.

use std::time::Duration;

use serde::Serialize;

use super::{Progress, Spending};
use crate::{id::JobId, in_seconds};

/// Something that happened to a job of an executor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobEvent {
    /// The job has started.
    Started {
        /// The id of the job.
        job: JobId,
        /// The display name of its function.
        function: String,
        /// How many calls the job has; `None` while the inputs have not said.
        calls: Option<u64>,
    },
    /// A further worker has been given calls.
    WorkerStarted {
        /// The id of the job.
        job: JobId,
        /// How many workers of the job live now.
        workers: usize,
    },
    /// Further calls have got an outcome.
    Done {
        /// The id of the job.
        job: JobId,
        /// How far the job is now.
        progress: Progress,
    },
    /// Calls `first..end` will be tried again.
    Retried {
        /// The id of the job.
        job: JobId,
        /// The number of the first call.
        first: u64,
        /// The number after that of the last call.
        end: u64,
    },
    /// A worker was lost while it had calls.
    WorkerLost {
        /// The id of the job.
        job: JobId,
        /// What is known about the loss.
        reason: String,
    },
    /// The platform asked to slow down.
    Throttled {
        /// The id of the job.
        job: JobId,
    },
    /// The platform cannot start workers for now, or others than before, or can again.
    Waiting {
        /// The id of the job.
        job: JobId,
        /// How many workers wait; 0 when none waits any more.
        workers: usize,
        /// What they wait for, in the platform's own words.
        why: String,
    },
    /// The workers of a fleet cost this much now: other workers than before, or the same for ten seconds more. Not told
    /// where workers cost nothing.
    Spending {
        /// The id of the job.
        job: JobId,
        /// How many workers run, and what they cost.
        spending: Spending,
    },
    /// Chunks take longer than the platform lets a worker run: the remaining chunks are smaller.
    Replanned {
        /// The id of the job.
        job: JobId,
        /// Calls per chunk.
        chunksize: u64,
    },
    /// Calls `first..end` are slow: backup attempts were started in another worker.
    Speculated {
        /// The id of the job.
        job: JobId,
        /// The number of the first call.
        first: u64,
        /// The number after that of the last call.
        end: u64,
    },
    /// The job was cancelled, but the platform cannot end running workers: they run on and are billed until they see it in
    /// the storage, and their outcomes are dropped.
    RunsOn {
        /// The id of the job.
        job: JobId,
        /// How many workers run on.
        workers: usize,
        /// How long they may still run at most; `None` where nothing ends them.
        #[serde(rename = "at_most_seconds", serialize_with = "in_seconds::known")]
        at_most: Option<Duration>,
    },
    /// Every call has an outcome.
    Finished {
        /// The id of the job.
        job: JobId,
        /// The final counts.
        progress: Progress,
    },
    /// The job could not go on.
    Failed {
        /// The id of the job.
        job: JobId,
        /// The error, as text.
        reason: String,
    },
}

impl JobEvent {
    /// The job that the event is about.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::Started { job, .. }
            | Self::WorkerStarted { job, .. }
            | Self::Done { job, .. }
            | Self::Retried { job, .. }
            | Self::WorkerLost { job, .. }
            | Self::Throttled { job }
            | Self::Waiting { job, .. }
            | Self::Spending { job, .. }
            | Self::Replanned { job, .. }
            | Self::RunsOn { job, .. }
            | Self::Speculated { job, .. }
            | Self::Finished { job, .. }
            | Self::Failed { job, .. } => *job,
        }
    }
}
