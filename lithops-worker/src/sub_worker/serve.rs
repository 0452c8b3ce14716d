//! The sub-worker's main loop.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io::Write,
    os::unix::net::UnixStream,
    sync::Arc,
};

use lithops_core::{
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    function::JobScope,
    id::JobId,
    nesting,
    protocol::{BlockingFrames, Calls, Forget, FrameKind, Hello, JobSpec, MAX_VALUE, Role, Secrets, Tag},
    storage,
};

use super::{
    call::SubWorkerJob,
    channel,
    log_marks::{LogMarks, OutputTarget},
    reporter::Reporter,
};
use crate::{
    clock,
    exit::{complain, leave_at_once},
    pool::Ledger,
};

/// Runs calls until the worker closes the channel; returns the exit code of the process.
pub(crate) fn run(channel: UnixStream) -> i32 {
    match serve(channel) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error.to_string());
            1
        }
    }
}

fn serve(channel: UnixStream) -> Result<()> {
    let (hello, ledger, nested) = channel::greet(&channel)?;
    nesting::offer(nested);
    let channel = Arc::new(channel);
    let marks = LogMarks::new(hello.about.log_mark)?;
    let reporter = Reporter::start(&channel)?;
    marks.start();
    let mut greeting = Vec::new();
    Hello::of(Role::SubWorker).write(&mut greeting)?;
    (&*channel).write_all(&greeting)?;

    let mut sub_worker = SubWorker {
        ledger,
        marks,
        reporter,
        jobs: HashMap::new(),
        entered: None,
        found: Vec::new(),
        value: Vec::new(),
    };
    let mut frames = BlockingFrames::new(channel);
    while let Some(frame) = frames.read()? {
        match frame.kind {
            FrameKind::Job => {
                let spec: JobSpec = frame.decode()?;
                sub_worker.jobs.insert(spec.job, SubWorkerJob::new(JobScope::new(spec)));
            }
            FrameKind::Calls => {
                if sub_worker.run_batch(Calls::read(&frame.body)?)? == OutputTarget::Elsewhere {
                    // The output of later calls would go into a file of this one: they run in another process.
                    return Ok(());
                }
            }
            FrameKind::Forget => {
                let Forget { job } = frame.decode()?;
                sub_worker.forget(job);
            }
            FrameKind::Secrets => {
                let Secrets { storage: place, secrets } = frame.decode()?;
                storage::give(&place, secrets.into_iter().collect());
            }
            kind => {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    format!("a sub-worker was sent a {kind:?} frame"),
                ));
            }
        }
    }
    Ok(())
}

/// The most capacity that is kept for values from batch to batch: memory that was used before is much faster than fresh
/// memory, and more than this is rarely needed again.
const KEPT: usize = 8 << 20;

struct SubWorker {
    ledger: Ledger,
    marks: LogMarks,
    reporter: Reporter,
    jobs: HashMap<JobId, SubWorkerJob>,
    /// The job whose environment variables are set, and the values that they had before.
    entered: Option<JobId>,
    found: Vec<(String, Option<OsString>)>,
    value: Vec<u8>,
}

impl SubWorker {
    /// Runs the calls of a batch until none is left, or one has replaced standard output.
    fn run_batch(&mut self, calls: Calls) -> Result<OutputTarget> {
        let id = calls.run.job;
        self.enter(id);
        let job = self.jobs.get(&id);
        let job =
            job.ok_or_else(|| Error::new(ErrorKind::Unexpected, "calls of a job that was not announced"))?;
        self.reporter.begin_batch(calls.clone());
        let offset = clock::epoch_offset();
        let mut now = clock::monotonic();
        let mut output = OutputTarget::Logged;
        while let Some(index) = self.ledger.claim(calls.batch, calls.run.count, now) {
            nesting::begin_call(calls.run.first + u64::from(index));
            self.value.clear();
            let started = now;
            let outcome = job.run(&calls, index, &mut self.value);
            LogMarks::flush();
            now = clock::monotonic();
            let took = now.saturating_sub(started);
            let tag = match outcome.and_then(|()| fits(&self.value)) {
                Ok(()) => Tag::Ok,
                Err(error) => {
                    self.value = error.encode();
                    Tag::Failed
                }
            };
            // The mark comes before the outcome, so that the log is complete when the worker sees the outcome.
            let mut was_quick = !self.marks.end_call(calls.batch, index, took, job.scope.spec.live_logs);
            if self.marks.may_have_replaced(took, index + 1 == calls.run.count) {
                if !self.reporter.has_channel() {
                    // The call stays the running one in the ledger, and so is the one to blame.
                    self.ledger.cut_off();
                    leave_at_once(1);
                }
                output = self.marks.output();
                was_quick = false;
            }
            was_quick &=
                !self.reporter.add(tag, &self.value, started.wrapping_add(offset), now.wrapping_add(offset));
            // The end of a call is the start of the next one, because to read the clock takes as long as a short call;
            // unless system calls came between.
            if !was_quick {
                now = clock::monotonic();
            }
            self.ledger.finish(calls.batch, index + 1);
            if output == OutputTarget::Elsewhere {
                break;
            }
        }
        self.ledger.rest();
        self.reporter.end_batch(output == OutputTarget::Logged);
        if self.value.capacity() > KEPT {
            self.value = Vec::new();
        }
        Ok(output)
    }

    fn forget(&mut self, id: JobId) {
        if self.entered == Some(id) {
            self.leave();
        }
        self.jobs.remove(&id);
    }

    /// Sets the environment variables of a job, after those of the job before were set back.
    fn enter(&mut self, id: JobId) {
        if self.entered == Some(id) {
            return;
        }
        self.leave();
        let Some(job) = self.jobs.get(&id) else { return };
        nesting::enter_job(&job.scope.spec);
        for (name, value) in &job.scope.spec.env {
            self.found.push((name.clone(), std::env::var_os(name)));
            set_variable(name, Some(value.as_ref()));
        }
        self.entered = Some(id);
    }

    fn leave(&mut self) {
        self.entered = None;
        self.found.drain(..).rev().for_each(|(name, value)| set_variable(&name, value.as_deref()));
    }
}

#[expect(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "user code reads its variables from the environment"
)]
fn set_variable(name: &str, value: Option<&OsStr>) {
    // SAFETY: no call runs, and neither the keeper nor the thread that drives nested jobs reads the environment itself.
    // This is not enough to rule out every other reader: a thread that an earlier call has left behind may read it
    // through C, and so may the resolution of a host name for a storage that such a call has opened. Readers in Rust
    // take the lock of the standard library, those in C must not run while the variables of a job change.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}

fn fits(value: &[u8]) -> Result<(), CallError> {
    if value.len() <= MAX_VALUE {
        return Ok(());
    }
    let message = format!(
        "the result has {} bytes, and the limit is {MAX_VALUE}: put it into the storage and return its name",
        value.len()
    );
    Err(CallError::new(CallErrorKind::Undecodable, message))
}
