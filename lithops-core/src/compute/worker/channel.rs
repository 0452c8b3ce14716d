//! [`WorkerChannel`]: the client's end of a channel to a worker.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{fd::AsFd, unix},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use tokio::sync::{mpsc, watch};

use crate::{
    compute::{
        Event, EventKind, ExitReason, Feed, FeedCommand, FeedSink, Invocation, InvocationId, InvokeRequest,
    },
    error::{Error, ErrorKind, Result},
    id::{ActivationId, JobId},
    process,
    protocol::{
        self, Cancel, Forget, Frame, FrameKind, FrameReader, HandBack, Hello, Incoming, Outbox, Role,
        Secrets, Setup, frame_header,
    },
};

type Events = mpsc::UnboundedSender<Result<Event>>;

/// Asked how a worker has ended, once its channel is not read any more. The argument is the error that ended
/// the reading, or `None` when the worker has closed the channel. The function must end a worker that still
/// runs: without a reader it can do nothing useful.
pub type HowItEnded = Box<dyn FnOnce(Option<Error>) -> BoxFuture<'static, ExitReason> + Send>;

/// The client's end of a channel to a worker: jobs go down, events come up. A backend that can speak with its
/// live workers needs nothing else to feed them. The worker ends when the last handle to its channel is
/// dropped.
#[derive(Debug)]
pub struct WorkerChannel {
    /// The name of the worker, unique within its backend: ids of invocations begin with it.
    name: String,
    outbox: Outbox,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The jobs that the worker serves; `None` once it has ended.
    jobs: Mutex<Option<HashMap<JobId, Events>>>,
    /// How the worker has ended; `None` until that is known.
    ended: watch::Sender<Option<ExitReason>>,
    /// Whether memory is shared with the worker.
    shares: Arc<AtomicBool>,
    /// Whether the worker has said hello.
    has_come: AtomicBool,
    /// Whether the worker has said that it ends soon.
    leaves: AtomicBool,
}

impl WorkerChannel {
    /// Greets the worker at the other end of `stream`. Everything is sent at once, without waiting for the
    /// worker. Must be called inside a runtime that outlives the worker.
    ///
    /// # Errors
    /// When the channel cannot be used.
    pub fn greet(
        name: impl Into<String>,
        stream: unix::net::UnixStream,
        setup: &Setup,
        secrets: Option<&Secrets>,
        how_it_ended: HowItEnded,
    ) -> Result<Self> {
        let mut greeting = Vec::new();
        Hello::of(Role::Client).write(&mut greeting)?;
        // Where this descriptor arrives with the greeting, the socket leads straight to the worker, and
        // memory can be shared.
        let probe = crate::process::open_null()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [probe.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // If the worker is gone, the reader of the channel notices that.
        let sent = sendmsg(&stream, &[IoSlice::new(&greeting)], &mut control, SendFlags::NOSIGNAL);
        greeting.drain(..sent.unwrap_or(greeting.len()));
        let (frames, channel) = Self::halves(name, stream)?;
        Frame::write(FrameKind::Setup, setup, &mut greeting)?;
        if let Some(secrets) = secrets {
            Frame::write(FrameKind::Secrets, secrets, &mut greeting)?;
        }
        channel.outbox.send(&greeting);
        tokio::spawn(listen(Arc::clone(&channel.shared), frames, true, how_it_ended));
        Ok(channel)
    }

    /// The channel to a worker that has been greeted before: the worker whose sub-worker this process is.
    ///
    /// # Errors
    /// When the channel cannot be used.
    pub fn resume(
        name: impl Into<String>,
        stream: unix::net::UnixStream,
        how_it_ended: HowItEnded,
    ) -> Result<Self> {
        let (frames, channel) = Self::halves(name, stream)?;
        tokio::spawn(listen(Arc::clone(&channel.shared), frames, false, how_it_ended));
        Ok(channel)
    }

    fn halves(
        name: impl Into<String>,
        stream: unix::net::UnixStream,
    ) -> Result<(FrameReader<Incoming>, Self)> {
        let (frames, outbox) = protocol::channel(stream)?;
        let shares = outbox.sharing();
        let shared = Shared {
            jobs: Mutex::new(Some(HashMap::new())),
            ended: watch::Sender::default(),
            shares,
            has_come: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
        };
        Ok((frames, Self { name: name.into(), outbox, shared: Arc::new(shared) }))
    }

    /// Whether the worker lives, as far as is known.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.shared.jobs().is_some()
    }

    /// How the worker has ended; `None` until that is known.
    #[must_use]
    pub fn ended(&self) -> Option<ExitReason> {
        self.shared.ended.borrow().clone()
    }

    /// Waits until it is known how the worker has ended. The future holds no handle to the channel.
    pub fn until_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.shared.ended.subscribe();
        // An error says that nothing listens to the worker any more: it has ended.
        async move { drop(ended.wait_for(Option::is_some).await) }
    }

    /// Whether the worker has said hello.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.shared.has_come.load(Ordering::Acquire)
    }

    /// Whether the worker has said that it ends soon: it is to be given nothing more.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.shared.leaves.load(Ordering::Relaxed)
    }

    /// Whether this worker runs the invocation.
    #[must_use]
    pub fn has(&self, id: &InvocationId) -> bool {
        self.shared.jobs().iter().flat_map(HashMap::keys).any(|job| self.invocation(*job) == *id)
    }

    /// How many jobs the worker serves.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.shared.jobs().as_ref().map_or(0, HashMap::len)
    }

    /// Whether the worker serves the job.
    #[must_use]
    pub fn serves(&self, job: JobId) -> bool {
        self.shared.jobs().as_ref().is_some_and(|jobs| jobs.contains_key(&job))
    }

    /// Hands a job's first calls over; `None` when the worker has ended.
    ///
    /// # Errors
    /// When the request cannot be encoded.
    pub fn invoke(self: &Arc<Self>, request: &InvokeRequest) -> Result<Option<Invocation>> {
        let job = request.job.job;
        let activation = request.activation();
        let (sender, receiver) = mpsc::unbounded_channel();
        match &mut *self.shared.jobs() {
            Some(jobs) => jobs.insert(job, sender.clone()),
            None => return Ok(None),
        };
        let mut frames = Vec::new();
        request.write(&mut frames)?;
        self.outbox.send(&frames);
        // It cannot fail: this function still holds the receiver.
        let _ = sender.send(Ok(Event { activation, kind: EventKind::Started }));
        let events =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        let feed = Feed::new(Arc::new(JobFeed { worker: Arc::clone(self), job, activation }));
        Ok(Some(Invocation { id: self.invocation(job), events: events.boxed(), feed: Some(feed) }))
    }

    /// Tells a worker of a fleet to take no further job, and to end when it has none.
    pub fn let_go(&self) {
        self.outbox.send(&frame_header(FrameKind::Leave, 0));
    }

    /// Ends the calls of an invocation, if this worker runs it.
    pub fn cancel(&self, id: &InvocationId) {
        let jobs: Vec<_> = self.shared.jobs().iter().flat_map(HashMap::keys).copied().collect();
        for job in jobs.into_iter().filter(|job| self.invocation(*job) == *id) {
            self.write(FrameKind::Cancel, &Cancel { job, calls: vec![(0, u64::MAX)] });
        }
    }

    /// Tells the worker to begin no further call of a job, and to end those that still run after this time.
    pub fn hand_back(&self, job: JobId, within: Duration) {
        self.write(FrameKind::HandBack, &HandBack { job, within });
    }

    fn invocation(&self, job: JobId) -> InvocationId {
        InvocationId(format!("{}-{job}", self.name))
    }

    fn write<T: serde::Serialize>(&self, kind: FrameKind, value: &T) {
        let mut frame = Vec::new();
        // Encoding cannot fail: these frames are a few numbers each.
        if Frame::write(kind, value, &mut frame).is_ok() {
            self.outbox.send(&frame);
        }
    }
}

/// The channel for commands to a worker, for one job.
struct JobFeed {
    worker: Arc<WorkerChannel>,
    job: JobId,
    activation: ActivationId,
}

impl FeedSink for JobFeed {
    fn send(&self, command: FeedCommand) {
        match command {
            FeedCommand::Chunk(calls) => {
                self.worker.outbox.send_calls(Vec::new(), &calls);
            }
            FeedCommand::StoredChunk(stored) => {
                let mut frame = Vec::new();
                // Encoding cannot fail: the frame is a name and some digests.
                if stored.write(&mut frame).is_ok() {
                    self.worker.outbox.send(&frame);
                }
            }
            FeedCommand::CancelCalls(cancel) => self.worker.write(FrameKind::Cancel, &cancel),
            FeedCommand::Processes(processes) => self.worker.write(FrameKind::Processes, &processes),
            FeedCommand::Drain => {
                let mut frame = Vec::new();
                // Sent later, because a worker that has nothing to do need not be woken for it. Encoding a
                // number cannot fail.
                if Frame::write(FrameKind::Forget, &Forget { job: self.job }, &mut frame).is_ok() {
                    self.worker.outbox.send_later(&frame);
                }
                if let Some(events) =
                    self.worker.shared.jobs().as_mut().and_then(|jobs| jobs.remove(&self.job))
                {
                    // An error says that the job has stopped listening.
                    let _ = events.send(Ok(Event {
                        activation: self.activation,
                        kind: EventKind::Exited(ExitReason::Finished),
                    }));
                }
            }
        }
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Option<HashMap<JobId, Events>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, job: JobId, event: Event) {
        if let Some(events) = self.jobs().as_ref().and_then(|jobs| jobs.get(&job)) {
            // An error says that the job has stopped listening: it is about to drain.
            let _ = events.send(Ok(event));
        }
    }

    fn tell_all(&self, event: &Event) {
        for events in self.jobs().iter().flat_map(HashMap::values) {
            // An error says that the job has stopped listening: it is about to drain.
            let _ = events.send(Ok(event.clone()));
        }
    }
}

/// Forwards the worker's frames to the jobs that they belong to, and at last how the worker ended.
async fn listen(
    shared: Arc<Shared>,
    mut frames: FrameReader<Incoming>,
    says_hello: bool,
    how_it_ended: HowItEnded,
) {
    shared.has_come.store(!says_hello, Ordering::Release);
    let served = async {
        if says_hello && !hello(&mut frames).await? {
            return Ok(());
        }
        shared.has_come.store(true, Ordering::Release);
        forward(&shared, &mut frames).await
    };
    // A panic is caught, because otherwise jobs would wait for ever for a worker whose channel is not read
    // any more.
    let served = AssertUnwindSafe(served).catch_unwind().await;
    let served = served.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unexpected, "what listens to the worker has panicked"))
    });
    let broken = served.err().filter(|error| !is_gone(error)).map(explained);
    drop(frames);
    let jobs = shared.jobs().take().unwrap_or_default();
    let mut reason = how_it_ended(broken).await;
    if !shared.has_come.load(Ordering::Acquire)
        && let ExitReason::Lost(words) = reason
    {
        reason = ExitReason::NotStarted(words);
    }
    for events in jobs.into_values() {
        // An error says that the job has stopped listening.
        let _ =
            events.send(Ok(Event { activation: ActivationId(0), kind: EventKind::Exited(reason.clone()) }));
    }
    shared.ended.send_replace(Some(reason));
}

/// Whether an error says only that the peer is gone: the end of the peer's process tells why.
fn is_gone(error: &Error) -> bool {
    let source = error.io_error();
    source.is_some_and(|source| {
        matches!(
            source.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
        )
    })
}

/// Adds what this process lacked, where the error says that.
fn explained(error: Error) -> Error {
    let source = error.io_error();
    let code = source.and_then(io::Error::raw_os_error).map(Errno::from_raw_os_error);
    let (problem, hint) = match code {
        Some(Errno::NOMEM) => (
            "there is no memory here for what the worker sent",
            "return less, or raise the limit on memory of this process (`ulimit -v`, or that of its container)",
        ),
        Some(Errno::MFILE | Errno::NFILE) => (
            "there is no descriptor here for what the worker sent",
            "raise the limit on open files of this process (`ulimit -n`)",
        ),
        _ => return error,
    };
    Error::new(ErrorKind::Io, format!("{problem}: {error}")).with_hint(hint)
}

/// Waits for the worker's hello, and returns whether one came before the end of the stream.
async fn hello(frames: &mut FrameReader<Incoming>) -> Result<bool> {
    let hello = tokio::time::timeout(process::START_LIMIT, frames.next()).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, format!("the worker has said nothing for {:?}", process::START_LIMIT))
            .with_hint("the program must reach `lithops::init()` first thing in `main`")
    })?;
    let Some(hello) = hello? else { return Ok(false) };
    Hello::read(&hello)?;
    Ok(true)
}

async fn forward(shared: &Shared, frames: &mut FrameReader<Incoming>) -> Result<()> {
    while let Some(frame) = frames.next_whole().await? {
        if frame.kind == FrameKind::Shares {
            shared.shares.store(true, Ordering::Relaxed);
            continue;
        }
        let event = Event::from_frame(&frame, ActivationId(0))?;
        if matches!(event.kind, EventKind::Leaving) {
            shared.leaves.store(true, Ordering::Relaxed);
            shared.tell_all(&event);
            continue;
        }
        let job = match &event.kind {
            EventKind::Report(report) => report.header.run.job,
            EventKind::StoredReport(stored) => stored.run.job,
            EventKind::Logs(logs) => logs.job,
            // The end of a worker that is fed is the end of its channel, of which no frame tells.
            kind => return Err(Error::new(ErrorKind::Unexpected, format!("a worker sent {kind:?}"))),
        };
        shared.tell(job, event);
    }
    Ok(())
}
