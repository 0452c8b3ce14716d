//! [`Invocation`]: calls that were handed to workers, and the events that come back.

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

/// The input of an invocation: activations to hand over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InvokeRequest {
    /// The description of the job.
    pub job: Arc<JobSpec>,
    /// The first chunk of each worker.
    pub calls: Vec<Calls>,
    /// First chunks whose arguments have more bytes than `payload_limit` allows: the arguments are blobs.
    pub stored: Vec<StoredCalls>,
    /// The memory of a worker, in MiB, where the platform sells it and the job asks for it; else `None`.
    pub memory: Option<u64>,
    /// How long the platform lets an activation run before it ends it. The backend sets it; `None` where
    /// activations have no limit.
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

    /// The first activation of the request; 0 when it has no calls.
    #[must_use]
    pub fn activation(&self) -> ActivationId {
        self.runs().next().map_or(ActivationId(0), |run| run.activation)
    }

    /// How many calls it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs().map(|run| u64::from(run.count)).sum()
    }

    /// Appends the frames that tell a worker about the job and its calls.
    ///
    /// # Errors
    /// When the job, or the place of stored arguments, cannot be encoded.
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
    /// The identity of the invocation.
    pub id: InvocationId,
    /// The events of the invocation; the exit event is the last.
    pub events: BoxStream<'static, Result<Event>>,
    /// The channel for commands to a live worker; `None` where workers cannot be fed.
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

/// An event of an activation.
#[derive(Debug, Clone)]
pub struct Event {
    /// The activation; for a worker that is fed, its first one.
    pub activation: ActivationId,
    /// What happened to the activation.
    pub kind: EventKind,
}

/// The kinds of events of an activation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker has taken the activation.
    Started,
    /// The output of some calls; it comes before their report.
    Logs(Logs),
    /// Outcomes of a run of calls.
    Report(Box<Report>),
    /// Outcomes that are a blob in the storage: they have more bytes than `payload_limit` allows.
    StoredReport(Box<StoredReport>),
    /// The activation has ended: no further event comes.
    Exited(ExitReason),
    /// The platform asks to slow down; the duration is the pause that it asks for.
    Throttled(Duration),
    /// The worker ends soon, because its platform has told it to: it begins nothing more, and gives back what it has not
    /// begun.
    Leaving,
}

/// Why an activation has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExitReason {
    /// The activation was drained, and everything is reported.
    Finished,
    /// Its worker was lost, and with it all calls that were not reported.
    Lost(String),
    /// Its worker was lost for want of memory, as far as the platform says.
    OutOfMemory(String),
    /// The platform has failed, and it is unknown whether the activation ran. This is no evidence against its
    /// calls.
    Unanswered(String),
    /// The activation never started: the platform has too much to do, and must get no request for at least
    /// this long.
    Throttled(Duration),
    /// The activation never started, and the next one would not either: the job cannot go on.
    Refused(String),
    /// The activation never started, because the program in the storage is damaged. A backend that has the
    /// program stores it again and says `Throttled` instead; otherwise the job cannot go on.
    Damaged(String),
    /// Its worker ended before its hello: none of its calls has begun.
    NotStarted(String),
    /// The client could not take in what the worker sent, for want of memory, descriptors or the like, and
    /// the worker was ended: the job cannot go on.
    Broken(String),
}

/// The channel for commands to a live worker. It is cheap to clone and never blocks.
#[derive(Clone)]
pub struct Feed(Arc<dyn FeedSink>);

impl Feed {
    /// A feed into `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn FeedSink>) -> Self {
        Self(sink)
    }

    /// Sends a command. When the worker is gone, the command is dropped: the exit event tells of the worker's
    /// end.
    pub fn send(&self, command: FeedCommand) {
        self.0.send(command);
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// Implemented by a backend to feed a worker.
pub trait FeedSink: Send + Sync + 'static {
    /// Queues a command for the worker and returns at once.
    fn send(&self, command: FeedCommand);
}

/// A command to a live worker.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FeedCommand {
    /// Run further calls.
    Chunk(Calls),
    /// Run further calls, whose arguments are a blob.
    StoredChunk(Box<StoredCalls>),
    /// End these calls, begun or not.
    CancelCalls(Cancel),
    /// Change how many calls of the job may run at once in the worker.
    Processes(SetProcesses),
    /// No further calls come: end the invocation when everything is reported.
    Drain,
}
