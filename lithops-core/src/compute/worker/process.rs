//! [`WorkerProcess`]: a worker that is a process, and the channel to it.

use std::{
    collections::VecDeque,
    io::{PipeReader, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use rustix::process::{Pid, Signal, kill_process_group};

use super::WorkerChannel;
use crate::{
    compute::{ExitReason, Invocation, InvocationId, InvokeRequest},
    error::{Error, ErrorKind, Result},
    fleet::Launch,
    id::JobId,
    process,
    protocol::{Program, Role, Secrets, Setup},
};

/// How long a process that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(500);
/// How much of a worker's own output is kept, to explain its end.
const OUTPUT: usize = 4 << 10;
/// The code of a worker that says itself why it cannot serve.
const EXIT_REFUSED: i32 = 88;

/// A worker that is a process of this machine, or is reached through one. It ends when the last handle to it goes.
#[derive(Debug)]
pub struct WorkerProcess {
    pid: u32,
    channel: Arc<WorkerChannel>,
}

impl WorkerProcess {
    /// Starts a worker from `runtime`, whose sub-workers are `program`; it is told everything at once and need not be
    /// waited for. Must be called inside a runtime that stays.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(runtime: &Program, program: &Program, secrets: Option<&Secrets>) -> Result<Self> {
        Self::greeted(runtime, &Setup { program: program.clone(), grace: GRACE, launch: None }, secrets)
    }

    /// Starts a worker of a fleet: it finds its jobs itself.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn launch(runtime: &Program, program: &Program, launch: Launch) -> Result<Self> {
        Self::greeted(runtime, &Setup { program: program.clone(), grace: GRACE, launch: Some(launch) }, None)
    }

    fn greeted(runtime: &Program, setup: &Setup, secrets: Option<&Secrets>) -> Result<Self> {
        let (output, writing) = std::io::pipe()?;
        let (child, stream) =
            process::spawn(runtime, Role::Worker, OwnedFd::from(writing)).map_err(|error| {
                Error::new(
                    ErrorKind::WorkerLost,
                    format!("cannot start a worker from `{}`: {error}", runtime.path.display()),
                )
                .with_source(error)
            })?;
        let pid = child.id();
        let said = Arc::new(Mutex::default());
        let keeps = Arc::clone(&said);
        let reader = thread::Builder::new().name("lithops-output".into()).stack_size(64 << 10);
        let reader = reader.spawn(move || keep_output(output, &keeps))?;
        let how_it_ended = move |broken: Option<Error>| {
            async move {
                let waited = tokio::task::spawn_blocking(move || wait(child, &reader, broken)).await;
                match waited {
                    Ok(Ok(status)) => reason(status, &said),
                    Ok(Err(reason)) => reason,
                    Err(error) => unknown(&error),
                }
            }
            .boxed()
        };
        let channel = WorkerChannel::greet(pid.to_string(), stream, setup, secrets, Box::new(how_it_ended))?;
        Ok(Self { pid, channel: Arc::new(channel) })
    }

    /// Whether it has not ended, as far as is known.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.channel.is_alive()
    }

    /// How it has ended, once that is known.
    #[must_use]
    pub fn ended(&self) -> Option<ExitReason> {
        self.channel.ended()
    }

    /// How many jobs it serves.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.channel.jobs()
    }

    /// Whether it serves a job.
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

    /// Ends the calls of an invocation, if it is one of this worker.
    pub fn cancel(&self, id: &InvocationId) {
        self.channel.cancel(id);
    }

    /// Tells a worker of a fleet to take no further job, and to end when it has none.
    pub fn let_go(&self) {
        self.channel.let_go();
    }

    /// Ends the process, at once; its sub-workers end with it.
    pub fn kill(&self) {
        if self.is_alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Waits for the process, and a little for its last words.
fn wait(
    mut child: Child,
    output: &thread::JoinHandle<()>,
    broken: Option<Error>,
) -> Result<ExitStatus, ExitReason> {
    if let Some(error) = broken {
        // It sends what nobody understands: there is no use in waiting for it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(ExitReason::Refused(error.to_string()));
    }
    let status = child.wait().map_err(|error| unknown(&error));
    // A grandchild may hold the pipe open; then what has been read so far must do.
    if !output.is_finished() {
        thread::sleep(Duration::from_millis(20));
    }
    status
}

fn unknown(error: &dyn std::fmt::Display) -> ExitReason {
    ExitReason::Lost(format!("its worker ended, and how is not known: {error}"))
}

fn reason(status: ExitStatus, said: &Mutex<VecDeque<u8>>) -> ExitReason {
    let words: Vec<_> = said.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    let said = if words.is_empty() { String::new() } else { format!("; it said: {words}") };
    match (status.code(), status.signal()) {
        (Some(EXIT_REFUSED), _) => ExitReason::Refused(words.trim_start_matches("lithops: ").to_owned()),
        (Some(process::EXIT_NOT_INITIALISED), _) => ExitReason::Refused(words),
        (Some(code), _) => ExitReason::Lost(format!("its worker exited with code {code}{said}")),
        (None, Some(signal)) => ExitReason::Lost(format!("its worker died of signal {signal}{said}")),
        (None, None) => ExitReason::Lost(format!("its worker ended{said}")),
    }
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
