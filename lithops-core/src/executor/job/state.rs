//! [`JobState`]: the state that a job's handles share with the task that drives the job.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::Instant,
};

use super::{
    Account, CallSource, CallSources, Progress, Repeat, Spending, account::JobWorkers, background::MayFinish,
};
use super::{JobCleanup, JobEvent, Outcomes};
use crate::{
    error::{CallError, CallErrorKind, Error, Result},
    executor::terminal::{ShownLogs, status_line},
    fork,
    id::{CallId, JobId},
    plan::{Plan, Workload},
    protocol::{CallStats, Logs, Report, Tag, failed_together},
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
    id: JobId,
    function: String,
    inner: Mutex<Inner>,
    changed: Notify,
    commands: mpsc::UnboundedSender<Command>,
    observers: Option<broadcast::Sender<JobEvent>>,
    /// The storage of a durable job; `None` for other jobs.
    locator: Option<Locator>,
    /// Removes the stored data of a durable job, with the last handle.
    cleanup: Option<Arc<JobCleanup>>,
    /// Whether waiting for the job may show a progress bar.
    shown: bool,
    /// What of the calls' output was shown, in jobs that show it.
    shown_logs: Option<Mutex<ShownLogs>>,
    /// The job whose outcomes are the input of this one, where this one cannot begin before they are there.
    before: OnceLock<Arc<JobState>>,
    /// What the calls are given, as their user would name it.
    sources: OnceLock<CallSources>,
    /// How the failed calls are run again.
    repeat: Mutex<Repeat<JobState>>,
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
struct Inner {
    outcomes: Outcomes,
    known: u64,
    complete: bool,
    /// Whether the inputs have not ended. `known` is then the length that the iterator announced, which may
    /// be wrong.
    open: bool,
    error: Option<Error>,
    plan: Plan,
    /// The plan with which the job started, before its own measurements; predictions are taken from it.
    first_plan: Plan,
    counts: Counts,
    workers: JobWorkers,
    /// When the last call got its outcome; `None` before. Workers cost the job nothing after that.
    finished: Option<Instant>,
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

impl Inner {
    /// Until when workers cost the job something.
    fn workers_until(&self) -> Instant {
        self.finished.unwrap_or_else(Instant::now)
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

    /// Sets how the job's failed calls are run again.
    pub(crate) fn set_repeat(&self, repeat: Repeat<Self>) {
        *self.repeat() = repeat;
    }

    /// How the job's failed calls are run again.
    pub(crate) fn repeat(&self) -> MutexGuard<'_, Repeat<Self>> {
        self.repeat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the job's end, and runs its failed calls again, as a new job. Calls that never ran are not
    /// among them.
    pub(crate) async fn retry_failed(&self) -> Result<Arc<Self>> {
        self.wait_for(|_, progress| progress.is_finished()).await?;
        let mut failed = self.failed();
        failed.retain(|call| self.has_run(*call));
        let sources = self.sources.get().cloned().unwrap_or_default();
        let (start, failed) = self.repeat().prepare(failed, sources)?;
        start(failed).await
    }

    /// Whether a failed call was not just cancelled.
    fn has_run(&self, call: u64) -> bool {
        let Some(report) = self.report_of(call) else { return false };
        self.read(|outcomes| *self.call_error(outcomes, &report, 0).kind() != CallErrorKind::Cancelled)
    }

    /// The numbers of the calls that have failed so far. Announced calls whose inputs were never produced are
    /// not among them.
    pub(crate) fn failed(&self) -> Vec<u64> {
        self.read(|outcomes| {
            let calls = outcomes.reports().flat_map(|report| {
                let failed = (0..report.len()).filter(|index| report.tag(*index) != Tag::Ok);
                failed.map(|index| report.header.run.first + index as u64)
            });
            calls.collect()
        })
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

    /// The present plan, for the number of calls that is known so far.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let inner = self.lock();
        inner.plan.for_calls(inner.known)
    }

    /// The plan with which the job was started, for the number of calls that is known so far.
    pub(crate) fn first_plan(&self) -> Plan {
        let inner = self.lock();
        inner.first_plan.for_calls(inner.known)
    }

    pub(crate) fn set_plan(&self, plan: Plan) {
        self.lock().plan = plan;
    }

    /// Sets the workload from the history, which was read after the start. A workload that is already there
    /// is kept: it is better.
    pub(crate) fn expect(&self, workload: &Workload) {
        let mut inner = self.lock();
        if inner.first_plan.workload().is_none() {
            inner.first_plan = inner.first_plan.with_workload(workload.clone());
        }
        if inner.plan.workload().is_none() {
            inner.plan = inner.plan.with_workload(workload.clone());
        }
    }

    /// What the job's workers have used so far, including those that still live.
    pub(crate) fn account(&self) -> Account {
        let inner = self.lock();
        inner.workers.account(inner.workers_until(), &inner.plan)
    }

    /// What the job's workers cost while they run.
    #[must_use]
    pub fn spending(&self) -> Spending {
        let inner = self.lock();
        inner.workers.spending(inner.workers_until(), &inner.plan)
    }

    /// What the workers cost that ran on when the job ended.
    pub(crate) fn stayed(&self) -> Spending {
        self.lock().workers.stayed()
    }

    /// Notes that a worker was requested.
    pub(crate) fn worker_began(&self, number: u64) {
        self.lock().workers.began(number);
    }

    /// Notes what a live worker costs in an hour, in US dollars.
    pub(crate) fn worker_costs(&self, number: u64, hour_usd: f64) {
        self.lock().workers.costs(number, hour_usd);
    }

    /// Notes that a worker has ended. With `was_started` false it never ran, and is not counted.
    pub(crate) fn worker_ended(&self, number: u64, was_started: bool) {
        let mut inner = self.lock();
        let until = inner.workers_until();
        let Inner { workers, plan, .. } = &mut *inner;
        workers.ended(number, was_started, until, plan);
    }

    /// Notes that the live workers are the job's no more, and run on.
    pub(crate) fn workers_stay(&self) {
        let mut inner = self.lock();
        let until = inner.workers_until();
        let Inner { workers, plan, .. } = &mut *inner;
        workers.stay(until, plan);
    }

    /// Counts chunks that were handed over.
    pub(crate) fn handed_over(&self, chunks: u64) {
        self.lock().workers.handed_over(chunks);
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

    /// Sends an event to the observers. The event is only made if there are any.
    pub(crate) fn tell(&self, event: impl FnOnce() -> JobEvent) {
        if let Some(observers) = self.observers.as_ref().filter(|observers| observers.receiver_count() > 0) {
            // The last observer may have gone meanwhile, which is no error.
            let _ = observers.send(event());
        }
    }

    /// Says what `workers` workers wait for, or with no words that none waits any more.
    pub fn say_waiting(&self, workers: usize, why: &str) {
        if !why.is_empty() {
            tracing::warn!(job = %self.id, workers, "workers wait: {why}");
            if status_line::is_watched() {
                let why = why.escape_debug();
                status_line::print_above(&format!("lithops: {workers} workers wait: {why}\n"));
            }
        }
        self.tell(|| JobEvent::Waiting { job: self.id, workers, why: why.to_owned() });
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

    /// Adds the output of calls, which may still run: further output of a call replaces the earlier one, and
    /// begins with it. `worker` is the number of the worker that ran them; `None` where that is not known.
    pub fn add_logs(&self, logs: Logs, worker: Option<u64>) {
        if let Some(shown) = &self.shown_logs {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let lines: String = logs.entries.iter().map(|entry| shown.next(entry, worker)).collect();
            status_line::print_above(&lines);
        }
        let mut inner = self.lock();
        logs.entries.into_iter().for_each(|entry| inner.outcomes.insert_log(entry));
    }

    /// Shows what is left of the output of calls that have got their outcome.
    fn show_rest_of_logs(&self) {
        let Some(shown) = &self.shown_logs else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<u64> = shown.open().collect();
        let lines: String = self.read(|outcomes| {
            let ended = open.into_iter().filter(|call| outcomes.done().contains(*call));
            ended.map(|call| shown.rest(call, outcomes.log(call))).collect()
        });
        status_line::print_above(&lines);
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
