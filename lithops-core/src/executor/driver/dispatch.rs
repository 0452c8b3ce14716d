//! Dispatch: which calls are handed to which worker, and when new workers are started.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;

use super::{
    payload_store::PayloadStore,
    run::{Driver, Kept},
};
use crate::{
    compute::{FeedCommand, Invocation, InvokeRequest, Liveness},
    error::{ErrorKind, Result, Retry},
    executor::job::JobEvent,
    id::ActivationId,
    plan::Plan,
    protocol::{Calls, Cancel, JobSpec, MAX_VALUE, Payloads, Run, SetProcesses, StoredCalls, now_nanos},
    tracker::{Dispatch, Tracking},
};

/// Calls are sent to live workers in frames of at most this many bytes, unless a single call is longer.
/// Smaller frames let the first calls run while the next ones are still on their way.
const FRAME_BYTES: usize = 4 << 20;

impl<T: Tracking> Driver<T> {
    /// Gives calls to workers until no worker has room, or no call is left.
    pub(super) fn dispatch(&mut self) {
        let chunksize = self.plan.chunksize() as u64;
        loop {
            let (again, suspects) = self.tracker.has_waiting();
            if suspects {
                // A suspect (a call that was lost with its worker) runs alone in a worker, so that it cannot
                // take other calls down with it.
                let idle = self.workers.idle();
                let number = match self.asks_first() {
                    true => {
                        if idle.is_none() && self.starting.is_empty() {
                            self.ask_for_worker();
                        }
                        idle
                    }
                    false => idle.or_else(|| self.start_worker(true)),
                };
                if let Some(number) = number {
                    if let Some(dispatch) = self.tracker.take_suspect() {
                        let calls = self.calls_again(dispatch);
                        self.hand_over(number, calls, dispatch);
                    }
                    continue;
                }
            }
            if self.holes {
                self.skip_settled();
            }
            if !again && !self.has_new_calls() {
                return;
            }
            // New workers come first, because starting one takes longest.
            let started = match self.asks_first() {
                true => {
                    self.ask_for_workers(again);
                    None
                }
                false => self.start_worker(false),
            };
            let (number, room) = match started {
                Some(number) => (number, self.chunk_for_new()),
                None => match self.workers.hungriest() {
                    Some((number, room)) => (number, room.div_ceil(chunksize) * chunksize),
                    None => return,
                },
            };
            match self.tracker.take_waiting(room) {
                Some(dispatch) => {
                    let calls = self.calls_again(dispatch);
                    self.hand_over(number, calls, dispatch);
                }
                None => {
                    let calls = self.new_calls(room);
                    let (first, end, attempt) = (calls.run.first, calls.run.end(), 1);
                    let dispatch = Dispatch { first, end, attempt, suspect: false, backup: false };
                    self.hand_over(number, calls, dispatch);
                }
            }
        }
    }

    /// Starts backup attempts of slow calls, once no other calls wait.
    pub(super) fn speculate(&mut self) {
        let progress = self.job.progress();
        let patience = self.pace.as_ref().and_then(|pace| pace.patience(progress.done, progress.known));
        let (Some(patience), true) = (patience, self.is_at_the_end()) else { return };
        let now = self.now();
        while let Some(before) = now.checked_sub(patience)
            && self.tracker.has_waiting() == (false, false)
            && let Some((dispatch, holder)) = self.tracker.straggler(before, self.plan.chunksize() as u64)
        {
            // A backup attempt in another worker is preferred: the first worker itself may be what is slow.
            let other = self.workers.hungriest_but(holder);
            let other = if self.asks_first() { other } else { other.or_else(|| self.start_worker(false)) };
            let Some(number) = other.or_else(|| self.workers.hungriest().map(|(number, _)| number)) else {
                return;
            };
            let (first, end) = (dispatch.first, dispatch.end);
            tracing::debug!(first, end, worker = number, "slow calls are tried by a second worker");
            self.job.count(|counts| counts.speculated += end - first);
            self.job.tell(|| JobEvent::Speculated { job: self.job.id(), first, end });
            let calls = self.calls_again(dispatch);
            self.hand_over(number, calls, dispatch);
        }
    }

    /// Adds a worker, if one more may live, and returns its number. The backend is asked for the worker when
    /// its first calls are handed over.
    pub(super) fn start_worker(&mut self, alone: bool) -> Option<u64> {
        let live = self.workers.staying();
        let first_steps =
            || self.tuning.as_ref().is_some_and(|tuning| live as u64 >= tuning.limit(&self.plan_now()));
        let allowed = self.throttle.allows(live) && !first_steps();
        allowed.then(|| {
            let number = self.workers.add(alone);
            self.budget.live(self.workers.len());
            self.job.worker_began(number);
            number
        })
    }

    /// The plan for the number of calls that is known so far.
    fn plan_now(&self) -> Plan {
        self.plan.for_calls(self.job.progress().known)
    }

    /// Tells the tuning how long calls have been running, on backends with a feed.
    pub(super) fn count_run(&mut self) {
        if let (Some(tuning), Some(measured), true) =
            (&mut self.tuning, &self.measured, self.backend.capabilities().feed)
        {
            tuning.ran(self.workers.running(self.plan.worker_processes() as u64), measured);
        }
    }

    /// Plans the rest of the job again, once enough calls were measured or enough time has passed.
    pub(super) fn tune(&mut self) {
        let (Some(tuning), Some(measured)) = (&mut self.tuning, &self.measured) else { return };
        if !tuning.is_due(measured) {
            return;
        }
        let progress = self.job.progress();
        let left = progress.known.saturating_sub(progress.done).max(1);
        let plan = self.plan.for_calls(progress.known);
        let running = self.workers.running(plan.worker_processes() as u64);
        let Some(plan) = tuning.replan(&plan, measured, left, running) else { return };
        let worker_processes = u32::try_from(plan.worker_processes()).unwrap_or(u32::MAX);
        if plan.worker_processes() != self.plan.worker_processes() {
            tracing::debug!(worker_processes, "the rest is planned anew");
            let processes = SetProcesses { job: self.spec.job, worker_processes };
            self.workers.feeds().for_each(|feed| feed.send(FeedCommand::Processes(processes)));
            self.spec = Arc::new(JobSpec { worker_processes, ..(*self.spec).clone() });
            self.workers.give_at_least(u64::from(worker_processes));
        }
        if plan.chunksize() != self.plan.chunksize() {
            self.begin_chunks_here();
        }
        self.plan = plan.clone();
        self.job.set_plan(plan);
    }

    /// Sends the present number of sub-workers to a new worker: tuning may have changed it while the worker
    /// started.
    fn tell_processes(&self, number: u64) {
        if let (Some(_), Some(feed)) = (&self.tuning, self.workers.feed(number)) {
            let worker_processes = self.spec.worker_processes;
            feed.send(FeedCommand::Processes(SetProcesses { job: self.spec.job, worker_processes }));
        }
    }

    /// Numbers chunks from the next call on, before the chunk size changes: activation numbers stay unique.
    fn begin_chunks_here(&mut self) {
        let (from, number) = self.chunks_from;
        let passed = (self.next - from).div_ceil(self.plan.chunksize() as u64);
        self.chunks_from = (self.next, number + passed);
    }

    /// How many calls a new worker is given: at most the number that fits into the platform's time limit.
    pub(super) fn chunk_for_new(&mut self) -> u64 {
        let chunksize = self.plan.chunksize() as u64;
        let fitting = self.fitting.unwrap_or(u64::MAX);
        let Some(tuning) = self.tuning.as_ref().filter(|_| !self.backend.capabilities().feed) else {
            return chunksize.min(fitting);
        };
        let left = self.job.progress().known.saturating_sub(self.next).max(1);
        tuning.chunk(&self.plan, left).min(fitting)
    }

    /// The platform's time limit ended a worker before it began the calls of `run`: from now on a chunk has
    /// at most as many calls as that worker has finished.
    pub(super) fn did_not_fit(&mut self, run: Run) {
        if self.backend.capabilities().feed {
            return;
        }
        let before = u64::from(run.offset).max(1);
        let fitting = self.fitting.unwrap_or(u64::MAX).min(before);
        if self.fitting != Some(fitting) {
            self.fitting = Some(fitting);
            tracing::info!(
                calls = fitting,
                "a chunk takes longer than a worker may: the rest goes in smaller ones"
            );
            self.job.tell(|| JobEvent::Replanned { job: self.job.id(), chunksize: fitting });
        }
    }

    /// Whether enough undispatched calls are ready: one on a backend with a feed, else a whole chunk, or the
    /// last calls of the inputs.
    fn has_new_calls(&mut self) -> bool {
        let any = self.backend.capabilities().feed || self.inputs_ended;
        self.ready_calls > 0 && (any || self.ready_calls as u64 >= self.chunk_for_new())
    }

    /// Joins the columns of the first `wanted` calls into one, because a chunk has a single column. The
    /// joined column has at most `MAX_VALUE` bytes.
    fn join_ready(&mut self, wanted: usize) {
        let (mut columns, mut calls, mut bytes) = (0, 0, 0);
        for column in &self.ready {
            if calls >= wanted || columns > 0 && bytes + column.encoded_len() > MAX_VALUE {
                break;
            }
            (columns, calls, bytes) = (columns + 1, calls + column.len(), bytes + column.encoded_len());
        }
        if columns > 1 {
            let joined = Payloads::concat(self.ready.drain(..columns));
            self.ready.push_front(joined);
        }
    }

    /// Hands calls to worker `number`. `calls` may be only the first part of `dispatch`.
    fn hand_over(&mut self, number: u64, calls: Calls, dispatch: Dispatch) {
        let run = calls.run;
        let dispatch = Dispatch { first: run.first, end: run.end(), ..dispatch };
        self.tracker.dispatched(dispatch, number, self.now());
        self.workers.given(number, (run.first, run.end()), calls.arguments.bytes(), dispatch.suspect);
        self.given.give(number, (run.first, run.end()), run.attempt);
        if let Some(payload_store) =
            self.payload_store.clone().filter(|payload_store| payload_store.take(&calls))
        {
            return self.store_first(number, calls, payload_store);
        }
        if let Some(feed) = self.workers.feed(number) {
            feed.send(FeedCommand::Chunk(calls));
        } else {
            let (backend, job) = (Arc::clone(&self.backend), Arc::clone(&self.spec));
            let mut request = InvokeRequest::new(job, vec![calls]);
            request.memory = self.memory();
            self.starting.push(Box::pin(async move { (number, backend.invoke(request).await) }));
        }
    }

    /// Hands calls to worker `number` whose arguments are too large for a message. The arguments are uploaded
    /// first; retries of the calls share one upload.
    fn store_first(&mut self, number: u64, calls: Calls, payload_store: PayloadStore) {
        let (_, kept) = self.kept.range(..=calls.run.first).next_back().expect("kept until committed");
        let (whole, stored) = (kept.calls.clone(), Arc::clone(&kept.stored));
        let storing = async move {
            let stored = stored.get_or_try_init(|| payload_store.put_calls(&whole)).await?;
            Ok(stored.part(&calls))
        };
        if self.workers.feed(number).is_some() {
            self.storing.push(Box::pin(async move { (number, storing.await) }));
            return;
        }
        let (backend, job, memory) = (Arc::clone(&self.backend), Arc::clone(&self.spec), self.memory());
        self.starting.push(Box::pin(async move {
            let invoked = match storing.await {
                Ok(stored) => {
                    let mut request = InvokeRequest::of_stored(job, vec![stored]);
                    request.memory = memory;
                    backend.invoke(request).await
                }
                Err(error) => Err(error),
            };
            (number, invoked)
        }));
    }

    /// The memory per worker that the job was planned with, in MiB; `None` where the platform does not sell
    /// memory.
    pub(super) fn memory(&self) -> Option<u64> {
        Some(self.plan.worker_memory()).filter(|memory| *memory > 0)
    }

    /// Sends calls to a live worker, after their arguments were uploaded.
    pub(super) fn feed_stored(&self, number: u64, stored: StoredCalls) {
        // If the worker has ended meanwhile, the tracker has already put its calls back.
        if let Some(feed) = self.workers.feed(number) {
            feed.send(FeedCommand::StoredChunk(Box::new(stored)));
        }
    }

    /// The kept calls of a retry or a backup attempt, under an activation number of their own. A part that
    /// lies beyond the kept range goes back to the tracker.
    fn calls_again(&mut self, again: Dispatch) -> Calls {
        let (first, Kept { calls: kept, .. }) =
            self.kept.range(..=again.first).next_back().expect("calls are kept until committed");
        let skip = u32::try_from(again.first - first).unwrap_or(u32::MAX);
        let count = u32::try_from(again.end.min(kept.run.end()) - again.first).unwrap_or(u32::MAX);
        let mut calls = kept.slice(skip, count);
        if calls.run.end() < again.end && !again.backup {
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
        self.job.handed_over(1);
        calls
    }

    /// Removes calls from the front of `ready` that already have an outcome.
    fn skip_settled(&mut self) {
        while let Some(front) = self.ready.front_mut() {
            let end = self.next + front.len() as u64;
            let open = self.tracker.open(self.next, end).first().map_or(end, |(first, _)| *first);
            let skip = usize::try_from(open - self.next).unwrap_or(usize::MAX);
            if skip == 0 {
                return;
            }
            self.ready_bytes -= front.slice(0, skip).bytes();
            if skip == front.len() {
                self.ready.pop_front();
            } else {
                *front = front.slice(skip, front.len() - skip);
            }
            self.next = open;
            self.ready_calls -= skip;
        }
    }

    fn new_calls(&mut self, limit: u64) -> Calls {
        let mut limit = limit;
        if self.holes {
            let open = self.tracker.open(self.next, self.next.saturating_add(limit));
            limit = open.first().map_or(limit, |(first, end)| end - first);
        }
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let feed = self.backend.capabilities().feed;
        if !feed {
            self.join_ready(wanted);
        }
        let front = self.ready.front_mut().expect("asked for only when inputs are ready");
        let wanted = wanted.min(front.len());
        let count = front.slice(0, wanted).fitting(if feed { FRAME_BYTES } else { MAX_VALUE });
        let arguments = front.slice(0, count);
        if count == front.len() {
            self.ready.pop_front();
        } else {
            *front = front.slice(count, front.len() - count);
        }
        if let Some(measured) = &mut self.measured {
            measured.add_arguments(count, arguments.bytes());
        }
        let (first, mut chunksize) = (self.next, self.plan.chunksize() as u64);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let tuned = self.tuning.is_some() && !self.backend.capabilities().feed;
        if tuned {
            // Tuning gives each worker a chunk of a different size, so that every chunk is numbered from its
            // first call.
            self.begin_chunks_here();
            chunksize = u64::from(count);
        }
        let (from, number) = self.chunks_from;
        let (chunk, offset) = ((first - from) / chunksize, (first - from) % chunksize);
        let end = first + u64::from(count) - from;
        self.job.handed_over(end.div_ceil(chunksize) - (first - from).div_ceil(chunksize));
        let run = Run {
            job: self.spec.job,
            activation: ActivationId(number + chunk),
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            chunksize: u32::try_from(chunksize).unwrap_or(u32::MAX),
            attempt: 1,
            first,
            count,
        };
        if tuned {
            self.chunks_from = (first + u64::from(count), number + 1);
        }
        let calls = Calls { run, batch: 0, queued_at: now_nanos(), arguments };
        self.next += u64::from(count);
        self.ready_calls -= count as usize;
        self.ready_bytes -= calls.arguments.bytes();
        self.kept.insert(first, Kept { calls: calls.clone(), open: count, stored: Arc::default() });
        calls
    }

    /// The backend has answered the request for a worker.
    pub(super) fn started(&mut self, number: u64, started: Result<Invocation>) -> Result<()> {
        let live = self.workers.len();
        match started {
            Ok(invocation) => {
                if self.backend.capabilities().liveness != Liveness::ResponseOnly {
                    self.throttle.accepted();
                }
                if let Some(feed) = invocation.feed.as_ref().filter(|_| !self.cancelled.is_empty()) {
                    let cancel = Cancel { job: self.spec.job, calls: self.cancelled.clone() };
                    feed.send(FeedCommand::CancelCalls(cancel));
                }
                let id = invocation.id.clone();
                tracing::debug!(worker = number, invocation = %id, "a worker has calls");
                if self.workers.started(number, id.clone(), invocation.feed) {
                    self.tell_processes(number);
                    self.job.tell(|| JobEvent::WorkerStarted { job: self.job.id(), workers: live });
                } else {
                    // The worker was given up while it started: reports that it still sends count, but it
                    // must not go on.
                    self.end_invocation(id);
                }
                let ended = futures_util::stream::once(async { None });
                let events = match &self.payload_store {
                    Some(payload_store) => payload_store.open(invocation.events),
                    None => invocation.events,
                };
                let events = events.map(Some).chain(ended).map(move |event| (number, event));
                self.events.push(Box::pin(events));
                self.look_at_waiting();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::RateLimited => {
                self.refused(number, Duration::ZERO);
                Ok(())
            }
            Err(error) if error.retry() == Retry::Later => {
                self.refused(number, Duration::ZERO);
                self.still_hopes(&error.to_string())
            }
            // Other workers are live: the job goes on with them, and asks for a further worker later.
            Err(error) if self.workers.is_there(number) && live > 1 => {
                tracing::warn!(%error, live = live - 1, "no further worker can be started for now");
                self.refused(number, Duration::ZERO);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The platform has asked to slow down while `live` workers were there. `seed` varies the length of the
    /// pause.
    pub(super) fn throttled(&mut self, live: usize, pause: Duration, seed: u64) {
        self.throttle.refused(live, pause, seed);
        tracing::debug!(live, "the platform asks to slow down");
        self.job.count(|counts| counts.throttled += 1);
        self.job.tell(|| JobEvent::Throttled { job: self.job.id() });
    }
}
