//! [`Driver`]: the state and the event loop of the task that drives a job.

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

/// The driver takes inputs from the queue while fewer than this many calls wait for a worker. A larger number
/// makes the inputs less lazy; a smaller one can leave workers idle.
const READY_CALLS: usize = 8 << 10;
/// The driver takes inputs while those that wait have fewer than this many bytes; this bounds the memory.
const READY_BYTES: usize = 8 << 20;
/// Activations of retried calls are numbered from here, so that they never collide with those of new chunks.
const AGAIN: u64 = 1 << 48;
/// How often the driver looks for stragglers, in jobs with backup attempts.
const LOOK_FOR_STRAGGLERS: Duration = Duration::from_millis(50);

/// Drives a job until every call has an outcome, the job fails, or the driver is told to stop.
pub async fn drive(assignment: Assignment, commands: &mut Commands) -> Ended {
    let policy = assignment.policy;
    let tracker = match &assignment.durable {
        Some(durable) => Tracker::resume(policy, durable.restored.clone()),
        None => Tracker::new(policy),
    };
    drive_with(assignment, tracker, commands).await
}

/// Drives a job as [`drive`] does, with any implementation of [`Tracking`]: the simulator passes its own
/// tracker.
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
    // A panic of the driver must fail the job: its handles would otherwise wait for ever.
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
        // A driver that is stopped because another client has taken over must not stop that client's workers.
        driver.abandon(ended == Ended::Failed || job.is_interrupted());
    }
    driver.withdraw(ended);
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
    /// Encoded inputs that were not dispatched yet.
    pub(super) ready: VecDeque<Payloads>,
    pub(super) ready_calls: usize,
    pub(super) ready_bytes: usize,
    /// The number of the first call in `ready`; every call below this number was dispatched or has an
    /// outcome.
    pub(super) next: u64,
    /// Whether calls in `ready` may already have an outcome: they were restored, cancelled, or their input
    /// failed.
    pub(super) holes: bool,
    pub(super) inputs_ended: bool,
    /// Ranges of calls that were cancelled. A worker that is still being started learns of them when it is
    /// accepted.
    pub(super) cancelled: Vec<(u64, u64)>,
    /// Dispatched calls that may have to be sent again, by the number of the first call of the range.
    pub(super) kept: BTreeMap<u64, Kept>,
    /// Where payloads go that are too large for a message; `None` on backends without a message limit.
    pub(super) payload_store: Option<PayloadStore>,
    /// Uploads of arguments for workers that are already live, with the number of the worker.
    pub(super) storing: FuturesUnordered<BoxFuture<'static, (u64, Result<StoredCalls>)>>,
    pub(super) workers: Workers,
    /// Which calls each worker may report.
    pub(super) given: Given,
    /// How many more failures of workers the job tolerates.
    pub(super) budget: Budget,
    pub(super) throttle: Throttle,
    pub(super) next_again: u64,
    pub(super) starting: FuturesUnordered<BoxFuture<'static, (u64, Result<Invocation>)>>,
    pub(super) events: SelectAll<Events>,
    started_at: Instant,
    /// How long a worker may send nothing before it is given up; `None` where the platform reports lost
    /// workers. `next_look` is the time of the next check.
    pub(super) lease: Option<Duration>,
    next_look: Instant,
    /// The pace of the calls, in jobs with backup attempts; `next_stragglers` is the time of the next check.
    pub(super) pace: Option<Pace>,
    next_stragglers: Instant,
    /// When the platform is asked next what workers wait for, and what it was the last time.
    pub(super) next_waiting: Instant,
    pub(super) waits_for: String,
    /// The commit buffer of a durable job, in which outcomes wait until they are stored; `None` for other
    /// jobs.
    pub(super) commit_buffer: Option<CommitBuffer>,
    /// How long calls took so far, in jobs that are tuned or whose durations are recorded; and the state of
    /// tuning.
    pub(super) measured: Option<Measured>,
    pub(super) tuning: Option<Tuning>,
    learn: Option<Learn>,
    /// The first call from which on chunks have the plan's size, and the activation number of that chunk.
    pub(super) chunks_from: (u64, u64),
    /// The largest chunk, in calls, that ends within the platform's time limit; `None` until a worker ran out
    /// of time.
    pub(super) fitting: Option<u64>,
}

/// Dispatched calls that may have to be sent again.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) calls: Calls,
    /// How many of the calls are not committed; at 0 the arguments are dropped.
    pub(super) open: u32,
    /// Where the arguments are in the storage, once they were uploaded. Retries share the upload.
    pub(super) stored: Arc<OnceCell<StoredCalls>>,
}

impl<T: Tracking> Driver<T> {
    fn new(assignment: Assignment, tracker: T) -> Self {
        let capabilities = assignment.backend.capabilities();
        let lease = match capabilities.liveness {
            Liveness::Platform => None,
            Liveness::ResponseOnly => {
                let limit = capabilities.timeout_limit.unwrap_or(Duration::from_secs(3600));
                // The worker is heard of only when it ends. The platform ends it at its time limit; the
                // margin leaves time for the start and the response.
                Some(limit + Duration::from_secs(30))
            }
        };
        let speculate = assignment.speculate && capabilities.reports != Reports::Buffered;
        let chunksize = assignment.plan.chunksize() as u64;
        let restored = assignment.durable.as_ref().is_some_and(|durable| !durable.restored.is_empty());
        let commit_buffer = assignment.durable.map(|durable| {
            CommitBuffer::new((*durable.journal).clone(), durable.calls, chunksize, durable.restored)
        });
        // Outcomes of a durable job come back a chunk at a time. With two chunks in hand a worker is never
        // idle while the first is reported.
        let least = assignment.plan.worker_processes() as u64;
        let least = if commit_buffer.is_some() { least.max(chunksize * 2) } else { least };
        let now = Instant::now();
        // A durable job is not tuned: outcomes are committed by chunk, so the chunk size must not change.
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
            budget: Budget::new(assignment.policy.losses),
            next_again: AGAIN,
            starting: FuturesUnordered::new(),
            events: SelectAll::new(),
            started_at: now,
            lease,
            next_look: now + lease.unwrap_or_default() / 4,
            pace: speculate.then(Pace::default),
            next_stragglers: now + LOOK_FOR_STRAGGLERS,
            next_waiting: now,
            waits_for: String::new(),
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
            // The upload of shared values may take long: commands must be served meanwhile, so that the job
            // can be cancelled.
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
            // `biased` polls in this order. The simulator needs a fixed order to be reproducible, and
            // commands come first so that a flood of reports cannot delay a cancellation.
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
        // A worker without a feed is given a whole chunk at once, so the limit on bytes must not cut chunks
        // short.
        let feed = self.backend.capabilities().feed;
        let room = if feed { self.ready_bytes < READY_BYTES } else { true };
        !self.inputs_ended && room && self.ready_calls < READY_CALLS.max(self.plan.chunksize())
    }

    /// Records the measured durations, which help to plan the next job of the function.
    fn learn(&mut self) {
        if let (Some(learn), Some(measured)) = (&self.learn, self.measured.take()) {
            learn.from(measured);
        }
    }

    fn is_finished(&self) -> bool {
        // Settled calls can complete a job whose inputs never end, which the tracker alone would wait for.
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

    /// The next time at which the driver has to act without an event: a retry is due, leases or stragglers
    /// are checked, a pause of the throttle ends, or the plan is reconsidered. `None` when there is no such
    /// time.
    fn alarm(&self) -> Option<Instant> {
        let pause = self.tracker.next_wake().map(|due| self.started_at + due);
        let look = self.lease.map(|_| self.next_look);
        let stragglers = self.pace.as_ref().filter(|_| self.is_at_the_end()).map(|_| self.next_stragglers);
        // Once every call is dispatched there is nothing left to plan.
        let tuned = self.tuning.as_ref().filter(|_| !self.is_at_the_end() && self.workers.len() > 0);
        let tuned = tuned.map(Tuning::due);
        [pause, look, self.throttle.until(), stragglers, tuned, self.waiting_look()]
            .into_iter()
            .flatten()
            .min()
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
        self.look_at_waiting();
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

    /// Settles calls with an encoded error, whether they were dispatched or not. Calls with an outcome keep
    /// it.
    pub(super) fn settle(&mut self, first: u64, end: u64, error: &[u8]) {
        let open = self.tracker.settle(first, end);
        self.holes = true;
        self.commit_failed(open, error);
    }

    /// Whether the backend can end single calls that run.
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

/// Resolves when the driver is told to stop; pends for ever if the assignment has no `stop` channel.
async fn stopped(stop: &mut Option<oneshot::Receiver<()>>) {
    match stop {
        // A dropped sender means the same as a message: the part that owned the job is gone.
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
