//! [`Workers`]: the live workers of a job, and which of them should be given calls next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    compute::{Feed, InvocationId},
    tracker::{Ranges, Window},
};

/// The least time that a request for a worker may take before the worker counts as silent. A shorter time
/// would give up workers whose payload is still being uploaded.
const ASKING: Duration = Duration::from_secs(300);

/// One worker of a job, from the moment the backend is asked for it.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The invocation, once the backend has accepted the request.
    pub(crate) invocation: Option<InvocationId>,
    feed: Option<Feed>,
    window: Window,
    /// The calls that the worker has not reported. A set rather than a count, because a report may come
    /// twice.
    outstanding: Ranges,
    /// The worker runs suspects, and must be given nothing else before they are reported.
    alone: bool,
    /// The worker ends soon, and is given nothing more.
    leaves: bool,
    /// When the worker last reported, or was accepted, or asked for.
    heard: Instant,
}

/// The live workers of a job.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// In order, so that the same events have the same consequences.
    all: BTreeMap<u64, Worker>,
    /// The workers with room, as `(calls in hand, number)`: the one with the fewest calls comes first.
    hungry: BTreeSet<(u64, u64)>,
    next: u64,
    /// How many workers end soon.
    leaving: usize,
    /// A worker is given at least this many calls ahead of its reports.
    least: u64,
}

impl Workers {
    /// No workers; each that is added is given at least `least` calls ahead of its reports.
    pub(crate) fn new(least: u64) -> Self {
        Self { least, ..Self::default() }
    }

    /// How many calls run at once, when a worker runs at most `worker_processes`.
    pub(crate) fn running(&self, worker_processes: u64) -> u64 {
        self.all.values().map(|worker| worker.window.calls().min(worker_processes)).sum()
    }

    /// From now on each worker is given at least `least` calls ahead of its reports.
    pub(crate) fn give_at_least(&mut self, least: u64) {
        self.least = least;
        for number in self.all.keys().copied().collect::<Vec<_>>() {
            self.change(number, |worker| worker.window.give_at_least(least));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many workers are not about to end.
    pub(crate) fn staying(&self) -> usize {
        self.all.len() - self.leaving
    }

    /// Adds a worker that is about to be requested, and returns its number. `alone` reserves the worker for
    /// suspects.
    pub(crate) fn add(&mut self, alone: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        let now = Instant::now();
        let window = Window::new(self.least, now.into_std());
        let outstanding = Ranges::default();
        let worker =
            Worker { invocation: None, feed: None, window, outstanding, alone, leaves: false, heard: now };
        self.all.insert(number, worker);
        number
    }

    /// Notes that the backend has accepted the worker. Returns `false` if the worker was given up meanwhile.
    pub(crate) fn started(&mut self, number: u64, invocation: InvocationId, feed: Option<Feed>) -> bool {
        let wanted = self.change(number, |worker| {
            worker.invocation = Some(invocation);
            worker.feed = feed;
            worker.heard = Instant::now();
        });
        wanted.is_some()
    }

    /// Removes a worker; `None` if it was already removed.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Worker> {
        let worker = self.all.remove(&number)?;
        self.hungry.remove(&(worker.window.calls(), number));
        self.leaving -= usize::from(worker.leaves);
        Some(worker)
    }

    /// Notes that a worker ends soon: it is given nothing more.
    pub(crate) fn leaves(&mut self, number: u64) {
        let mut is_new = false;
        self.change(number, |worker| is_new = !std::mem::replace(&mut worker.leaves, true));
        self.leaving += usize::from(is_new);
    }

    /// The worker with the fewest calls among those with room, and how many calls it has room for.
    pub(crate) fn hungriest(&self) -> Option<(u64, u64)> {
        let (_, number) = self.hungry.first()?;
        Some((*number, self.all.get(number)?.window.room()))
    }

    /// The worker with the fewest calls among those with room, except `other`.
    pub(crate) fn hungriest_but(&self, other: u64) -> Option<u64> {
        self.hungry.iter().map(|(_, number)| *number).find(|number| *number != other)
    }

    /// A worker without any calls, for suspects.
    pub(crate) fn idle(&self) -> Option<u64> {
        self.hungry.first().filter(|(calls, _)| *calls == 0).map(|(_, number)| *number)
    }

    pub(crate) fn feed(&self, number: u64) -> Option<&Feed> {
        self.all.get(&number)?.feed.as_ref()
    }

    pub(crate) fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.all.values().filter_map(|worker| worker.feed.as_ref())
    }

    /// The feeds of workers that have some of the calls `first..end`, except that of worker `but`.
    pub(crate) fn feeds_with(&self, first: u64, end: u64, but: u64) -> impl Iterator<Item = &Feed> {
        let has = move |worker: &Worker| worker.outstanding.missing(first, end) != [(first, end)];
        self.all
            .iter()
            .filter(move |(number, worker)| but != **number && has(worker))
            .filter_map(|(_, worker)| worker.feed.as_ref())
    }

    pub(crate) fn invocations(&self) -> impl Iterator<Item = &InvocationId> {
        self.all.values().filter_map(|worker| worker.invocation.as_ref())
    }

    /// Notes that a worker was given calls with `bytes` bytes of arguments; `alone` marks them as suspects.
    pub(crate) fn given(&mut self, number: u64, calls: (u64, u64), bytes: usize, alone: bool) {
        self.change(number, |worker| {
            // The worker may have some of the calls already: a backup attempt can go to the same worker.
            let before = worker.outstanding.len();
            worker.outstanding.insert(calls.0, calls.1);
            worker.window.given(worker.outstanding.len() - before, bytes);
            worker.alone |= alone;
        });
    }

    /// Notes that a worker has reported calls.
    pub(crate) fn reported(&mut self, number: u64, calls: (u64, u64)) {
        let now = Instant::now();
        self.change(number, |worker| {
            let reported = worker.outstanding.remove(calls.0, calls.1);
            worker.window.reported(reported, now.into_std());
            worker.heard = now;
            if worker.window.calls() == 0 {
                worker.alone = false;
            }
        });
    }

    /// Frees the room of `calls` in every worker that has some of them.
    pub(crate) fn reported_by_any(&mut self, calls: (u64, u64)) {
        let has = |worker: &Worker| worker.outstanding.missing(calls.0, calls.1) != [calls];
        let holders = self.all.iter().filter(|(_, worker)| has(worker)).map(|(number, _)| *number);
        holders.collect::<Vec<_>>().into_iter().for_each(|number| self.reported(number, calls));
    }

    pub(crate) fn is_there(&self, number: u64) -> bool {
        self.all.contains_key(&number)
    }

    /// Renews the lease of a worker that has sent something.
    pub(crate) fn heard(&mut self, number: u64) {
        if let Some(worker) = self.all.get_mut(&number) {
            worker.heard = Instant::now();
        }
    }

    /// The workers that have sent nothing for the length of the lease.
    pub(crate) fn silent(&self, lease: Duration) -> Vec<u64> {
        // A requested worker cannot send anything yet, and its arguments may have to be uploaded first.
        let patience = |worker: &Worker| match worker.invocation {
            Some(_) => lease,
            None => lease.max(ASKING),
        };
        let silent = self.all.iter().filter(|(_, worker)| worker.heard.elapsed() >= patience(worker));
        silent.map(|(number, _)| *number).collect()
    }

    /// Changes a worker and keeps `hungry` in step: its key contains the number of calls.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Worker)) -> Option<()> {
        let worker = self.all.get_mut(&number)?;
        self.hungry.remove(&(worker.window.calls(), number));
        change(worker);
        if worker.feed.is_some() && !worker.alone && !worker.leaves && worker.window.room() > 0 {
            self.hungry.insert((worker.window.calls(), number));
        }
        Some(())
    }
}
