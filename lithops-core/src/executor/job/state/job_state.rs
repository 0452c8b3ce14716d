//! [`JobState`]: the state that a job's handles share with the task that drives the job.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::Instant,
};

use crate::{
    error::{CallError, CallErrorKind, Error, Result},
    executor::{
        job::{
            CallSource, CallSources, JobCleanup, JobEvent, Outcomes, Progress, Repeat, account::JobWorkers,
            background::MayFinish,
        },
        terminal::ShownLogs,
    },
    fork,
    id::{CallId, JobId},
    plan::Plan,
    protocol::{CallStats, Report, failed_together},
    storage::Locator,
};

/// Counts of what happened to the job besides outcomes; [`Progress`] has the same counts for users.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) retried: u64,
    pub(crate) lost_workers: u64,
    pub(crate) throttled: u64,
    pub(crate) speculated: u64,
    pub(crate) restored: u64,
    pub(crate) waiting_workers: u64,
}

/// The state that a job's handles share with the task that drives the job.
#[derive(Debug)]
pub struct JobState {
    pub(super) id: JobId,
    function: String,
    inner: Mutex<Inner>,
    changed: Notify,
    commands: mpsc::UnboundedSender<Command>,
    pub(super) observers: Option<broadcast::Sender<JobEvent>>,
    /// The storage of a durable job; `None` for other jobs.
    locator: Option<Locator>,
    /// Removes the stored data of a durable job, with the last handle.
    cleanup: Option<Arc<JobCleanup>>,
    /// Whether waiting for the job may show a progress bar.
    shown: bool,
    /// What of the calls' output was shown, in jobs that show it.
    pub(super) shown_logs: Option<Mutex<ShownLogs>>,
    /// The job whose outcomes are the input of this one, where this one cannot begin before they are there.
    before: OnceLock<Arc<JobState>>,
    /// What the calls are given, as their user would name it.
    pub(super) sources: OnceLock<CallSources>,
    /// How the failed calls are run again.
    pub(super) repeat: Mutex<Repeat<JobState>>,
    /// Whether a driver is at work. A driver still has work after the last outcome, so it wakes the last
    /// waiters itself.
    driven: AtomicBool,
    /// Whether the driver has ended.
    over: AtomicBool,
}

/// A guard: while it exists, a task drives the job. Its drop wakes the tasks that wait for the job's end.
#[derive(Debug)]
pub(crate) struct Driven(Arc<JobState>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.driven.store(false, Ordering::Release);
        self.0.over.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

/// What the handles of a job may ask of the task that drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// End the job.
    Cancel,
    /// End these calls.
    CancelCalls(u64, u64),
    /// The program is being ended (Ctrl-C): end what runs, and leave stored data as it is.
    Interrupt,
}

/// The channel on which a job's driver receives [`Command`]s.
pub type Commands = mpsc::UnboundedReceiver<Command>;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) outcomes: Outcomes,
    pub(super) known: u64,
    complete: bool,
    /// Whether the inputs have not ended. `known` is then the length that the iterator announced, which may
    /// be wrong.
    open: bool,
    error: Option<Error>,
    pub(super) plan: Plan,
    /// The plan with which the job started, before its own measurements; predictions are taken from it.
    pub(super) first_plan: Plan,
    counts: Counts,
    pub(super) workers: JobWorkers,
    /// When the last call got its outcome; `None` before. Workers cost the job nothing after that.
    pub(super) finished: Option<Instant>,
    /// Another client drives the job.
    reading: bool,
    /// The program is being ended.
    interrupted: bool,
    /// This program has cancelled the job.
    cancelled: bool,
}

impl Inner {
    fn progress(&self) -> Progress {
        Progress {
            known: self.known,
            complete: self.complete,
            done: self.outcomes.done().len(),
            failed: self.outcomes.failed(),
            retried: self.counts.retried,
            lost_workers: self.counts.lost_workers,
            throttled: self.counts.throttled,
            waiting_workers: self.counts.waiting_workers,
            speculated: self.counts.speculated,
            restored: self.counts.restored,
            reading: self.reading,
            open: self.open,
        }
    }
}

impl MayFinish for JobState {
    fn is_finished(&self) -> bool {
        self.progress().is_finished()
    }
}

impl JobState {
    /// The state of a job that was just planned, and the receiver of its commands. `known` is the number of
    /// calls; `None` if it is not known yet.
    #[must_use]
    pub fn new(id: JobId, function: impl Into<String>, plan: Plan, known: Option<u64>) -> (Self, Commands) {
        let (commands, received) = mpsc::unbounded_channel();
        let inner = Inner {
            outcomes: Outcomes::default(),
            known: known.unwrap_or(0),
            complete: known.is_some(),
            open: false,
            error: None,
            first_plan: plan.clone(),
            plan,
            counts: Counts::default(),
            workers: JobWorkers::default(),
            finished: None,
            reading: false,
            interrupted: false,
            cancelled: false,
        };
        (
            Self {
                id,
                function: function.into(),
                inner: Mutex::new(inner),
                changed: Notify::new(),
                commands,
                observers: None,
                locator: None,
                cleanup: None,
                shown: false,
                shown_logs: None,
                before: OnceLock::new(),
                sources: OnceLock::new(),
                repeat: Mutex::default(),
                driven: AtomicBool::new(false),
                over: AtomicBool::new(false),
            },
            received,
        )
    }

    /// Marks the inputs as not ended: the number of calls is what the iterator announced, until the inputs
    /// end.
    #[must_use]
    pub(crate) fn open(mut self) -> Self {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).open = true;
        self
    }

    /// Sends the job's events to `observers`.
    #[must_use]
    pub fn observed_by(mut self, observers: broadcast::Sender<JobEvent>) -> Self {
        self.observers = Some(observers);
        self
    }

    /// Makes this the state of a stored job; `cleanup` removes the stored data with the last handle.
    #[must_use]
    pub(crate) fn stored_at(mut self, locator: Locator, cleanup: Option<Arc<JobCleanup>>) -> Self {
        (self.locator, self.cleanup) = (Some(locator), cleanup);
        self
    }

    /// Sets whether waiting for the job may show a progress bar.
    #[must_use]
    pub(crate) fn shown(mut self, shown: bool) -> Self {
        self.shown = shown;
        self
    }

    /// Sets whether what the calls print is shown on stderr.
    #[must_use]
    pub(crate) fn shows_logs(mut self, shows: bool) -> Self {
        self.shown_logs = shows.then(Mutex::default);
        self
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Makes this the reduction of `maps`.
    pub(crate) fn set_before(&self, maps: &Arc<Self>) {
        // A reduction has its maps once.
        let _ = self.before.set(Arc::clone(maps));
    }

    /// The job whose progress says how far this one is: its maps, as long as they run.
    pub(crate) fn stage_shown(self: &Arc<Self>) -> Arc<Self> {
        let maps = self.before.get().filter(|maps| !maps.progress().is_finished());
        Arc::clone(maps.unwrap_or(self))
    }

    /// The maps of this reduction; `None` for other jobs.
    pub(crate) fn maps(&self) -> Option<Arc<Self>> {
        self.before.get().cloned()
    }

    /// Sets what the calls are given, where that is not just the input of the same number.
    pub(crate) fn set_sources(&self, sources: CallSources) {
        // A job has its inputs once.
        let _ = self.sources.set(sources);
    }

    /// What a call was given.
    pub(crate) fn source(&self, call: u64) -> CallSource {
        self.sources.get().unwrap_or(&CallSources::Inputs).of(call)
    }

    /// The storage of a durable job; `None` for other jobs.
    #[must_use]
    pub fn locator(&self) -> Option<&Locator> {
        self.locator.as_ref()
    }

    /// Keeps the stored data when the last handle is dropped: another process will need it.
    pub(crate) fn detach(&self) {
        if let Some(cleanup) = &self.cleanup {
            cleanup.stays();
        }
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The function's display name.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Sets whether another client drives the job, so that this client only reads it.
    pub(crate) fn set_reading(&self, reading: bool) {
        self.lock().reading = reading;
        self.changed.notify_waiters();
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.lock().progress()
    }

    /// Changes the job's counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock().counts);
    }

    /// Notes that a task begins to drive the job, until the returned guard is dropped.
    pub(crate) fn drive(self: &Arc<Self>) -> Driven {
        self.driven.store(true, Ordering::Release);
        Driven(Arc::clone(self))
    }

    /// Whether the driver has ended. The method takes no lock, so that it can be polled in a loop.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Sets how many calls are known, and whether that number is final.
    pub fn set_known(&self, known: u64, complete: bool) {
        let mut inner = self.lock();
        let before = (inner.known, inner.complete, inner.open);
        inner.known = inner.known.max(known);
        if complete {
            (inner.known, inner.complete, inner.open) = (known, true, false);
            if inner.progress().is_finished() {
                inner.finished.get_or_insert_with(Instant::now);
            }
        }
        let has_changed = before != (inner.known, inner.complete, inner.open);
        drop(inner);
        if has_changed {
            self.changed.notify_waiters();
        }
    }

    /// Makes outcomes visible.
    pub fn commit(&self, reports: impl IntoIterator<Item = Report>) {
        self.change_outcomes(|outcomes| reports.into_iter().for_each(|report| outcomes.insert(report)));
    }

    /// Makes ranges of calls visible as failed with the same encoded error. A range takes as much memory as
    /// one call.
    pub(crate) fn commit_failed(&self, calls: &[(u64, u64)], error: &[u8]) {
        self.change_outcomes(|outcomes| {
            for (first, end) in calls {
                failed_together(self.id, vec![(*first, first + 1)], error)
                    .for_each(|report| outcomes.insert_together(*end, report));
            }
        });
    }

    fn change_outcomes(&self, change: impl FnOnce(&mut Outcomes)) {
        let mut inner = self.lock();
        let before = inner.outcomes.done().len();
        change(&mut inner.outcomes);
        let progress = inner.progress();
        if progress.is_finished() {
            inner.finished.get_or_insert_with(Instant::now);
        }
        drop(inner);
        // Before the waiters are woken: what a call has printed is there before its result is.
        self.show_rest_of_logs();
        // Waiters for the job's end are woken when the driver ends: only then are the workers free for the
        // next job.
        if !(progress.is_finished() && self.driven.load(Ordering::Acquire)) {
            self.changed.notify_waiters();
        }
        if progress.done > before {
            self.tell(|| JobEvent::Done { job: self.id, progress });
        }
    }

    /// Ends the job with an error: calls without an outcome will get none. Only the first error is kept.
    pub fn fail(&self, error: Error) {
        let reason = error.to_string();
        self.lock().error.get_or_insert(error);
        self.changed.notify_waiters();
        self.tell(|| JobEvent::Failed { job: self.id, reason });
    }

    /// Asks the task that drives the job to end it.
    pub fn cancel(&self) {
        self.lock().cancelled = true;
        // The receiver is gone when the job is finished; there is nothing to cancel then.
        let _ = self.commands.send(Command::Cancel);
    }

    /// Asks the task that drives the job to end some of its calls.
    pub fn cancel_calls(&self, first: u64, end: u64) {
        // The receiver is gone when the job is finished; there is nothing to cancel then.
        let _ = self.commands.send(Command::CancelCalls(first, end));
    }

    /// Tells the task that drives the job that the program is being ended.
    pub(crate) fn interrupt(&self) {
        self.lock().interrupted = true;
        // The receiver is gone when the job is finished; there is nothing to end then.
        let _ = self.commands.send(Command::Interrupt);
    }

    /// Whether the program is being ended by Ctrl-C.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Whether this program has cancelled the job.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// Whether the job was detached: its workers may go on without this program.
    pub(crate) fn is_detached(&self) -> bool {
        self.cleanup.as_ref().is_some_and(|cleanup| cleanup.is_kept())
    }

    /// Waits until `condition` holds. It is called under the job's lock, and must be quick.
    ///
    /// # Errors
    /// The job's error, if the job failed before the condition held; or this process is a fork of the one
    /// with the job.
    pub async fn wait_for(&self, condition: impl Fn(&Outcomes, &Progress) -> bool) -> Result<()> {
        fork::refuse()?;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let inner = self.lock();
                let progress = inner.progress();
                if condition(&inner.outcomes, &progress) {
                    return Ok(());
                }
                if let Some(error) = &inner.error {
                    return Err(error.again());
                }
            }
            changed.await;
        }
    }

    /// Calls `read` with the outcomes, under the job's lock.
    pub fn read<T>(&self, read: impl FnOnce(&Outcomes) -> T) -> T {
        read(&self.lock().outcomes)
    }

    /// A report of the one call, without a copy of its value; `None` if the call has no outcome.
    #[must_use]
    pub fn report_of(&self, call: u64) -> Option<Report> {
        let inner = self.lock();
        let (report, index) = inner.outcomes.get(call)?;
        Some(report.slice(u32::try_from(index).ok()?, 1))
    }

    /// When and where a call ran; `None` if the call has no outcome.
    #[must_use]
    pub fn stats(&self, call: u64) -> Option<CallStats> {
        let inner = self.lock();
        let (report, index) = inner.outcomes.get(call)?;
        Some(report.stats(index))
    }

    /// The error of the failed call at `index` of a report, completed with the attempt, the end of its log,
    /// and its function's name.
    #[must_use]
    pub fn call_error(&self, outcomes: &Outcomes, report: &Report, index: usize) -> CallError {
        let call = report.header.run.first + index as u64;
        let error: CallError = rmp_serde::from_slice(report.value(index)).unwrap_or_else(|error| {
            CallError::new(
                CallErrorKind::Undecodable,
                format!("the call failed, and its error does not decode: {error}"),
            )
        });
        let tail = outcomes.log(call).map(|log| log.last(32 << 10)).unwrap_or_default();
        let error = error
            .with_attempts(report.header.run.attempt)
            .with_log_tail(&tail)
            .with_call(CallId::from(call), &self.function);
        match self.sources.get().filter(|sources| sources.says_more()) {
            Some(sources) => error.with_input(sources.of(call).to_string()),
            None => error,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
