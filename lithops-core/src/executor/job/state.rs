//! [`JobState`]: what the handles of a job see of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::Instant,
};

use super::Progress;
use super::{JobCleanup, JobEvent, Outcomes};
use crate::{
    error::{CallError, CallErrorKind, Error, Result},
    fork,
    id::{CallId, JobId},
    plan::{Plan, Workload},
    protocol::{CallStats, Report, failed_together},
    storage::Locator,
};

/// What the workers of a job have come to so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Account {
    /// How many were started.
    pub workers: u64,
    /// How many chunks, or parts of them that were tried again, were handed over.
    pub hand_overs: u64,
    /// How long workers worked for the job, together.
    pub lived: Duration,
    /// How much of that is billed.
    pub billed: Duration,
    /// What it all costs, in US dollars.
    pub usd: f64,
}

impl Account {
    fn add(&mut self, lived: Duration, plan: &Plan) {
        let (billed, usd) = plan.bill(lived.as_secs_f64());
        self.lived += lived;
        self.billed = self.billed.saturating_add(billed);
        self.usd += usd;
    }
}

/// What happened on the way, beside outcomes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) account: Account,
    pub(crate) retried: u64,
    pub(crate) lost_workers: u64,
    pub(crate) throttled: u64,
    pub(crate) speculated: u64,
    pub(crate) restored: u64,
}

/// What the handles of a job share with the task that drives it.
#[derive(Debug)]
pub struct JobState {
    id: JobId,
    function: String,
    inner: Mutex<Inner>,
    changed: Notify,
    commands: mpsc::UnboundedSender<Command>,
    observers: Option<broadcast::Sender<JobEvent>>,
    /// Where it is stored, when it is durable.
    locator: Option<Locator>,
    /// What is stored of it, to be removed with the last handle.
    cleanup: Option<Arc<JobCleanup>>,
    /// Whether waiting for it may show how far it is.
    shown: bool,
    /// Whether a task drives it, which has something left to do after its last outcome.
    driven: AtomicBool,
    /// Whether a task that drove it has ended.
    over: AtomicBool,
}

/// A task drives the job as long as this is there; whoever waits for the job's end is woken afterwards.
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
    /// The program is being ended: end what runs, and leave everything else as it is.
    Interrupt,
}

/// Where a job's task hears of them.
pub type Commands = mpsc::UnboundedReceiver<Command>;

#[derive(Debug)]
struct Inner {
    outcomes: Outcomes,
    known: u64,
    complete: bool,
    /// Whether the inputs have not ended: their length was what they said, and an iterator may be wrong about it.
    open: bool,
    error: Option<Error>,
    plan: Plan,
    /// The plan as it was when the job started, which nothing was measured for.
    first_plan: Plan,
    counts: Counts,
    /// The workers that are there, and since when.
    workers: BTreeMap<u64, Instant>,
    /// Since when every call has an outcome.
    finished: Option<Instant>,
    /// Another client drives the job.
    reading: bool,
    /// The program is being ended.
    interrupted: bool,
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
            speculated: self.counts.speculated,
            restored: self.counts.restored,
            reading: self.reading,
            open: self.open,
        }
    }
}

impl JobState {
    /// The state of a job that has just been planned, and the receiver of its commands.
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
            workers: BTreeMap::new(),
            finished: None,
            reading: false,
            interrupted: false,
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
                driven: AtomicBool::new(false),
                over: AtomicBool::new(false),
            },
            received,
        )
    }

    /// The same, while its inputs come: the number of calls is what they say, until they end.
    #[must_use]
    pub(crate) fn open(mut self) -> Self {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).open = true;
        self
    }

    /// The same, telling everything that happens to `observers`.
    #[must_use]
    pub fn observed_by(mut self, observers: broadcast::Sender<JobEvent>) -> Self {
        self.observers = Some(observers);
        self
    }

    /// The same, of a job that is stored, and of what is to go with its last handle.
    #[must_use]
    pub(crate) fn stored_at(mut self, locator: Locator, cleanup: Option<Arc<JobCleanup>>) -> Self {
        (self.locator, self.cleanup) = (Some(locator), cleanup);
        self
    }

    /// The same, whose progress may be shown to a person who waits for it.
    #[must_use]
    pub(crate) fn shown(mut self, shown: bool) -> Self {
        self.shown = shown;
        self
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Where it is stored, when it is durable.
    #[must_use]
    pub fn locator(&self) -> Option<&Locator> {
        self.locator.as_ref()
    }

    /// Keeps what is stored of it when its last handle goes: somebody else will want it.
    pub(crate) fn detach(&self) {
        if let Some(cleanup) = &self.cleanup {
            cleanup.stays();
        }
    }

    /// The job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The function's name, for people.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// The plan, for as many calls as are known.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let inner = self.lock();
        inner.plan.for_calls(inner.known)
    }

    /// The plan that it was started with.
    pub(crate) fn first_plan(&self) -> Plan {
        let inner = self.lock();
        inner.first_plan.for_calls(inner.known)
    }

    pub(crate) fn set_plan(&self, plan: Plan) {
        self.lock().plan = plan;
    }

    /// What earlier jobs took has been read, unless something better is known already.
    pub(crate) fn expect(&self, workload: &Workload) {
        let mut inner = self.lock();
        if inner.first_plan.workload().is_none() {
            inner.first_plan = inner.first_plan.with_workload(workload.clone());
        }
        if inner.plan.workload().is_none() {
            inner.plan = inner.plan.with_workload(workload.clone());
        }
    }

    /// What its workers have come to so far.
    pub(crate) fn account(&self) -> Account {
        let inner = self.lock();
        let mut account = inner.counts.account;
        let until = inner.finished.unwrap_or_else(Instant::now);
        for began in inner.workers.values() {
            account.add(until.saturating_duration_since(*began), &inner.plan);
        }
        account.usd += inner.plan.requests_usd(account.hand_overs);
        account
    }

    /// A worker was asked for.
    pub(crate) fn worker_began(&self, number: u64) {
        let mut inner = self.lock();
        inner.counts.account.workers += 1;
        inner.workers.insert(number, Instant::now());
    }

    /// A worker is there no longer, or was never started.
    pub(crate) fn worker_ended(&self, number: u64, was_started: bool) {
        let mut inner = self.lock();
        let Some(began) = inner.workers.remove(&number) else { return };
        if was_started {
            let until = inner.finished.unwrap_or_else(Instant::now);
            let Inner { counts, plan, .. } = &mut *inner;
            counts.account.add(until.saturating_duration_since(began), plan);
        } else {
            inner.counts.account.workers -= 1;
        }
    }

    /// So many chunks were handed over.
    pub(crate) fn handed_over(&self, chunks: u64) {
        self.lock().counts.account.hand_overs += chunks;
    }

    /// Says whether another client drives the job, so that this one only reads.
    pub(crate) fn set_reading(&self, reading: bool) {
        self.lock().reading = reading;
        self.changed.notify_waiters();
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.lock().progress()
    }

    /// Notes what happened on the way.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock().counts);
    }

    /// Tells observers, if there are any, what happened.
    pub(crate) fn tell(&self, event: impl FnOnce() -> JobEvent) {
        if let Some(observers) = self.observers.as_ref().filter(|observers| observers.receiver_count() > 0) {
            // The last of them may have gone meanwhile.
            let _ = observers.send(event());
        }
    }

    /// A task begins to drive it.
    pub(crate) fn drive(self: &Arc<Self>) -> Driven {
        self.driven.store(true, Ordering::Release);
        Driven(Arc::clone(self))
    }

    /// Whether the task that drove it has ended. Looking costs nothing.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Says how many calls are known, and whether that is all.
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

    /// Makes it visible that calls have failed with the same encoded error, however many they are.
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
        // The last ones are woken by whoever drives it, once its workers are free for the next job.
        if !(progress.is_finished() && self.driven.load(Ordering::Acquire)) {
            self.changed.notify_waiters();
        }
        if progress.done > before {
            self.tell(|| JobEvent::Done { job: self.id, progress });
        }
    }

    /// Keeps what calls have printed.
    pub fn add_logs(&self, logs: crate::protocol::Logs) {
        let mut inner = self.lock();
        logs.entries.into_iter().for_each(|entry| inner.outcomes.insert_log(entry));
    }

    /// Ends the job with an error: what has no outcome will have none.
    pub fn fail(&self, error: Error) {
        let reason = error.to_string();
        self.lock().error.get_or_insert(error);
        self.changed.notify_waiters();
        self.tell(|| JobEvent::Failed { job: self.id, reason });
    }

    /// Asks the task that drives the job to end it.
    pub fn cancel(&self) {
        // The receiver is gone when the job is finished; there is nothing to cancel then.
        let _ = self.commands.send(Command::Cancel);
    }

    /// Asks the task that drives the job to end some of its calls.
    pub fn cancel_calls(&self, first: u64, end: u64) {
        // As above.
        let _ = self.commands.send(Command::CancelCalls(first, end));
    }

    /// Tells the task that drives the job that the program is being ended.
    pub(crate) fn interrupt(&self) {
        self.lock().interrupted = true;
        // As above.
        let _ = self.commands.send(Command::Interrupt);
    }

    /// Whether the program is being ended.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Whether what runs may go on without this program.
    pub(crate) fn is_detached(&self) -> bool {
        self.cleanup.as_ref().is_some_and(|cleanup| cleanup.is_kept())
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// That of the job, when it ended with one before the condition held.
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

    /// Reads the outcomes; the lock is held meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&Outcomes) -> T) -> T {
        read(&self.lock().outcomes)
    }

    /// The report a call is in, if it has an outcome, without a copy of its values.
    #[must_use]
    pub fn report_of(&self, call: u64) -> Option<Report> {
        let inner = self.lock();
        let (report, index) = inner.outcomes.get(call)?;
        Some(report.slice(u32::try_from(index).ok()?, 1))
    }

    /// What is known of a call that has an outcome.
    #[must_use]
    pub fn stats(&self, call: u64) -> Option<CallStats> {
        let inner = self.lock();
        let (report, index) = inner.outcomes.get(call)?;
        Some(report.stats(index))
    }

    /// The error of a failed call, with everything the client knows of it.
    #[must_use]
    pub fn call_error(&self, outcomes: &Outcomes, report: &Report, index: usize) -> CallError {
        let call = report.header.run.first + index as u64;
        let error: CallError = rmp_serde::from_slice(report.value(index)).unwrap_or_else(|error| {
            CallError::new(
                CallErrorKind::Undecodable,
                format!("the call failed, and its error does not decode: {error}"),
            )
        });
        let tail = outcomes.log(call).map(|log| log.last(2048)).unwrap_or_default();
        error
            .with_attempts(report.header.run.attempt)
            .with_log_tail(tail)
            .with_call(CallId::from(call), &self.function)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
