//! [`Worker`]: a worker process and the channel to it.

use std::{
    collections::{HashMap, VecDeque},
    io::{PipeReader, Read},
    os::{
        fd::OwnedFd,
        unix::{self, process::ExitStatusExt},
    },
    process::Child,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use lithops_core::{
    compute::{
        Event, EventKind, ExitReason, Feed, FeedCommand, FeedSink, Invocation, InvocationId, InvokeRequest,
    },
    error::{Error, ErrorKind, Result},
    fleet::Launch,
    id::{ActivationId, JobId},
    parcel::StoredReport,
    process,
    protocol::{
        Cancel, Forget, Frame, FrameKind, FrameReader, Hello, Logs, Outbox, Program, Report, Role, Secrets,
        Setup,
    },
};
use tokio::{
    net::{UnixStream, unix::OwnedReadHalf},
    sync::mpsc,
};

/// How long a process that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(500);
/// How much of a worker's own output is kept, to explain its end.
const OUTPUT: usize = 4 << 10;
/// The code of a worker that says itself why it cannot serve.
const EXIT_REFUSED: i32 = 88;

type Events = mpsc::UnboundedSender<Result<Event>>;

/// A worker process. It ends when the last handle to it goes, unless this process is one of its sub-workers.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: u32,
    /// Whether it was started here, so that it can be ended here.
    is_own: bool,
    outbox: Outbox,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The jobs it serves; `None` once it has ended.
    jobs: Mutex<Option<HashMap<JobId, Events>>>,
    output: Mutex<VecDeque<u8>>,
    /// How it has ended, once that is known.
    ended: Mutex<Option<ExitReason>>,
}

impl Worker {
    /// Starts a worker; it is told everything at once and need not be waited for.
    pub(crate) fn start(runtime: &Program, program: &Program, secrets: Option<&Secrets>) -> Result<Self> {
        Self::greeted(runtime, Setup { program: program.clone(), grace: GRACE, launch: None }, secrets)
    }

    /// Starts a worker of a fleet: it finds its jobs itself.
    pub(crate) fn launch(runtime: &Program, program: &Program, launch: Launch) -> Result<Self> {
        let setup = Setup { program: program.clone(), grace: GRACE, launch: Some(launch) };
        Self::greeted(runtime, setup, None)
    }

    fn greeted(runtime: &Program, setup: Setup, secrets: Option<&Secrets>) -> Result<Self> {
        let (output, writing) = std::io::pipe()?;
        let (child, channel) =
            process::spawn(runtime, Role::Worker, OwnedFd::from(writing)).map_err(|error| {
                Error::new(
                    ErrorKind::WorkerLost,
                    format!("cannot start a worker from `{}`: {error}", runtime.path.display()),
                )
                .with_source(error)
            })?;
        let pid = child.id();
        channel.set_nonblocking(true)?;
        let (reading, writing) = UnixStream::from_std(channel)?.into_split();
        let outbox = Outbox::new(writing);
        let mut greeting = Vec::new();
        Hello::of(Role::Client).write(&mut greeting)?;
        Frame::write(FrameKind::Setup, &setup, &mut greeting)?;
        if let Some(secrets) = secrets {
            Frame::write(FrameKind::Secrets, secrets, &mut greeting)?;
        }
        outbox.send(&greeting);

        let shared = Arc::new(Shared {
            jobs: Mutex::new(Some(HashMap::new())),
            output: Mutex::default(),
            ended: Mutex::default(),
        });
        let listener = Arc::clone(&shared);
        let reader = thread::Builder::new().name("lithops-output".into()).stack_size(64 << 10);
        let output = reader.spawn(move || keep_output(output, &listener.output))?;
        tokio::spawn(listen(Arc::clone(&shared), FrameReader::new(reading), child, output));
        Ok(Self { pid, is_own: true, outbox, shared })
    }

    /// The worker that this process is a sub-worker of, at the other end of `channel`. It has been greeted before.
    pub(crate) fn around(channel: unix::net::UnixStream) -> Result<Self> {
        channel.set_nonblocking(true)?;
        let (reading, writing) = UnixStream::from_std(channel)?.into_split();
        let shared = Arc::new(Shared {
            jobs: Mutex::new(Some(HashMap::new())),
            output: Mutex::default(),
            ended: Mutex::default(),
        });
        tokio::spawn(listen_around(Arc::clone(&shared), FrameReader::new(reading)));
        Ok(Self { pid: unix::process::parent_id(), is_own: false, outbox: Outbox::new(writing), shared })
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.shared.jobs().is_some()
    }

    /// How it has ended, once that is known.
    pub(crate) fn ended(&self) -> Option<ExitReason> {
        self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many jobs it serves.
    pub(crate) fn jobs(&self) -> usize {
        self.shared.jobs().as_ref().map_or(0, HashMap::len)
    }

    /// Whether it serves a job.
    pub(crate) fn serves(&self, job: JobId) -> bool {
        self.shared.jobs().as_ref().is_some_and(|jobs| jobs.contains_key(&job))
    }

    /// Hands a job's first calls over; `None` when the worker has ended.
    pub(crate) fn invoke(self: &Arc<Self>, request: &InvokeRequest) -> Result<Option<Invocation>> {
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
        // The receiver is in this function's hands.
        let _ = sender.send(Ok(Event { activation, kind: EventKind::Started }));
        let events =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        let feed = Feed::new(Arc::new(JobFeed { worker: Arc::clone(self), job, activation }));
        Ok(Some(Invocation { id: self.invocation(job), events: events.boxed(), feed: Some(feed) }))
    }

    /// Ends the calls of an invocation, if it is one of this worker.
    pub(crate) fn cancel(&self, id: &InvocationId) {
        let jobs: Vec<_> = self.shared.jobs().iter().flat_map(HashMap::keys).copied().collect();
        for job in jobs.into_iter().filter(|job| self.invocation(*job) == *id) {
            self.write(FrameKind::Cancel, &Cancel { job, calls: vec![(0, u64::MAX)] });
        }
    }

    /// Ends the process, at once; its sub-workers end with it.
    pub(crate) fn kill(&self) {
        if self.is_own
            && self.is_alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended by itself meanwhile.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }

    fn invocation(&self, job: JobId) -> InvocationId {
        InvocationId(format!("{}-{job}", self.pid))
    }

    fn write<T: serde::Serialize>(&self, kind: FrameKind, value: &T) {
        let mut frame = Vec::new();
        // These frames are a few numbers each: they can always be encoded.
        if Frame::write(kind, value, &mut frame).is_ok() {
            self.outbox.send(&frame);
        }
    }
}

/// The channel down to a worker, for one job.
struct JobFeed {
    worker: Arc<Worker>,
    job: JobId,
    activation: ActivationId,
}

impl FeedSink for JobFeed {
    fn send(&self, command: FeedCommand) {
        match command {
            FeedCommand::Chunk(calls) => {
                let mut frame = Vec::new();
                calls.write(&mut frame);
                self.worker.outbox.send(&frame);
            }
            FeedCommand::StoredChunk(stored) => {
                let mut frame = Vec::new();
                // A name and some digests can always be encoded.
                if stored.write(&mut frame).is_ok() {
                    self.worker.outbox.send(&frame);
                }
            }
            FeedCommand::CancelCalls(cancel) => self.worker.write(FrameKind::Cancel, &cancel),
            FeedCommand::Processes(processes) => self.worker.write(FrameKind::Processes, &processes),
            FeedCommand::Drain => {
                self.worker.write(FrameKind::Forget, &Forget { job: self.job });
                if let Some(events) =
                    self.worker.shared.jobs().as_mut().and_then(|jobs| jobs.remove(&self.job))
                {
                    // The job may have stopped listening.
                    let _ = events.send(Ok(Event {
                        activation: self.activation,
                        kind: EventKind::Exited(ExitReason::Finished),
                    }));
                }
            }
            _ => {}
        }
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Option<HashMap<JobId, Events>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, job: JobId, event: Event) {
        if let Some(events) = self.jobs().as_ref().and_then(|jobs| jobs.get(&job)) {
            // A job that has stopped listening is about to drain.
            let _ = events.send(Ok(event));
        }
    }
}

/// Forwards what a worker sends to the jobs it belongs to, and at last how it ended.
async fn listen(
    shared: Arc<Shared>,
    mut frames: FrameReader<OwnedReadHalf>,
    mut child: Child,
    output: thread::JoinHandle<()>,
) {
    // A channel that breaks is the worker's end; only what it says wrongly is held against it.
    let broken = serve(&shared, &mut frames).await.err().filter(|error| error.kind() != ErrorKind::Io);
    drop(frames);
    let jobs = shared.jobs().take().unwrap_or_default();
    let ended = tokio::task::spawn_blocking(move || {
        if broken.is_some() {
            // It sends what nobody understands: there is no use in waiting for it.
            let _ = child.kill();
        }
        let status = child.wait();
        // A grandchild may hold the pipe open; then what has been read so far must do.
        if !output.is_finished() {
            thread::sleep(Duration::from_millis(20));
        }
        (status, broken)
    });
    let reason = match ended.await {
        Ok((_, Some(error))) => ExitReason::Refused(error.to_string()),
        Ok((Ok(status), None)) => {
            let words = shared
                .output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .copied()
                .collect::<Vec<_>>();
            let words = String::from_utf8_lossy(&words).trim().to_owned();
            let said = if words.is_empty() { String::new() } else { format!("; it said: {words}") };
            match (status.code(), status.signal()) {
                (Some(EXIT_REFUSED), _) => {
                    ExitReason::Refused(words.trim_start_matches("lithops: ").to_owned())
                }
                (Some(process::EXIT_NOT_INITIALISED), _) => ExitReason::Refused(words),
                (Some(code), _) => ExitReason::Lost(format!("its worker exited with code {code}{said}")),
                (None, Some(signal)) => ExitReason::Lost(format!("its worker died of signal {signal}{said}")),
                (None, None) => ExitReason::Lost(format!("its worker ended{said}")),
            }
        }
        Ok((Err(error), None)) => {
            ExitReason::Lost(format!("its worker ended, and how is not known: {error}"))
        }
        Err(error) => ExitReason::Lost(format!("its worker ended, and how is not known: {error}")),
    };
    exited(jobs, &reason);
    *shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}

/// The same for the worker that this process is a sub-worker of; when it really ends, so does this process.
async fn listen_around(shared: Arc<Shared>, mut frames: FrameReader<OwnedReadHalf>) {
    let how =
        forward(&shared, &mut frames).await.err().map_or_else(String::new, |error| format!(": {error}"));
    let jobs = shared.jobs().take().unwrap_or_default();
    exited(jobs, &ExitReason::Lost(format!("the worker that this call runs in has closed the channel{how}")));
}

fn exited(jobs: HashMap<JobId, Events>, reason: &ExitReason) {
    for events in jobs.into_values() {
        // Nobody may be listening any more.
        let _ =
            events.send(Ok(Event { activation: ActivationId(0), kind: EventKind::Exited(reason.clone()) }));
    }
}

async fn serve(shared: &Shared, frames: &mut FrameReader<OwnedReadHalf>) -> Result<()> {
    let hello = tokio::time::timeout(process::START_LIMIT, frames.next()).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, format!("the worker has said nothing for {:?}", process::START_LIMIT))
            .with_hint("the program must reach `lithops::init()` first thing in `main`")
    })?;
    let Some(hello) = hello? else { return Ok(()) };
    Hello::read(&hello)?;
    forward(shared, frames).await
}

async fn forward(shared: &Shared, frames: &mut FrameReader<OwnedReadHalf>) -> Result<()> {
    while let Some(frame) = frames.next().await? {
        match frame.kind {
            FrameKind::Report => {
                let report = Report::read(&frame.body)?;
                let run = report.header.run;
                shared.tell(
                    run.job,
                    Event { activation: run.activation, kind: EventKind::Report(Box::new(report)) },
                );
            }
            FrameKind::StoredReport => {
                let stored = StoredReport::read(&frame)?;
                let run = stored.run;
                shared.tell(
                    run.job,
                    Event { activation: run.activation, kind: EventKind::StoredReport(Box::new(stored)) },
                );
            }
            FrameKind::Logs => {
                let logs: Logs = frame.decode()?;
                shared.tell(logs.job, Event { activation: ActivationId(0), kind: EventKind::Logs(logs) });
            }
            kind => return Err(Error::new(ErrorKind::Unexpected, format!("a worker sent a {kind:?} frame"))),
        }
    }
    Ok(())
}

/// Keeps the end of what a worker itself prints: it explains an end that nobody expected.
fn keep_output(mut output: PipeReader, kept: &Mutex<VecDeque<u8>>) {
    let mut part = [0; 1024];
    while let Ok(read @ 1..) = output.read(&mut part) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&part[..read]);
        let excess = kept.len().saturating_sub(OUTPUT);
        kept.drain(..excess);
    }
}
