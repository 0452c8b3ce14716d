//! The task that drives a job: inputs in, calls to workers, reports to the tracker, outcomes to the futures.
//!
//! It chooses by the backend's capabilities: a worker that can be fed is given chunk after chunk while it lives; one
//! that cannot is given one chunk, and the next chunk goes to the next worker (a wave is what lives at once). A worker
//! that is not heard of for its lease is given up, and its calls go elsewhere.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{throttle::Throttle, workers::Workers};
use crate::{
    compute::{
        ComputeBackend, Event, EventKind, ExitReason, FeedCommand, Invocation, InvokeRequest, Liveness,
    },
    error::{CallError, CallErrorKind, Error, ErrorKind, Result, Retry},
    id::ActivationId,
    job::{Dispatch, InputQueue, JobState, Policy, Step, Tracker, Tracking, Verdict},
    plan::Plan,
    protocol::{Calls, Cancel, JobSpec, Payloads, Report, ReportBuilder, ReportHeader, Run, Tag},
};

/// Calls are sent in frames of at most this many bytes, unless a single call is longer.
const FRAME_BYTES: usize = 4 << 20;
/// Inputs are taken from the queue while fewer than this many wait for a worker.
const READY_CALLS: usize = 8 << 10;
/// Activations of calls that are tried again are numbered from here.
const AGAIN: u64 = 1 << 48;

/// Which failures are tried again.
pub type RetryIf = fn(&CallError) -> bool;

/// Everything a job needs to be driven.
#[derive(Debug)]
pub struct Assignment {
    /// What the futures see of it.
    pub job: Arc<JobState>,
    /// What workers are told of it.
    pub spec: Arc<JobSpec>,
    /// Where its calls run.
    pub backend: Arc<dyn ComputeBackend>,
    /// Its encoded inputs.
    pub queue: Arc<InputQueue>,
    /// How often its calls may be tried.
    pub policy: Policy,
    /// Which failures are tried again.
    pub retry_if: RetryIf,
    /// Its granularity.
    pub plan: Plan,
    /// Receives when the job is to be ended.
    pub cancelled: mpsc::UnboundedReceiver<()>,
}

/// Drives a job to its end.
pub async fn drive(assignment: Assignment) {
    let tracker = Tracker::new(assignment.policy);
    drive_with(assignment, tracker).await;
}

/// Drives a job to its end with a tracker that may be another than [`Tracker`]: the simulator's way in.
pub async fn drive_with(mut assignment: Assignment, tracker: impl Tracking) {
    let job = Arc::clone(&assignment.job);
    let queue = Arc::clone(&assignment.queue);
    let mut cancelled = std::mem::replace(&mut assignment.cancelled, mpsc::unbounded_channel().1);
    let mut driver = Driver::new(assignment, tracker);
    // Whatever breaks in here, nobody must wait for ever for a job that is driven no more.
    let driven = AssertUnwindSafe(driver.run(&mut cancelled)).catch_unwind().await;
    let driven = driven
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unexpected, "the driver of the job has panicked")));
    if let Err(error) = driven {
        driver.abandon();
        job.fail(error);
    }
    queue.close();
    driver.release();
}

type Events = BoxStream<'static, (u64, Option<Result<Event>>)>;

struct Driver<T> {
    job: Arc<JobState>,
    spec: Arc<JobSpec>,
    backend: Arc<dyn ComputeBackend>,
    queue: Arc<InputQueue>,
    plan: Plan,
    retry_if: RetryIf,
    tracker: T,
    /// Encoded inputs that no worker has been given yet.
    ready: VecDeque<Payloads>,
    ready_calls: usize,
    /// The number of the first call in `ready`.
    next: u64,
    inputs_ended: bool,
    /// Calls that may have to be sent again, with how many of them are not committed.
    kept: BTreeMap<u64, (Calls, u32)>,
    workers: Workers,
    throttle: Throttle,
    next_again: u64,
    starting: FuturesUnordered<BoxFuture<'static, (u64, Result<Invocation>)>>,
    events: SelectAll<Events>,
    started_at: Instant,
    /// How long a worker may be silent, and when that is looked at next.
    lease: Option<Duration>,
    next_look: Instant,
}

impl<T: Tracking> Driver<T> {
    fn new(assignment: Assignment, tracker: T) -> Self {
        let lease = match assignment.backend.capabilities().liveness {
            Liveness::Heartbeat(period) => Some(period * 3),
            Liveness::Platform => None,
            Liveness::ResponseOnly => {
                let limit =
                    assignment.backend.capabilities().timeout_limit.unwrap_or(Duration::from_secs(3600));
                Some(limit + Duration::from_secs(30))
            }
        };
        let now = Instant::now();
        Self {
            tracker,
            throttle: Throttle::new(
                usize::try_from(assignment.plan.live_workers_limit()).unwrap_or(usize::MAX),
            ),
            job: assignment.job,
            spec: assignment.spec,
            backend: assignment.backend,
            queue: assignment.queue,
            plan: assignment.plan,
            retry_if: assignment.retry_if,
            ready: VecDeque::new(),
            ready_calls: 0,
            next: 0,
            inputs_ended: false,
            kept: BTreeMap::new(),
            workers: Workers::default(),
            next_again: AGAIN,
            starting: FuturesUnordered::new(),
            events: SelectAll::new(),
            started_at: now,
            lease,
            next_look: now + lease.unwrap_or_default() / 4,
        }
    }

    async fn run(&mut self, cancelled: &mut mpsc::UnboundedReceiver<()>) -> Result<()> {
        let queue = Arc::clone(&self.queue);
        self.take_inputs()?;
        loop {
            self.dispatch();
            if self.tracker.is_finished() {
                return Ok(());
            }
            let wants_inputs = !self.inputs_ended && self.ready_calls < READY_CALLS;
            let alarm = self.alarm();
            tokio::select! {
                Some((worker, event)) = self.events.next(), if !self.events.is_empty() => self.event(worker, event)?,
                Some((worker, started)) = self.starting.next(), if !self.starting.is_empty() => {
                    self.started(worker, started)?;
                }
                () = queue.ready(), if wants_inputs => self.take_inputs()?,
                Some(()) = cancelled.recv() => return self.cancel(),
                () = sleep_until(alarm.unwrap_or(self.started_at)), if alarm.is_some() => {}
            }
            if alarm.is_some_and(|alarm| alarm <= Instant::now()) {
                self.look_at_the_time();
            }
            if !self.inputs_ended && self.ready_calls < READY_CALLS {
                self.take_inputs()?;
            }
        }
    }

    /// When there is something to do that nothing else will announce.
    fn alarm(&self) -> Option<Instant> {
        let pause = self.tracker.next_wake().map(|due| self.started_at + due);
        let look = self.lease.map(|_| self.next_look);
        [pause, look, self.throttle.until()].into_iter().flatten().min()
    }

    fn look_at_the_time(&mut self) {
        let now = Instant::now();
        self.throttle.look();
        self.tracker.wake(now - self.started_at);
        if let Some(lease) = self.lease
            && now >= self.next_look
        {
            self.next_look = now + lease / 4;
            for number in self.workers.silent(lease) {
                self.lost(number, format!("its worker was not heard of for {lease:?}"));
            }
        }
    }

    fn take_inputs(&mut self) -> Result<()> {
        let (inputs, ended) = self.queue.take()?;
        if !inputs.is_empty() {
            self.ready_calls += inputs.len();
            self.ready.push_back(inputs);
        }
        if ended && !self.inputs_ended {
            self.inputs_ended = true;
            let total = self.next + self.ready_calls as u64;
            self.tracker.set_total(total);
            self.job.set_known(total, true);
        } else if !ended {
            self.job.set_known(self.next + self.ready_calls as u64, false);
        }
        Ok(())
    }

    /// Gives calls to workers until no worker has room, or no call is left.
    fn dispatch(&mut self) {
        let chunksize = self.plan.chunksize() as u64;
        loop {
            let (again, suspects) = self.tracker.has_waiting();
            if suspects {
                // A suspect goes to a worker that has nothing else, and is let nothing else be given.
                if let Some(number) = self.workers.idle().or_else(|| self.start_worker(true)) {
                    if let Some(dispatch) = self.tracker.take_suspect() {
                        let calls = self.calls_again(dispatch);
                        self.hand_over(number, calls, true);
                    }
                    continue;
                }
            }
            if !again && self.ready_calls == 0 {
                return;
            }
            // New workers first: they take longest.
            let (number, room) = match self.start_worker(false) {
                Some(number) => (number, chunksize),
                None => match self.workers.hungriest() {
                    Some((number, room)) => (number, room.div_ceil(chunksize) * chunksize),
                    None => return,
                },
            };
            let calls = match self.tracker.take_waiting(room) {
                Some(dispatch) => self.calls_again(dispatch),
                None => self.new_calls(room),
            };
            self.hand_over(number, calls, false);
        }
    }

    /// A new worker, if one more may live; it is asked for when its first calls are handed over.
    fn start_worker(&mut self, alone: bool) -> Option<u64> {
        let allowed = self.throttle.allows(self.workers.len());
        allowed.then(|| self.workers.add(self.plan.worker_processes() as u64, alone))
    }

    /// Puts calls into a worker's hands.
    fn hand_over(&mut self, number: u64, calls: Calls, alone: bool) {
        let run = calls.run;
        let dispatch = Dispatch { first: run.first, end: run.end(), attempt: run.attempt, suspect: alone };
        self.tracker.dispatched(dispatch, number);
        self.workers.given(number, (run.first, run.end()), calls.arguments.bytes(), alone);
        if let Some(feed) = self.workers.feed(number) {
            feed.send(FeedCommand::Chunk(calls));
        } else {
            let (backend, job) = (Arc::clone(&self.backend), Arc::clone(&self.spec));
            let request = InvokeRequest::new(job, vec![calls]);
            self.starting.push(Box::pin(async move { (number, backend.invoke(request).await) }));
        }
    }

    fn calls_again(&mut self, again: Dispatch) -> Calls {
        let (first, (kept, _)) =
            self.kept.range(..=again.first).next_back().expect("calls are kept until committed");
        let skip = u32::try_from(again.first - first).unwrap_or(u32::MAX);
        let count = u32::try_from(again.end.min(kept.run.end()) - again.first).unwrap_or(u32::MAX);
        let mut calls = kept.slice(skip, count);
        if calls.run.end() < again.end {
            self.tracker.put_back(Dispatch { first: calls.run.end(), ..again });
        }
        calls.run = Run {
            activation: ActivationId(self.next_again),
            offset: 0,
            chunksize: count,
            attempt: again.attempt,
            ..calls.run
        };
        calls.queued_at = now_nanos();
        self.next_again += 1;
        calls
    }

    fn new_calls(&mut self, limit: u64) -> Calls {
        let front = self.ready.front_mut().expect("asked for only when inputs are ready");
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).min(front.len());
        let count = front.slice(0, wanted).fitting(FRAME_BYTES);
        let arguments = front.slice(0, count);
        if count == front.len() {
            self.ready.pop_front();
        } else {
            *front = front.slice(count, front.len() - count);
        }
        let (first, chunksize) = (self.next, self.plan.chunksize() as u64);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let run = Run {
            job: self.spec.job,
            activation: ActivationId(first / chunksize),
            offset: u32::try_from(first % chunksize).unwrap_or(u32::MAX),
            chunksize: u32::try_from(chunksize).unwrap_or(u32::MAX),
            attempt: 1,
            first,
            count,
        };
        let calls = Calls { run, batch: 0, queued_at: now_nanos(), arguments };
        self.next += u64::from(count);
        self.ready_calls -= count as usize;
        self.kept.insert(first, (calls.clone(), count));
        calls
    }

    fn started(&mut self, number: u64, started: Result<Invocation>) -> Result<()> {
        let live = self.workers.len();
        match started {
            Ok(invocation) => {
                self.throttle.accepted();
                let id = invocation.id.clone();
                if !self.workers.started(number, id.clone(), invocation.feed) {
                    // It was given up meanwhile: what it still reports counts, but it is not to go on.
                    self.end_invocation(id);
                }
                let ended = futures_util::stream::once(async { None });
                let events = invocation.events.map(Some).chain(ended).map(move |event| (number, event));
                self.events.push(Box::pin(events));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::RateLimited || error.retry() == Retry::Later => {
                self.workers.remove(number);
                self.tracker.give_up(number);
                self.throttle.refused(live.saturating_sub(1), Duration::ZERO, number);
                self.job.count(|counts| counts.throttled += 1);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn end_invocation(&self, id: crate::compute::InvocationId) {
        let backend = Arc::clone(&self.backend);
        tokio::spawn(async move {
            // Its calls are no longer waited for, so that it does not matter whether it could be ended.
            let _ = backend.cancel(&id).await;
        });
    }

    fn event(&mut self, number: u64, event: Option<Result<Event>>) -> Result<()> {
        match event {
            Some(Ok(Event { kind, .. })) => match kind {
                EventKind::Report(report) => self.report(number, &report),
                EventKind::Logs(logs) => self.job.add_logs(logs),
                EventKind::Exited(ExitReason::Refused(reason)) => {
                    return Err(Error::new(
                        ErrorKind::WorkerLost,
                        format!("no worker could start: {reason}"),
                    ));
                }
                EventKind::Exited(ExitReason::Finished) => {
                    self.lost(number, "its worker ended before the call was reported".into());
                }
                EventKind::Exited(ExitReason::Lost(reason)) => self.lost(number, reason),
                EventKind::Throttled(pause) => {
                    self.throttle.refused(self.workers.len(), pause, number);
                    self.job.count(|counts| counts.throttled += 1);
                }
                EventKind::Started | EventKind::Heartbeat => self.workers.heard(number),
            },
            Some(Err(error)) => self.lost(number, error.to_string()),
            // A stream that ends without an exit event must not be waited for.
            None => self.lost(number, "its events ended without a reason".into()),
        }
        Ok(())
    }

    fn report(&mut self, number: u64, report: &Report) {
        let run = report.header.run;
        if run.job != self.spec.job {
            return;
        }
        self.workers.reported(number, (run.first, run.end()));
        let now = Instant::now() - self.started_at;
        let steps = if report.all_ok() {
            self.tracker.report(run.first, run.end(), run.attempt, &|_| Verdict::Ok, now)
        } else {
            let verdict = |call: u64| {
                let index = usize::try_from(call - run.first).unwrap_or(usize::MAX);
                match report.tag(index) {
                    Tag::Ok => Verdict::Ok,
                    Tag::Unstarted => Verdict::Unstarted,
                    Tag::Lost => Verdict::Lost,
                    Tag::Failed => {
                        let error = rmp_serde::from_slice(report.value(index));
                        // The user's function decides; a panic of it is a no.
                        let wanted = |error| catch_unwind(|| (self.retry_if)(&error)).unwrap_or(false);
                        Verdict::Failed { again: error.is_ok_and(wanted) }
                    }
                }
            };
            self.tracker.report(run.first, run.end(), run.attempt, &verdict, now)
        };
        let part = |first: u64, end: u64| {
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            report.slice(narrow(first - run.first), narrow(end - first))
        };
        let mut committed = Vec::new();
        for step in steps {
            match step {
                Step::Commit(first, end) => committed.push(part(first, end)),
                Step::CommitLost { call, .. } => {
                    let lost = part(call, call + 1);
                    committed.push(failed_report(&lost.header, &[&self.loss(lost.value(0))]));
                }
                Step::Again(first, end) => self.job.count(|counts| counts.retried += end - first),
                Step::Drop(..) => {}
            }
        }
        self.commit(committed);
    }

    /// The error of a call that is not tried again: what the worker knows of its loss. A call that may run only once
    /// is lost whatever ended it.
    fn loss(&self, encoded: &[u8]) -> Vec<u8> {
        if !self.spec.at_most_once {
            return encoded.to_vec();
        }
        let known = rmp_serde::from_slice::<CallError>(encoded);
        let message =
            known.map_or_else(|_| "its sub-worker was lost".to_owned(), |error| error.message().to_owned());
        let error = CallError::new(CallErrorKind::WorkerLost, format!("{message}, and it may run only once"));
        rmp_serde::to_vec_named(&error).unwrap_or_default()
    }

    /// A worker is gone, or given up: its calls go elsewhere. What it still reports counts.
    fn lost(&mut self, number: u64, reason: String) {
        let Some(worker) = self.workers.remove(number) else { return };
        if let Some(id) = worker.invocation
            && self.lease.is_some()
        {
            self.end_invocation(id);
        }
        let steps = self.tracker.holder_lost(number);
        if !steps.is_empty() {
            self.job.count(|counts| counts.lost_workers += 1);
        }
        let error = CallError::new(CallErrorKind::WorkerLost, reason);
        let error = rmp_serde::to_vec_named(&error).unwrap_or_default();
        let mut committed = Vec::new();
        for step in steps {
            match step {
                Step::CommitLost { call, attempt } => {
                    let kept = self.kept.range(..=call).next_back();
                    let Some((first, (kept, _))) = kept else { continue };
                    let run = kept.run.slice(u32::try_from(call - first).unwrap_or(u32::MAX), 1);
                    let run = Run { attempt, ..run };
                    committed.push(failed_report(&blank_header(run), &[&error]));
                }
                Step::Again(first, end) => self.job.count(|counts| counts.retried += end - first),
                Step::Commit(..) | Step::Drop(..) => {}
            }
        }
        self.commit(committed);
    }

    fn commit(&mut self, reports: Vec<Report>) {
        for report in &reports {
            let run = report.header.run;
            let touched =
                self.kept.range(..run.end()).rev().take_while(|(_, (kept, _))| kept.run.end() > run.first);
            let touched: Vec<_> = touched.map(|(first, _)| *first).collect();
            for first in touched {
                if let Some((kept, open)) = self.kept.get_mut(&first) {
                    let overlap = kept.run.end().min(run.end()) - first.max(run.first);
                    *open = open.saturating_sub(u32::try_from(overlap).unwrap_or(u32::MAX));
                    if *open == 0 {
                        self.kept.remove(&first);
                    }
                }
            }
        }
        self.job.commit(reports);
    }

    /// Ends the job: what has no outcome gets `Cancelled`, what runs is ended.
    fn cancel(&mut self) -> Result<()> {
        let known = self.job.progress().known;
        self.job.set_known(known, true);
        let open = self.tracker.cancel(known);
        self.abandon();
        let error = CallError::new(CallErrorKind::Cancelled, "the job was cancelled");
        let error = rmp_serde::to_vec_named(&error).unwrap_or_default();
        let reports = open
            .into_iter()
            .flat_map(|(first, end)| (first..end).step_by(1 << 16).map(move |from| (from, end)));
        let reports = reports.map(|(from, end)| {
            let count = u32::try_from((end - from).min(1 << 16)).unwrap_or(u32::MAX);
            let run = Run {
                job: self.spec.job,
                activation: ActivationId(0),
                offset: 0,
                chunksize: 1,
                attempt: 1,
                first: from,
                count,
            };
            failed_report(&blank_header(run), &vec![error.as_slice(); count as usize])
        });
        self.job.commit(reports.collect::<Vec<_>>());
        Ok(())
    }

    /// Ends what runs.
    fn abandon(&self) {
        let cancel = Cancel { job: self.spec.job, calls: vec![(0, u64::MAX)] };
        self.workers.feeds().for_each(|feed| feed.send(FeedCommand::CancelCalls(cancel.clone())));
        if !self.backend.capabilities().feed {
            self.workers.invocations().cloned().for_each(|id| self.end_invocation(id));
        }
    }

    /// Tells the workers that nothing more will come of this job.
    fn release(self) {
        self.workers.feeds().for_each(|feed| feed.send(FeedCommand::Drain));
    }
}

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The header of outcomes that no process has reported.
fn blank_header(run: Run) -> ReportHeader {
    ReportHeader {
        run,
        batch: 0,
        batch_done: true,
        pid: 0,
        queued_at: now_nanos(),
        cpu: Duration::ZERO,
        peak_memory: 0,
    }
}

/// A report in which every call has failed with an encoded error.
fn failed_report(header: &ReportHeader, errors: &[&[u8]]) -> Report {
    let mut builder = ReportBuilder::default();
    let now = now_nanos();
    for error in errors {
        builder.value().extend_from_slice(error);
        builder.end_call(Tag::Failed, now, now);
    }
    let mut frame = Vec::new();
    builder.drain_into(header, &mut frame);
    let body = bytes::Bytes::from(frame).slice(crate::protocol::HEADER_LEN..);
    Report::read(&body).expect("it was just written")
}
