//! [`Invocation`]: calls in the hands of workers, and the events they send back.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    id::ActivationId,
    protocol::{
        Calls, Cancel, Deadline, Frame, FrameKind, JobSpec, Logs, Report, Run, SetProcesses, StoredCalls,
        StoredReport,
    },
};

/// Activations to hand over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InvokeRequest {
    /// The job.
    pub job: Arc<JobSpec>,
    /// The first chunk of each worker.
    pub calls: Vec<Calls>,
    /// The same, of chunks whose arguments are more bytes than `payload_limit` allows.
    pub stored: Vec<StoredCalls>,
    /// The memory of a worker, in MiB, where the platform sells it and the job has a wish.
    pub memory: Option<u64>,
    /// How long the platform lets an activation run, where it ends it then: backends set it.
    pub time_limit: Option<Duration>,
}

impl InvokeRequest {
    /// A request to run `calls` of `job`.
    #[must_use]
    pub fn new(job: Arc<JobSpec>, calls: Vec<Calls>) -> Self {
        Self { job, calls, stored: Vec::new(), memory: None, time_limit: None }
    }

    /// A request to run calls whose arguments are in the storage.
    #[must_use]
    pub fn of_stored(job: Arc<JobSpec>, stored: Vec<StoredCalls>) -> Self {
        Self { stored, ..Self::new(job, Vec::new()) }
    }

    /// The activation it begins with.
    #[must_use]
    pub fn activation(&self) -> ActivationId {
        self.runs().next().map_or(ActivationId(0), |run| run.activation)
    }

    /// How many calls it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs().map(|run| u64::from(run.count)).sum()
    }

    /// Appends the frames that tell a worker of the job and its calls.
    ///
    /// # Errors
    /// When they cannot be encoded.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        Frame::write::<JobSpec>(FrameKind::Job, &self.job, out)?;
        if let Some(within) = self.time_limit {
            Frame::write(FrameKind::Deadline, &Deadline { job: self.job.job, within }, out)?;
        }
        self.calls.iter().for_each(|calls| calls.write(out));
        self.stored.iter().try_for_each(|stored| stored.write(out))
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.calls.iter().map(|calls| &calls.run).chain(self.stored.iter().map(|stored| &stored.run))
    }
}

/// The identity of an invocation on its platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub String);

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Calls in the hands of workers.
pub struct Invocation {
    /// Its identity.
    pub id: InvocationId,
    /// What happens to it, until its exit event.
    pub events: BoxStream<'static, Result<Event>>,
    /// The channel down to a live worker, where there is one.
    pub feed: Option<Feed>,
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("id", &self.id)
            .field("fed", &self.feed.is_some())
            .finish_non_exhaustive()
    }
}

/// Something that happened to an activation.
#[derive(Debug, Clone)]
pub struct Event {
    /// The activation; for a worker that is fed, its first.
    pub activation: ActivationId,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen to an activation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker has taken it.
    Started,
    /// What some calls have printed; comes before their report.
    Logs(Logs),
    /// A batch of outcomes.
    Report(Box<Report>),
    /// The same, in the storage: more bytes than `payload_limit` allows.
    StoredReport(Box<StoredReport>),
    /// It has ended: nothing more will come.
    Exited(ExitReason),
    /// The platform asks to slow down.
    Throttled(Duration),
}

/// Why an activation has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was drained and everything is reported.
    Finished,
    /// Its worker was lost; what was not reported is lost with it.
    Lost(String),
    /// The same, for want of memory, as far as the platform says.
    OutOfMemory(String),
    /// The platform has failed: nobody knows whether it ran. That says nothing of its calls.
    Unanswered(String),
    /// It never started: the platform has too much to do, and is left alone for at least so long.
    Throttled(Duration),
    /// It never started, and the next one would not either; the job cannot go on.
    Refused(String),
    /// It never started, because the program in the storage is not what was stored there. A backend that has the
    /// program stores it again and says `Throttled` instead; a job is told no more than that it cannot go on.
    Damaged(String),
    /// Its worker ended before it said hello: nothing of its calls has begun.
    NotStarted(String),
    /// What it sent could not be taken in here, for want of memory, descriptors or the like, and it was ended; the job
    /// cannot go on.
    Broken(String),
}

/// The channel down to a live worker: cheap to clone, never blocks.
#[derive(Clone)]
pub struct Feed(Arc<dyn FeedSink>);

impl Feed {
    /// A feed into `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn FeedSink>) -> Self {
        Self(sink)
    }

    /// Sends a command. When the worker is gone it is dropped: the exit event says so.
    pub fn send(&self, command: FeedCommand) {
        self.0.send(command);
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// What a backend implements to feed a worker.
pub trait FeedSink: Send + Sync + 'static {
    /// Queues a command for the worker and returns at once.
    fn send(&self, command: FeedCommand);
}

/// What a live worker can be told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FeedCommand {
    /// More calls.
    Chunk(Calls),
    /// The same, with their arguments in the storage.
    StoredChunk(Box<StoredCalls>),
    /// End these calls, begun or not.
    CancelCalls(Cancel),
    /// From now on so many calls of the job may run at once in the worker.
    Processes(SetProcesses),
    /// Nothing more will come: end the invocation when everything is reported.
    Drain,
}
