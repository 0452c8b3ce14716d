//! [`PoolJob`]: a job as the pool sees it: its queue, its pace, and which of its calls may not be begun any more.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lithops_core::{
    bytes::Bytes,
    protocol::{Calls, JobSpec, Report},
    tracker::Ranges,
};

use super::{chunk_commits::ChunkCommits, due::Due, owner::JobOwner, payload_store::PayloadStore};
use crate::pool::MAX_BATCH;

/// Calls shorter than this are sent in batches, because a message for each would cost as much as the call. CPU time and
/// memory are then known per batch only.
const SHORT: Duration = Duration::from_micros(20);
/// How long a batch of short calls should take: long enough that sending it costs little, and short enough that an idle
/// sub-worker need not take calls over.
const BATCH: Duration = Duration::from_millis(1);
/// The most bytes of arguments in a batch, unless a single call has more: a sub-worker reads all of them before it
/// begins the first call.
const BATCH_BYTES: usize = 256 << 10;

/// A job that has calls in the pool, or may get some.
#[derive(Debug)]
pub(in crate::pool) struct PoolJob {
    /// Who has started the job, and gets its reports.
    pub(in crate::pool) owner: JobOwner,
    pub(in crate::pool) spec: Arc<JobSpec>,
    /// The most of its calls that run at once: what its spec says, until the client sends another number.
    pub(in crate::pool) worker_processes: usize,
    /// The body of its job frame, which sub-workers get as it is.
    pub(in crate::pool) frame: Bytes,
    queue: VecDeque<Calls>,
    pub(in crate::pool) queued: u64,
    /// Slots that have calls of this job.
    pub(in crate::pool) slots: usize,
    /// The turn in which it was last given a slot.
    pub(in crate::pool) served: u64,
    /// The mean duration of a call in seconds, in which recent calls count more.
    pace: Option<f64>,
    cancelled: Ranges,
    /// Whether its calls are sent one by one: some call of the job has damaged a sub-worker, and alone it can be told
    /// which.
    pub(in crate::pool) one_by_one: bool,
    /// Until when it may run calls.
    pub(in crate::pool) due: Option<Due>,
    /// Why its calls cannot be run: its shared values cannot be read.
    pub(in crate::pool) unreadable: Option<String>,
    payload_store: OnceLock<Option<PayloadStore>>,
    /// The outcomes that wait for their chunk, when the job is durable.
    pub(in crate::pool) commits: Option<ChunkCommits>,
}

impl PoolJob {
    pub(in crate::pool) fn new(spec: JobSpec, frame: Bytes, owner: JobOwner) -> Self {
        Self {
            commits: ChunkCommits::of(&spec),
            owner,
            worker_processes: spec.worker_processes as usize,
            spec: Arc::new(spec),
            frame,
            queue: VecDeque::new(),
            queued: 0,
            slots: 0,
            served: 0,
            pace: None,
            cancelled: Ranges::default(),
            one_by_one: false,
            due: None,
            unreadable: None,
            payload_store: OnceLock::new(),
        }
    }

    /// The storage for payloads that no message can hold. It is opened when it is first needed.
    pub(in crate::pool) fn payload_store(&self) -> Option<PayloadStore> {
        self.payload_store.get_or_init(|| PayloadStore::of(&self.spec)).clone()
    }

    /// Whether it may have calls in one more slot.
    pub(in crate::pool) fn may_use_more(&self) -> bool {
        self.slots < self.worker_processes
    }

    /// Whether it has calls that no sub-worker has, and may be given one.
    pub(in crate::pool) fn waits(&self) -> bool {
        self.queued > 0 && self.may_use_more()
    }

    /// Whether it waits although it has less than its share of the slots.
    pub(in crate::pool) fn is_deprived(&self, share: usize) -> bool {
        self.queued > 0 && self.slots < share && self.may_use_more()
    }

    /// Takes in that calls have come. Returns the outcomes that can be reported now: those of chunks of which some calls
    /// were cancelled before they came.
    pub(in crate::pool) fn given(&mut self, calls: &Calls) -> Vec<Report> {
        let Some(commits) = &mut self.commits else { return Vec::new() };
        commits.given(calls);
        let run = calls.run;
        let mut gone = Ranges::default();
        gone.insert(run.first, run.end());
        self.cancelled.missing(run.first, run.end()).into_iter().for_each(|(first, end)| {
            gone.remove(first, end);
        });
        commits.cancelled(&gone.iter().collect::<Vec<_>>())
    }

    /// Queues calls, as far as they are not cancelled.
    pub(in crate::pool) fn push_back(&mut self, calls: Calls) {
        self.allowed(calls).into_iter().for_each(|calls| {
            self.queued += u64::from(calls.run.count);
            self.queue.push_back(calls);
        });
    }

    /// Puts back calls that were given out and not begun: they are next in turn.
    pub(in crate::pool) fn push_front(&mut self, calls: Calls) {
        self.allowed(calls).into_iter().rev().for_each(|calls| {
            self.queued += u64::from(calls.run.count);
            self.queue.push_front(calls);
        });
    }

    /// The next batch: as many calls as the pace allows, but no more than a fair share of what is queued.
    pub(in crate::pool) fn take_batch(&mut self) -> Option<Calls> {
        let share = self.queued.div_ceil(self.worker_processes.max(1) as u64);
        let wanted = self.window().min(u32::try_from(share).unwrap_or(u32::MAX)).max(1);
        let front = self.queue.front_mut()?;
        let count = wanted.min(front.run.count);
        let fitting = front.arguments.slice(0, count as usize).fitting(BATCH_BYTES);
        let count = u32::try_from(fitting).unwrap_or(count);
        let calls = if count == front.run.count { self.queue.pop_front()? } else { front.take_front(count) };
        self.queued -= u64::from(calls.run.count);
        Some(calls)
    }

    /// Takes in how long calls of a batch have taken together.
    pub(in crate::pool) fn measured(&mut self, calls: usize, took: Duration) {
        if calls > 0 {
            let each = took.as_secs_f64() / calls as f64;
            // The last few batches decide: the pace of a job may change with its inputs.
            self.pace = Some(self.pace.map_or(each, |pace| pace + (each - pace) / 4.0));
        }
    }

    /// How long this many calls are expected to take. Before any has ended, a second each.
    pub(in crate::pool) fn expected(&self, calls: u32) -> Duration {
        Duration::from_secs_f64(self.pace.unwrap_or(1.0) * f64::from(calls))
    }

    /// Forbids calls to be begun, and drops those that are queued.
    pub(in crate::pool) fn cancel(&mut self, calls: &[(u64, u64)]) {
        calls.iter().for_each(|(first, end)| self.cancelled.insert(*first, *end));
        let waiting = std::mem::take(&mut self.queue);
        self.queued = 0;
        waiting.into_iter().for_each(|calls| self.push_back(calls));
    }

    /// Takes all calls out of the queue.
    pub(in crate::pool) fn take_waiting(&mut self) -> Vec<Calls> {
        self.queued = 0;
        std::mem::take(&mut self.queue).into()
    }

    pub(in crate::pool) fn is_cancelled(&self, call: u64) -> bool {
        self.cancelled.contains(call)
    }

    /// How many calls may be in the next batch.
    fn window(&self) -> u32 {
        match self.pace {
            Some(pace) if !self.spec.at_most_once && !self.one_by_one && pace < SHORT.as_secs_f64() => {
                let fitting = BATCH.as_secs_f64() / pace.max(1e-9);
                (fitting as u32).clamp(2, MAX_BATCH)
            }
            _ => 1,
        }
    }

    /// The parts of calls that are not cancelled.
    fn allowed(&self, calls: Calls) -> Vec<Calls> {
        if self.cancelled.is_empty() {
            return vec![calls];
        }
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let left = self.cancelled.missing(calls.run.first, calls.run.end());
        let part = |(first, end)| calls.slice(narrow(first - calls.run.first), narrow(end - first));
        left.into_iter().map(part).collect()
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
