//! The task that drives a job: inputs in, calls to workers, reports to the tracker, outcomes to the futures.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Instant, SystemTime},
};

use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use tokio::sync::mpsc;

use super::feeding::Window;
use crate::{
    compute::{ComputeBackend, Event, EventKind, ExitReason, Feed, FeedCommand, Invocation, InvokeRequest},
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    id::ActivationId,
    job::{Dispatch, InputQueue, JobState, Policy, Step, Tracker},
    plan::Plan,
    protocol::{Calls, Cancel, JobSpec, Payloads, Report, ReportBuilder, ReportHeader, Run, Tag},
};

/// Calls are sent in frames of at most this many bytes, unless a single call is longer.
const FRAME_BYTES: usize = 4 << 20;
/// Inputs are taken from the queue while fewer than this many wait for a worker.
const READY_CALLS: usize = 8 << 10;
/// Activations of calls that are tried again are numbered from here.
const AGAIN: u64 = 1 << 48;

/// Everything a job needs to be driven.
pub(crate) struct Assignment {
    pub(crate) job: Arc<JobState>,
    pub(crate) spec: Arc<JobSpec>,
    pub(crate) backend: Arc<dyn ComputeBackend>,
    pub(crate) queue: Arc<InputQueue>,
    pub(crate) policy: Policy,
    pub(crate) plan: Plan,
    pub(crate) cancelled: mpsc::UnboundedReceiver<()>,
}

/// Drives a job to its end.
pub(crate) async fn drive(mut assignment: Assignment) {
    let job = Arc::clone(&assignment.job);
    let queue = Arc::clone(&assignment.queue);
    let mut cancelled = std::mem::replace(&mut assignment.cancelled, mpsc::unbounded_channel().1);
    let mut driver = Driver::new(assignment);
    if let Err(error) = driver.run(&mut cancelled).await {
        job.fail(error);
    }
    queue.close();
    driver.release();
}

type Events = BoxStream<'static, (u64, Option<Result<Event>>)>;

struct Driver {
    job: Arc<JobState>,
    spec: Arc<JobSpec>,
    backend: Arc<dyn ComputeBackend>,
    queue: Arc<InputQueue>,
    plan: Plan,
    tracker: Tracker,
    /// Encoded inputs that no worker has been given yet.
    ready: std::collections::VecDeque<Payloads>,
    ready_calls: usize,
    /// The number of the first call in `ready`.
    next: u64,
    inputs_ended: bool,
    /// Calls that may have to be sent again, with how many of them are not committed.
    kept: BTreeMap<u64, (Calls, u32)>,
    workers: HashMap<u64, Worker>,
    next_worker: u64,
    next_again: u64,
    starting: FuturesUnordered<BoxFuture<'static, (u64, Result<Invocation>)>>,
    events: SelectAll<Events>,
}

struct Worker {
    /// `None` until it is there, or when it cannot be fed.
    feed: Option<Feed>,
    started: bool,
    window: Window,
}

impl Driver {
    fn new(assignment: Assignment) -> Self {
        Self {
            tracker: Tracker::new(assignment.policy),
            job: assignment.job,
            spec: assignment.spec,
            backend: assignment.backend,
            queue: assignment.queue,
            plan: assignment.plan,
            ready: std::collections::VecDeque::new(),
            ready_calls: 0,
            next: 0,
            inputs_ended: false,
            kept: BTreeMap::new(),
            workers: HashMap::new(),
            next_worker: 0,
            next_again: AGAIN,
            starting: FuturesUnordered::new(),
            events: SelectAll::new(),
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
            tokio::select! {
                Some((worker, event)) = self.events.next(), if !self.events.is_empty() => self.event(worker, event)?,
                Some((worker, started)) = self.starting.next(), if !self.starting.is_empty() => {
                    self.started(worker, started)?;
                }
                () = queue.ready(), if wants_inputs => self.take_inputs()?,
                Some(()) = cancelled.recv() => return self.cancel(),
            }
            if !self.inputs_ended && self.ready_calls < READY_CALLS {
                self.take_inputs()?;
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
        while self.ready_calls > 0 || self.tracker.has_waiting() {
            let live = self.workers.len();
            if live < usize::try_from(self.plan.live_workers_limit()).unwrap_or(usize::MAX) {
                self.start_worker();
                continue;
            }
            let hungry = self
                .workers
                .iter()
                .filter(|(_, worker)| worker.feed.is_some() && worker.window.room() > 0)
                .min_by_key(|(number, worker)| (worker.window.calls(), **number))
                .map(|(number, worker)| (*number, worker.window.room()));
            let Some((number, room)) = hungry else { return };
            // Chunks are handed over whole.
            let chunksize = self.plan.chunksize() as u64;
            let calls = self.take_calls(room.div_ceil(chunksize) * chunksize, number);
            if let Some(feed) = self.workers.get(&number).and_then(|worker| worker.feed.as_ref()) {
                feed.send(FeedCommand::Chunk(calls));
            }
        }
    }

    fn start_worker(&mut self) {
        let number = self.next_worker;
        self.next_worker += 1;
        let window = Window::new(self.plan.worker_processes() as u64, Instant::now());
        self.workers.insert(number, Worker { feed: None, started: false, window });
        let calls = self.take_calls(self.plan.chunksize() as u64, number);
        let (backend, request) =
            (Arc::clone(&self.backend), InvokeRequest::new(Arc::clone(&self.spec), vec![calls]));
        self.starting.push(Box::pin(async move { (number, backend.invoke(request).await) }));
    }

    /// The next calls, at most `limit`: those to be tried again first. They are in the worker's hands from here on.
    fn take_calls(&mut self, limit: u64, worker: u64) -> Calls {
        let (calls, dispatch) = match self.tracker.take_waiting(limit) {
            Some(again) => self.calls_again(again),
            None => self.new_calls(limit),
        };
        self.tracker.dispatched(dispatch, worker);
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.window.given(u64::from(calls.run.count), calls.arguments.bytes());
        }
        calls
    }

    fn calls_again(&mut self, again: Dispatch) -> (Calls, Dispatch) {
        let (first, (kept, _)) =
            self.kept.range(..=again.first).next_back().expect("calls are kept until committed");
        let skip = u32::try_from(again.first - first).unwrap_or(u32::MAX);
        let count = u32::try_from(again.end.min(kept.run.end()) - again.first).unwrap_or(u32::MAX);
        let mut calls = kept.slice(skip, count);
        if calls.run.end() < again.end {
            self.tracker.wait_again(Dispatch { first: calls.run.end(), ..again });
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
        (calls, Dispatch { end: again.first + u64::from(count), ..again })
    }

    fn new_calls(&mut self, limit: u64) -> (Calls, Dispatch) {
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
        (calls, Dispatch { first, end: run.end(), attempt: 1 })
    }

    fn started(&mut self, number: u64, started: Result<Invocation>) -> Result<()> {
        match started {
            Ok(invocation) => {
                if let Some(worker) = self.workers.get_mut(&number) {
                    worker.feed = invocation.feed;
                    worker.started = true;
                }
                let ended = futures_util::stream::once(async { None });
                let events = invocation.events.map(Some).chain(ended).map(move |event| (number, event));
                self.events.push(Box::pin(events));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn event(&mut self, number: u64, event: Option<Result<Event>>) -> Result<()> {
        match event {
            Some(Ok(Event { kind: EventKind::Report(report), .. })) => self.report(number, &report),
            Some(Ok(Event { kind: EventKind::Logs(logs), .. })) => self.job.add_logs(logs),
            Some(Ok(Event { kind: EventKind::Exited(reason), .. })) => self.exited(number, reason)?,
            Some(Ok(_)) => {}
            Some(Err(error)) => self.exited(number, ExitReason::Lost(error.to_string()))?,
            // A stream that ends without an exit event must not be waited for.
            None if self.workers.contains_key(&number) => {
                self.exited(number, ExitReason::Lost("its events ended without a reason".into()))?;
            }
            None => {}
        }
        Ok(())
    }

    fn report(&mut self, number: u64, report: &Report) {
        let run = report.header.run;
        if run.job != self.spec.job {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.window.reported(u64::from(run.count), report.bytes(), Instant::now());
        }
        let steps = if report.all_ok() {
            self.tracker.report(&run, |_| Tag::Ok)
        } else {
            self.tracker
                .report(&run, |call| report.tag(usize::try_from(call - run.first).unwrap_or(usize::MAX)))
        };
        let part = |first: u64, end: u64| {
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            report.slice(narrow(first - run.first), narrow(end - first))
        };
        let mut committed = Vec::new();
        for step in steps {
            match step {
                Step::Commit(first, end) => committed.push(part(first, end)),
                Step::CommitLost(call) => {
                    let lost = part(call, call + 1);
                    committed.push(failed_report(&lost.header, &[&self.loss(lost.value(0))]));
                }
                Step::Again(..) | Step::Drop(..) => {}
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

    fn exited(&mut self, number: u64, reason: ExitReason) -> Result<()> {
        self.workers.remove(&number);
        let reason = match reason {
            ExitReason::Refused(reason) => {
                return Err(Error::new(ErrorKind::WorkerLost, format!("no worker could start: {reason}")));
            }
            ExitReason::Finished => "its worker ended before the call was reported".to_owned(),
            ExitReason::Lost(reason) => reason,
        };
        let steps = self.tracker.holder_lost(number);
        let error = CallError::new(CallErrorKind::WorkerLost, reason);
        let error = rmp_serde::to_vec_named(&error).unwrap_or_default();
        let committed = steps.into_iter().filter_map(|step| match step {
            Step::CommitLost(call) => {
                let (first, (kept, _)) = self.kept.range(..=call).next_back()?;
                let run = kept.run.slice(u32::try_from(call - first).ok()?, 1);
                Some(failed_report(&blank_header(run), &[&error]))
            }
            _ => None,
        });
        let committed = committed.collect();
        self.commit(committed);
        Ok(())
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
        let cancel = Cancel { job: self.spec.job, calls: open.clone() };
        for worker in self.workers.values() {
            if let Some(feed) = &worker.feed {
                feed.send(FeedCommand::CancelCalls(cancel.clone()));
            }
        }
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

    /// Tells the workers that nothing more will come of this job.
    fn release(self) {
        for worker in self.workers.into_values() {
            if let Some(feed) = worker.feed {
                feed.send(FeedCommand::Drain);
            }
        }
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
        cpu: std::time::Duration::ZERO,
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
