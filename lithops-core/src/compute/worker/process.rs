//! [`WorkerProcess`]: a worker that is a process of this machine, and the channel to it.

use std::{
    collections::VecDeque,
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::WorkerChannel;
use crate::{
    compute::{ExitReason, Invocation, InvocationId, InvokeRequest, WorkerEnd},
    error::{Error, ErrorKind, Result},
    id::JobId,
    process,
    protocol::{Launch, Program, Role, Secrets, Setup},
};

/// How long a sub-worker that was asked to end may take before its worker kills it.
const GRACE: Duration = Duration::from_millis(500);
/// How many bytes of a worker's own output are kept, to explain its end.
const OUTPUT: usize = 4 << 10;
/// How long a worker whose channel is closed may take to end before it is killed.
const TO_END: Duration = Duration::from_secs(5);
/// The pause before the second look whether a process has ended; it doubles with each look.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest pause between two looks: a compromise between a late answer and a busy CPU.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How long the output of an ended worker is still read, if another process holds the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// What is said of a worker that has ended by itself.
const LEFT: &str = "its worker exited with code 0";
/// The exit code of a worker that prints why it cannot serve.
const EXIT_REFUSED: i32 = 88;

/// A worker that is a process of this machine, or is reached through one. It ends when the last handle to it
/// is dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    pid: u32,
    channel: Arc<WorkerChannel>,
}

impl WorkerProcess {
    /// Starts a worker from `runtime`, whose sub-workers are `program`. Everything is sent at once, without
    /// waiting for the worker. Must be called inside a runtime that outlives the worker.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(runtime: &Program, program: &Program, secrets: Option<&Secrets>) -> Result<Self> {
        Self::greeted(
            runtime,
            &Setup { program: program.clone(), grace: GRACE, launch: None, secrets: None },
            secrets,
        )
    }

    /// Starts a worker of a fleet, which finds its jobs itself. `secrets` is what opens the storage.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn launch(
        runtime: &Program,
        program: &Program,
        launch: Launch,
        secrets: Option<&Secrets>,
    ) -> Result<Self> {
        let (program, secrets) = (program.clone(), secrets.cloned());
        Self::greeted(runtime, &Setup { program, grace: GRACE, launch: Some(launch), secrets }, None)
    }

    fn greeted(runtime: &Program, setup: &Setup, secrets: Option<&Secrets>) -> Result<Self> {
        let (output, writing) = std::io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
        let (child, stream) =
            process::spawn(runtime, Role::Worker, OwnedFd::from(writing)).map_err(|error| {
                Error::new(
                    ErrorKind::WorkerLost,
                    format!("cannot start a worker from `{}`: {error}", runtime.path.display()),
                )
                .with_hint(
                    "may this user start more processes and open more files (`ulimit -u`, `ulimit -n`), and is there \
                     memory for them?",
                )
                .with_source(error)
            })?;
        let pid = child.id();
        let child = Started(child);
        let said = Arc::new(Mutex::default());
        let reader = tokio::spawn(keep_output(output, Arc::clone(&said)));
        let how_it_ended = move |broken: Option<Error>| end_of(child, reader, said, broken).boxed();
        let channel = WorkerChannel::greet(pid.to_string(), stream, setup, secrets, Box::new(how_it_ended))?;
        Ok(Self { pid, channel: Arc::new(channel) })
    }

    /// Whether the worker lives, as far as is known.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.channel.is_alive()
    }

    /// How the worker has ended; `None` until that is known.
    #[must_use]
    pub fn ended(&self) -> Option<ExitReason> {
        self.channel.ended()
    }

    /// Waits until it is known how the worker has ended. The future holds no handle to the worker.
    pub fn until_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.channel.until_ended()
    }

    /// How a worker of a fleet has ended; `None` until that is known.
    #[must_use]
    pub fn end_in_fleet(&self) -> Option<WorkerEnd> {
        Some(match self.channel.ended()? {
            ExitReason::Finished => WorkerEnd::Finished,
            ExitReason::Lost(words) if words.starts_with(LEFT) => WorkerEnd::Finished,
            ExitReason::OutOfMemory(_) => WorkerEnd::OutOfMemory,
            ExitReason::Refused(words) | ExitReason::Broken(words) => WorkerEnd::Refused(words),
            ExitReason::Lost(words)
            | ExitReason::NotStarted(words)
            | ExitReason::Unanswered(words)
            | ExitReason::Damaged(words) => WorkerEnd::Lost(words),
            ExitReason::Throttled(_) => WorkerEnd::Lost("the platform has too much to do".to_owned()),
        })
    }

    /// Whether the worker has said hello.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.channel.has_come()
    }

    /// Whether this worker runs the invocation.
    #[must_use]
    pub fn has(&self, id: &InvocationId) -> bool {
        self.channel.has(id)
    }

    /// How many jobs the worker serves.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.channel.jobs()
    }

    /// Whether the worker serves the job.
    #[must_use]
    pub fn serves(&self, job: JobId) -> bool {
        self.channel.serves(job)
    }

    /// Hands a job's first calls over; `None` when the worker has ended.
    ///
    /// # Errors
    /// When the request cannot be encoded.
    pub fn invoke(&self, request: &InvokeRequest) -> Result<Option<Invocation>> {
        self.channel.invoke(request)
    }

    /// Ends the calls of an invocation, if this worker runs it.
    pub fn cancel(&self, id: &InvocationId) {
        self.channel.cancel(id);
    }

    /// Tells a worker of a fleet to take no further job, and to end when it has none.
    pub fn let_go(&self) {
        self.channel.let_go();
    }

    /// Kills the process at once; its sub-workers end with it.
    pub fn kill(&self) {
        if self.is_alive() {
            kill(self.pid);
        }
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // An error says that the process has ended by itself meanwhile.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// A process that is killed when this value is dropped.
#[derive(Debug)]
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            kill(self.0.id());
            // The process ends at once, and must not stay as a zombie.
            let _ = self.0.wait();
        }
    }
}

/// Waits for the end of the process, and a little for its last output. The channel is closed, so that a
/// process that lives on is killed after a while.
async fn end_of(
    mut child: Started,
    reader: JoinHandle<()>,
    said: Arc<Mutex<VecDeque<u8>>>,
    broken: Option<Error>,
) -> ExitReason {
    let ended = ended(&mut child.0, broken.is_some()).await;
    // A grandchild may hold the pipe open: then the output that has been read so far must be enough.
    let stop = reader.abort_handle();
    if timeout(LAST_WORDS, reader).await.is_err() {
        stop.abort();
    }
    match (broken, ended) {
        (Some(error), _) if error.kind() == ErrorKind::Io => ExitReason::Broken(words(&error)),
        (Some(error), _) => ExitReason::Refused(words(&error)),
        (None, Ok((_, true))) => ExitReason::Lost(format!(
            "its worker closed its channel, lived on, and was ended{}",
            last_words(&said)
        )),
        (None, Ok((status, false))) => reason(status, &said),
        (None, Err(error)) => unknown(&error),
    }
}

/// How a process has ended, and whether it had to be killed: at once if `now`, otherwise after [`TO_END`].
async fn ended(child: &mut Child, mut now: bool) -> io::Result<(ExitStatus, bool)> {
    let (since, mut pause, mut is_killed) = (Instant::now(), FIRST_LOOK, false);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, is_killed));
        }
        if now && !is_killed {
            kill(child.id());
            is_killed = true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
        now |= since.elapsed() > TO_END;
    }
}

fn words(error: &Error) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}

fn unknown(error: &dyn std::fmt::Display) -> ExitReason {
    ExitReason::Lost(format!("its worker ended, and how is not known: {error}"))
}

fn said_by(said: &Mutex<VecDeque<u8>>) -> String {
    let words: Vec<_> = said.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
    String::from_utf8_lossy(&words).trim().to_owned()
}

fn last_words(said: &Mutex<VecDeque<u8>>) -> String {
    let words = said_by(said);
    if words.is_empty() { String::new() } else { format!("; it said: {words}") }
}

fn reason(status: ExitStatus, said: &Mutex<VecDeque<u8>>) -> ExitReason {
    let (words, said) = (said_by(said), last_words(said));
    match (status.code(), status.signal()) {
        (Some(EXIT_REFUSED), _) => ExitReason::Refused(words.trim_start_matches("lithops: ").to_owned()),
        (Some(process::EXIT_NOT_INITIALISED), _) => ExitReason::Refused(words),
        (Some(code), _) => ExitReason::Lost(format!("its worker exited with code {code}{said}")),
        (None, Some(signal)) => ExitReason::Lost(format!("its worker died of signal {signal}{said}")),
        (None, None) => ExitReason::Lost(format!("its worker ended{said}")),
    }
}

/// Keeps the last part of the output of a worker itself, which explains an unexpected end.
async fn keep_output(mut output: pipe::Receiver, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut part = [0; 1024];
    while let Ok(read @ 1..) = output.read(&mut part).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&part[..read]);
        let excess = kept.len().saturating_sub(OUTPUT);
        kept.drain(..excess);
    }
}
