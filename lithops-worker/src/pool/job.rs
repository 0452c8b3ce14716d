//! A job as the pool sees it: its queue, its pace, and what may not be begun any more.

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

use super::{MAX_BATCH, bundles::Bundles, deadline::Due, nesting::Owner, parcels::Depot};

/// Calls shorter than this travel in batches; cpu time and memory are then known per batch only.
const SHORT: Duration = Duration::from_micros(20);
/// How long a batch of short calls should take.
const BATCH: Duration = Duration::from_millis(1);
/// A batch has no more bytes of arguments than this, unless a single call has.
const BATCH_BYTES: usize = 256 << 10;

/// A job that has calls here, or may get some.
#[derive(Debug)]
pub(super) struct Job {
    /// Who has started it and hears of it.
    pub(super) owner: Owner,
    pub(super) spec: Arc<JobSpec>,
    /// The most of its calls that run at once: what its spec says, until the client changes its mind.
    pub(super) worker_processes: usize,
    /// The body of its job frame, to be forwarded.
    pub(super) frame: Bytes,
    pub(super) queue: VecDeque<Calls>,
    pub(super) queued: u64,
    /// Slots that have calls of this job.
    pub(super) slots: usize,
    /// The turn in which it was last given a slot.
    pub(super) served: u64,
    /// The mean duration of a call, recent ones counting more.
    pace: Option<f64>,
    cancelled: Ranges,
    /// Whether its calls travel alone: one of them harms those beside it, and nobody knows which.
    pub(super) one_by_one: bool,
    /// Until when it may run calls.
    pub(super) due: Option<Due>,
    /// Why its calls cannot be run: its shared values are not to be had.
    pub(super) unreadable: Option<String>,
    depot: OnceLock<Option<Depot>>,
    /// What is kept until a whole chunk can be stored, when the job is durable.
    pub(super) bundles: Option<Bundles>,
}

impl Job {
    pub(super) fn new(spec: JobSpec, frame: Bytes, owner: Owner) -> Self {
        Self {
            bundles: Bundles::of(&spec),
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
            depot: OnceLock::new(),
        }
    }

    /// Where it keeps what a message cannot hold.
    pub(super) fn depot(&self) -> Option<Depot> {
        self.depot.get_or_init(|| Depot::of(&self.spec)).clone()
    }

    /// Whether it may have calls in one more slot.
    pub(super) fn may_use_more(&self) -> bool {
        self.slots < self.worker_processes
    }

    /// Whether it has calls that no sub-worker has, and may be given one.
    pub(super) fn waits(&self) -> bool {
        self.queued > 0 && self.may_use_more()
    }

    /// Whether it waits although it has less than its share of the slots.
    pub(super) fn is_deprived(&self, share: usize) -> bool {
        self.queued > 0 && self.slots < share && self.may_use_more()
    }

    /// Calls have come. Of a chunk of which some were cancelled before, the client is told what there is.
    pub(super) fn given(&mut self, calls: &Calls) -> Vec<Report> {
        let Some(bundles) = &mut self.bundles else { return Vec::new() };
        bundles.given(calls);
        let run = calls.run;
        let mut gone = Ranges::default();
        gone.insert(run.first, run.end());
        self.cancelled.missing(run.first, run.end()).into_iter().for_each(|(first, end)| {
            gone.remove(first, end);
        });
        bundles.cancelled(&gone.iter().collect::<Vec<_>>())
    }

    pub(super) fn push_back(&mut self, calls: Calls) {
        self.allowed(calls).into_iter().for_each(|calls| {
            self.queued += u64::from(calls.run.count);
            self.queue.push_back(calls);
        });
    }

    /// Puts back calls that were given out and not begun: they are next.
    pub(super) fn push_front(&mut self, calls: Calls) {
        self.allowed(calls).into_iter().rev().for_each(|calls| {
            self.queued += u64::from(calls.run.count);
            self.queue.push_front(calls);
        });
    }

    /// The next batch: as many calls as the pace allows, but no more than a fair share of what is queued.
    pub(super) fn take_batch(&mut self) -> Option<Calls> {
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

    /// Takes in how long a batch took.
    pub(super) fn measured(&mut self, calls: usize, took: Duration) {
        if calls > 0 {
            let each = took.as_secs_f64() / calls as f64;
            self.pace = Some(self.pace.map_or(each, |pace| pace + (each - pace) / 4.0));
        }
    }

    /// How long so many calls are expected to take.
    pub(super) fn expected(&self, calls: u32) -> Duration {
        Duration::from_secs_f64(self.pace.unwrap_or(1.0) * f64::from(calls))
    }

    /// Forbids calls to be begun, and drops those that wait.
    pub(super) fn cancel(&mut self, calls: &[(u64, u64)]) {
        calls.iter().for_each(|(first, end)| self.cancelled.insert(*first, *end));
        let waiting = std::mem::take(&mut self.queue);
        self.queued = 0;
        waiting.into_iter().for_each(|calls| self.push_back(calls));
    }

    /// Takes everything that waits.
    pub(super) fn take_waiting(&mut self) -> Vec<Calls> {
        self.queued = 0;
        std::mem::take(&mut self.queue).into()
    }

    pub(super) fn is_cancelled(&self, call: u64) -> bool {
        self.cancelled.contains(call)
    }

    fn window(&self) -> u32 {
        match self.pace {
            Some(pace) if !self.spec.at_most_once && !self.one_by_one && pace < SHORT.as_secs_f64() => {
                let fitting = BATCH.as_secs_f64() / pace.max(1e-9);
                (fitting as u32).clamp(2, MAX_BATCH)
            }
            _ => 1,
        }
    }

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
mod tests {
    use lithops_core::{
        id::{ActivationId, JobId},
        protocol::{PayloadsBuilder, Run},
    };

    use super::*;

    fn job(at_most_once: bool, calls: u32, bytes: usize) -> Job {
        let id = JobId::generate();
        let mut job = Job::new(
            JobSpec {
                job: id,
                function: "f".into(),
                worker_processes: 4,
                timeout: None,
                at_most_once,
                env: Vec::new(),
                shared: Vec::new(),
                stored_shared: Vec::new(),
                inline_limit: None,
                storage: None,
                log_limit: 1 << 20,
                durable: None,
                depth: 0,
                parent: None,
            },
            Bytes::default(),
            Owner::Client,
        );
        let mut arguments = PayloadsBuilder::default();
        for _ in 0..calls {
            arguments.data().extend(std::iter::repeat_n(0, bytes));
            arguments.end_value();
        }
        let run = Run {
            job: id,
            activation: ActivationId(0),
            offset: 0,
            chunksize: 8,
            attempt: 1,
            first: 0,
            count: calls,
        };
        job.push_back(Calls { run, batch: 0, queued_at: 0, arguments: arguments.finish() });
        job
    }

    #[test]
    fn batches_follow_the_pace_and_share_what_there_is() {
        let mut job = job(false, 10_000, 1);
        assert_eq!(job.take_batch().expect("calls").run.count, 1, "nothing is known yet");
        (0..50).for_each(|_| job.measured(1, Duration::from_nanos(300)));
        assert_eq!(job.take_batch().expect("calls").run.count, MAX_BATCH);
        (0..50).for_each(|_| job.measured(1, Duration::from_micros(10)));
        assert!((90..=110).contains(&job.take_batch().expect("calls").run.count), "about a millisecond");
        (0..50).for_each(|_| job.measured(1, Duration::from_millis(5)));
        assert_eq!(job.take_batch().expect("calls").run.count, 1);
        (0..50).for_each(|_| job.measured(1, Duration::from_nanos(300)));
        while job.queued > 40 {
            job.take_batch();
        }
        assert!(job.take_batch().expect("calls").run.count <= 10, "a quarter of what is left");
    }

    #[test]
    fn batches_are_bounded_in_bytes_and_never_made_of_calls_that_may_run_once() {
        let mut large = job(false, 100, 100_000);
        (0..50).for_each(|_| large.measured(1, Duration::from_nanos(300)));
        assert_eq!(large.take_batch().expect("calls").run.count, 2);
        let mut once = job(true, 100, 1);
        (0..50).for_each(|_| once.measured(1, Duration::from_nanos(300)));
        assert_eq!(once.take_batch().expect("calls").run.count, 1);
    }

    #[test]
    fn cancelled_calls_are_neither_queued_nor_put_back() {
        let mut job = job(false, 10, 1);
        let given = job.take_batch().expect("a call");
        job.cancel(&[(0, 3), (5, 10)]);
        assert_eq!(job.queued, 2);
        job.push_front(given);
        let left: Vec<_> = std::iter::from_fn(|| job.take_batch()).map(|calls| calls.run.first).collect();
        assert_eq!(left, [3, 4]);
    }

    #[test]
    fn of_a_chunk_whose_calls_were_cancelled_before_they_came_the_rest_is_reported() {
        use lithops_core::{
            protocol::{DurableSpec, failed_together},
            storage::Locator,
        };

        let mut job = job(false, 0, 0);
        let mut spec = (*job.spec).clone();
        spec.durable = Some(DurableSpec { calls: 4, chunksize: 4, failures_are_final: true });
        spec.storage = Some(Locator::new("memory", "bucket"));
        job = Job::new(spec, Bytes::default(), Owner::Client);
        job.cancel(&[(1, 2)]);
        let mut arguments = PayloadsBuilder::default();
        (0..4).for_each(|_| arguments.end_value());
        let (id, activation) = (job.spec.job, ActivationId(0));
        let run = Run { job: id, activation, offset: 0, chunksize: 4, attempt: 1, first: 0, count: 4 };
        job.given(&Calls { run, batch: 0, queued_at: 0, arguments: arguments.finish() });
        let bundles = job.bundles.as_mut().expect("it is durable");
        let mut passed_on = 0;
        for (first, end) in [(0, 1), (2, 4)] {
            for report in failed_together(id, vec![(first, end)], b"e") {
                let decided = bundles.ended(&report);
                assert!(decided.store.is_empty(), "it is no whole chunk");
                passed_on += decided.pass_on.iter().map(Report::len).sum::<usize>();
            }
        }
        assert_eq!(passed_on, 3, "the client commits the chunk");
    }
}
