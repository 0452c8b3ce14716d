//! The driver's loop.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use tokio::{
    sync::{OnceCell, oneshot},
    time::{Instant, sleep_until},
};
use tracing::Instrument;

use super::{
    Assignment, Ended, RetryIf, budget::Budget, commit_buffer::CommitBuffer, given::Given,
    payload_store::PayloadStore, stragglers::Pace, throttle::Throttle, tuning::Tuning, workers::Workers,
};
use crate::{
    compute::{CancelLevel, ComputeBackend, Event, Invocation, Liveness, Reports},
    error::{Error, ErrorKind, Result},
    executor::job::{Command, Commands, InputQueue, JobEvent, JobState, Measured, history::Learn, interrupt},
    plan::Plan,
    protocol::{Calls, InputBatch, JobSpec, Payloads, StoredCalls},
    tracker::{Tracker, Tracking},
};

/// Inputs are taken from the queue while fewer than this many wait for a worker.
const READY_CALLS: usize = 8 << 10;
/// And while they have fewer than this many bytes.
const READY_BYTES: usize = 8 << 20;
/// Activations of calls that are tried again are numbered from here.
const AGAIN: u64 = 1 << 48;
/// How often slow calls are looked for, where they are given to a second worker.
const LOOK_FOR_STRAGGLERS: Duration = Duration::from_millis(50);

/// Drives a job to its end.
pub async fn drive(assignment: Assignment, commands: &mut Commands) -> Ended {
    let policy = assignment.policy;
    let tracker = match &assignment.durable {
        Some(durable) => Tracker::resume(policy, durable.restored.clone()),
        None => Tracker::new(policy),
    };
    drive_with(assignment, tracker, commands).await
}

/// Drives a job to its end with a tracker that may be another than [`Tracker`]: the simulator's way in.
pub async fn drive_with(
    mut assignment: Assignment,
    tracker: impl Tracking,
    commands: &mut Commands,
) -> Ended {
    let job = Arc::clone(&assignment.job);
    let queue = Arc::clone(&assignment.queue);
    let mut stop = assignment.stop.take();
    let _driven = job.drive();
    let _at_work = interrupt::AtWork::begin();
    let span = tracing::info_span!("job", id = %job.id(), function = job.function());
    let mut driver = Driver::new(assignment, tracker);
    // Whatever breaks in here, nobody must wait for ever for a job that is driven no more.
    let driven = AssertUnwindSafe(driver.run(commands, &mut stop).instrument(span)).catch_unwind().await;
    let driven = driven
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unexpected, "the driver of the job has panicked")));
    queue.close();
    let ended = match driven {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(job = %job.id(), %error, "the job cannot go on");
            job.fail(error);
            Ended::Failed
        }
    };
    if ended == Ended::Finished {
        job.set_known(job.progress().known, true);
        driver.learn();
        tracing::debug!(job = %job.id(), "finished");
        job.tell(|| JobEvent::Finished { job: job.id(), progress: job.progress() });
    } else if !(job.is_interrupted() && job.is_detached()) {
        driver.abandon();
    }
    driver.release();
    ended
}

type Events = BoxStream<'static, (u64, Option<Result<Event>>)>;

pub(super) struct Driver<T> {
    pub(super) job: Arc<JobState>,
    pub(super) spec: Arc<JobSpec>,
    pub(super) backend: Arc<dyn ComputeBackend>,
    queue: Arc<InputQueue>,
    pub(super) plan: Plan,
    pub(super) retry_if: Option<RetryIf>,
    pub(super) tracker: T,
    /// Encoded inputs that no worker has been given yet.
    pub(super) ready: VecDeque<Payloads>,
    pub(super) ready_calls: usize,
    pub(super) ready_bytes: usize,
    /// The number of the first call in `ready`.
    pub(super) next: u64,
    /// Whether calls that no worker was given may have an outcome all the same.
    pub(super) holes: bool,
    pub(super) inputs_ended: bool,
    /// Calls that were cancelled one by one: a worker that is being started may have them.
    pub(super) cancelled: Vec<(u64, u64)>,
    /// Calls that may have to be sent again, by the first of them.
    pub(super) kept: BTreeMap<u64, Kept>,
    /// What is too large for a message.
    pub(super) payload_store: Option<PayloadStore>,
    /// Calls for a live worker whose arguments are being stored.
    pub(super) storing: FuturesUnordered<BoxFuture<'static, (u64, Result<StoredCalls>)>>,
    pub(super) workers: Workers,
    /// What each worker may report.
    pub(super) given: Given,
    /// What the job puts up with.
    pub(super) budget: Budget,
    pub(super) throttle: Throttle,
    pub(super) next_again: u64,
    pub(super) starting: FuturesUnordered<BoxFuture<'static, (u64, Result<Invocation>)>>,
    pub(super) events: SelectAll<Events>,
    started_at: Instant,
    /// How long a worker may be silent, and when that is looked at next.
    pub(super) lease: Option<Duration>,
    next_look: Instant,
    /// How fast calls are, when slow ones are given to a second worker, and when those are looked for next.
    pub(super) pace: Option<Pace>,
    next_stragglers: Instant,
    /// Where outcomes wait until they are stored, when the job is durable.
    pub(super) commit_buffer: Option<CommitBuffer>,
    /// How long calls took so far, if anybody wants to know, and how the plan follows from it.
    pub(super) measured: Option<Measured>,
    pub(super) tuning: Option<Tuning>,
    learn: Option<Learn>,
    /// From which call on chunks have the plan's size, and the number of the first of them.
    pub(super) chunks_from: (u64, u64),
    /// No worker has ended more calls than this in the time that its platform gives it.
    pub(super) fitting: Option<u64>,
}

/// Calls that may have to be sent again.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) calls: Calls,
    /// How many of them are not committed.
    pub(super) open: u32,
    /// Where their arguments are, once they were stored.
    pub(super) stored: Arc<OnceCell<StoredCalls>>,
}

impl<T: Tracking> Driver<T> {
    fn new(assignment: Assignment, tracker: T) -> Self {
        let capabilities = assignment.backend.capabilities();
        let lease = match capabilities.liveness {
            Liveness::Platform => None,
            Liveness::ResponseOnly => {
                let limit = capabilities.timeout_limit.unwrap_or(Duration::from_secs(3600));
                Some(limit + Duration::from_secs(30))
            }
        };
        let speculate = assignment.speculate && capabilities.reports != Reports::Buffered;
        let chunksize = assignment.plan.chunksize() as u64;
        let restored = assignment.durable.as_ref().is_some_and(|durable| !durable.restored.is_empty());
        let commit_buffer = assignment.durable.map(|durable| {
            CommitBuffer::new((*durable.journal).clone(), durable.calls, chunksize, durable.restored)
        });
        // Outcomes of a durable job come back a chunk at a time: a worker has the next one already then.
        let least = assignment.plan.worker_processes() as u64;
        let least = if commit_buffer.is_some() { least.max(chunksize * 2) } else { least };
        let now = Instant::now();
        // Chunks of a durable job are stored as they are.
        let earlier = assignment.learn.as_ref().and_then(Learn::earlier);
        let tuning = Tuning::of(&assignment.plan, earlier).filter(|_| commit_buffer.is_none());
        let measures = tuning.is_some() || assignment.learn.is_some();
        Self {
            tracker,
            measured: measures.then(Measured::default),
            tuning,
            learn: assignment.learn,
            chunks_from: (0, 0),
            fitting: None,
            throttle: Throttle::new(assignment.plan.max_workers()),
            job: assignment.job,
            spec: assignment.spec,
            backend: assignment.backend,
            queue: assignment.queue,
            plan: assignment.plan,
            retry_if: assignment.retry_if,
            ready: VecDeque::new(),
            ready_calls: 0,
            ready_bytes: 0,
            next: 0,
            holes: restored,
            inputs_ended: false,
            cancelled: Vec::new(),
            kept: BTreeMap::new(),
            payload_store: assignment.payload_store,
            storing: FuturesUnordered::new(),
            workers: Workers::new(least),
            given: Given::default(),
            budget: Budget::default(),
            next_again: AGAIN,
            starting: FuturesUnordered::new(),
            events: SelectAll::new(),
            started_at: now,
            lease,
            next_look: now + lease.unwrap_or_default() / 4,
            pace: speculate.then(Pace::default),
            next_stragglers: now + LOOK_FOR_STRAGGLERS,
            commit_buffer,
        }
    }

    async fn run(
        &mut self,
        commands: &mut Commands,
        stop: &mut Option<oneshot::Receiver<()>>,
    ) -> Result<Ended> {
        let queue = Arc::clone(&self.queue);
        self.take_inputs()?;
        if let Some(payload_store) = self.payload_store.clone() {
            let storing = payload_store.spec(Arc::clone(&self.spec));
            tokio::pin!(storing);
            // Shared values may take their time; nobody has to wait for that who wants the job ended.
            self.spec = loop {
                tokio::select! {
                    biased;
                    Some(command) = commands.recv() => match command {
                        Command::Cancel => self.cancel(),
                        Command::CancelCalls(first, end) => self.cancel_calls(first, end),
                        Command::Interrupt => return Ok(Ended::Stopped),
                    },
                    () = stopped(stop) => return Ok(Ended::Stopped),
                    spec = &mut storing => break spec?,
                }
                if self.is_finished() {
                    return Ok(Ended::Finished);
                }
            };
        }
        loop {
            self.dispatch();
            if self.is_finished() {
                return Ok(Ended::Finished);
            }
            let wants_inputs = self.wants_inputs();
            let alarm = self.alarm();
            // In this order, so that the same events have the same consequences, and a flood of reports keeps nobody
            // from ending the job.
            tokio::select! {
                biased;
                Some(command) = commands.recv() => match command {
                    Command::Cancel => self.cancel(),
                    Command::CancelCalls(first, end) => self.cancel_calls(first, end),
                    Command::Interrupt => return Ok(Ended::Stopped),
                },
                () = stopped(stop) => return Ok(Ended::Stopped),
                stored = next_stored(&mut self.commit_buffer) => self.make_visible(stored?),
                Some((worker, started)) = self.starting.next(), if !self.starting.is_empty() => {
                    self.started(worker, started)?;
                }
                Some((worker, stored)) = self.storing.next(), if !self.storing.is_empty() => {
                    self.feed_stored(worker, stored?);
                }
                Some((worker, event)) = self.events.next(), if !self.events.is_empty() => self.event(worker, event)?,
                () = queue.ready(), if wants_inputs => self.take_inputs()?,
                () = sleep_until(alarm.unwrap_or(self.started_at)), if alarm.is_some() => {}
            }
            if alarm.is_some_and(|alarm| alarm <= Instant::now()) {
                self.look_at_the_time()?;
            }
            if self.wants_inputs() {
                self.take_inputs()?;
            }
        }
    }

    fn wants_inputs(&self) -> bool {
        // A worker that cannot be fed is given a whole chunk, whatever that takes.
        let feed = self.backend.capabilities().feed;
        let room = if feed { self.ready_bytes < READY_BYTES } else { true };
        !self.inputs_ended && room && self.ready_calls < READY_CALLS.max(self.plan.chunksize())
    }

    /// What was measured helps to plan the next job of the function.
    fn learn(&mut self) {
        if let (Some(learn), Some(measured)) = (&self.learn, self.measured.take()) {
            learn.from(measured);
        }
    }

    fn is_finished(&self) -> bool {
        // Where calls were cancelled one by one, the inputs may never end.
        let all = self.tracker.is_finished()
            || self.holes && {
                let progress = self.job.progress();
                progress.complete && progress.done == progress.known
            };
        all && self.commit_buffer.as_ref().is_none_or(CommitBuffer::is_empty)
    }

    pub(super) fn now(&self) -> Duration {
        Instant::now() - self.started_at
    }

    /// When there is something to do that nothing else will announce.
    fn alarm(&self) -> Option<Instant> {
        let pause = self.tracker.next_wake().map(|due| self.started_at + due);
        let look = self.lease.map(|_| self.next_look);
        let stragglers = self.pace.as_ref().filter(|_| self.is_at_the_end()).map(|_| self.next_stragglers);
        // Once every call is given out there is nothing to plan.
        let tuned = self.tuning.as_ref().filter(|_| !self.is_at_the_end() && self.workers.len() > 0);
        let tuned = tuned.map(Tuning::due);
        [pause, look, self.throttle.until(), stragglers, tuned].into_iter().flatten().min()
    }

    /// Whether every call has been given to a worker.
    pub(super) fn is_at_the_end(&self) -> bool {
        self.inputs_ended && self.ready_calls == 0
    }

    fn look_at_the_time(&mut self) -> Result<()> {
        let now = Instant::now();
        self.throttle.look();
        self.tracker.wake(now - self.started_at);
        if let Some(lease) = self.lease
            && now >= self.next_look
        {
            self.next_look = now + lease / 4;
            for number in self.workers.silent(lease) {
                self.lost(number, format!("its worker was not heard of for {lease:?}"))?;
            }
        }
        self.count_run();
        self.tune();
        if let Some(tuning) = &mut self.tuning {
            tuning.looked();
        }
        if self.pace.is_some() && now >= self.next_stragglers {
            self.next_stragglers = now + LOOK_FOR_STRAGGLERS;
            self.speculate();
        }
        Ok(())
    }

    fn take_inputs(&mut self) -> Result<()> {
        let InputBatch { inputs, failed, ended } = self.queue.take()?;
        let base = self.next + self.ready_calls as u64;
        if !inputs.is_empty() {
            self.ready_calls += inputs.len();
            self.ready_bytes += inputs.bytes();
            self.ready.push_back(inputs);
        }
        let total = self.next + self.ready_calls as u64;
        if ended && !self.inputs_ended {
            self.inputs_ended = true;
            self.tracker.set_total(total);
            self.job.set_known(total, true);
        } else if !ended {
            self.job.set_known(total, false);
        }
        for (place, error) in failed {
            let call = base + place as u64;
            self.settle(call, call + 1, &error);
        }
        Ok(())
    }

    /// Ends calls, wherever they are, with an encoded error.
    pub(super) fn settle(&mut self, first: u64, end: u64, error: &[u8]) {
        let open = self.tracker.settle(first, end);
        self.holes = true;
        self.commit_failed(open, error);
    }

    /// Whether single calls that run can be ended.
    pub(super) fn can_end_calls(&self) -> bool {
        self.backend.capabilities().cancel == CancelLevel::Call
    }

    pub(super) fn stop_inputs(&mut self) {
        self.ready.clear();
        (self.ready_calls, self.ready_bytes) = (0, 0);
        self.inputs_ended = true;
        self.queue.close();
    }
}

/// Pends for ever when nobody can tell the driver to stop.
async fn stopped(stop: &mut Option<oneshot::Receiver<()>>) {
    match stop {
        // Whoever has dropped the sender is gone, and the job with it.
        Some(stop) => drop(stop.await),
        None => std::future::pending().await,
    }
}

async fn next_stored(commit_buffer: &mut Option<CommitBuffer>) -> Result<crate::journal::ChunkOutcomes> {
    match commit_buffer {
        Some(commit_buffer) if commit_buffer.is_storing() => commit_buffer.next().await,
        _ => std::future::pending().await,
    }
}
