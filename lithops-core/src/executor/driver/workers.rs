//! [`Workers`]: the live workers of a job, and which of them should be given calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    compute::{Feed, InvocationId},
    tracker::{Ranges, Window},
};

/// How long it may take at least to ask for a worker.
const ASKING: Duration = Duration::from_secs(300);

/// One worker of a job, from the moment it is asked for.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its invocation, once the backend has accepted it.
    pub(crate) invocation: Option<InvocationId>,
    feed: Option<Feed>,
    window: Window,
    /// The calls it has and has not reported: a report may come twice.
    outstanding: Ranges,
    /// It has suspects, and must be given nothing else before they are reported.
    alone: bool,
    heard: Instant,
}

/// The live workers of a job.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// In order, so that the same events have the same consequences.
    all: BTreeMap<u64, Worker>,
    /// Those with room for calls, fewest calls first.
    hungry: BTreeSet<(u64, u64)>,
    next: u64,
    /// How many calls a worker is given ahead of its reports at least.
    least: u64,
}

impl Workers {
    /// No workers yet; each is given at least so many calls ahead of its reports.
    pub(crate) fn new(least: u64) -> Self {
        Self { least, ..Self::default() }
    }

    /// How many calls run, when no more than so many do in each.
    pub(crate) fn running(&self, worker_processes: u64) -> u64 {
        self.all.values().map(|worker| worker.window.calls().min(worker_processes)).sum()
    }

    /// From now on each is given at least so many calls ahead of its reports.
    pub(crate) fn give_at_least(&mut self, least: u64) {
        self.least = least;
        for number in self.all.keys().copied().collect::<Vec<_>>() {
            self.change(number, |worker| worker.window.give_at_least(least));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// A new worker that is being asked for.
    pub(crate) fn add(&mut self, alone: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        let now = Instant::now();
        let window = Window::new(self.least, now.into_std());
        let outstanding = Ranges::default();
        self.all
            .insert(number, Worker { invocation: None, feed: None, window, outstanding, alone, heard: now });
        number
    }

    /// The backend has accepted it. Returns whether it is still wanted.
    pub(crate) fn started(&mut self, number: u64, invocation: InvocationId, feed: Option<Feed>) -> bool {
        let wanted = self.change(number, |worker| {
            worker.invocation = Some(invocation);
            worker.feed = feed;
            worker.heard = Instant::now();
        });
        wanted.is_some()
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Worker> {
        let worker = self.all.remove(&number)?;
        self.hungry.remove(&(worker.window.calls(), number));
        Some(worker)
    }

    /// The worker that should be given calls first, and how many it has room for.
    pub(crate) fn hungriest(&self) -> Option<(u64, u64)> {
        let (_, number) = self.hungry.first()?;
        Some((*number, self.all.get(number)?.window.room()))
    }

    /// As `hungriest`, of the others.
    pub(crate) fn hungriest_but(&self, other: u64) -> Option<u64> {
        self.hungry.iter().map(|(_, number)| *number).find(|number| *number != other)
    }

    /// A worker that has nothing, for suspects.
    pub(crate) fn idle(&self) -> Option<u64> {
        self.hungry.first().filter(|(calls, _)| *calls == 0).map(|(_, number)| *number)
    }

    pub(crate) fn feed(&self, number: u64) -> Option<&Feed> {
        self.all.get(&number)?.feed.as_ref()
    }

    pub(crate) fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.all.values().filter_map(|worker| worker.feed.as_ref())
    }

    /// The feeds of workers that have some of these calls, but for one worker's.
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

    /// It was given calls.
    pub(crate) fn given(&mut self, number: u64, calls: (u64, u64), bytes: usize, alone: bool) {
        self.change(number, |worker| {
            // It may have one of them already: a slow call can be tried twice by the same worker.
            let before = worker.outstanding.len();
            worker.outstanding.insert(calls.0, calls.1);
            worker.window.given(worker.outstanding.len() - before, bytes);
            worker.alone |= alone;
        });
    }

    /// It has reported calls.
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

    /// Calls have been reported, by whoever had them.
    pub(crate) fn reported_by_any(&mut self, calls: (u64, u64)) {
        let has = |worker: &Worker| worker.outstanding.missing(calls.0, calls.1) != [calls];
        let holders = self.all.iter().filter(|(_, worker)| has(worker)).map(|(number, _)| *number);
        holders.collect::<Vec<_>>().into_iter().for_each(|number| self.reported(number, calls));
    }

    pub(crate) fn is_there(&self, number: u64) -> bool {
        self.all.contains_key(&number)
    }

    /// It was heard of.
    pub(crate) fn heard(&mut self, number: u64) {
        if let Some(worker) = self.all.get_mut(&number) {
            worker.heard = Instant::now();
        }
    }

    /// Those that have not been heard of for so long.
    pub(crate) fn silent(&self, lease: Duration) -> Vec<u64> {
        // One that is being asked for says nothing, and what it is to be given may be stored first.
        let patience = |worker: &Worker| match worker.invocation {
            Some(_) => lease,
            None => lease.max(ASKING),
        };
        let silent = self.all.iter().filter(|(_, worker)| worker.heard.elapsed() >= patience(worker));
        silent.map(|(number, _)| *number).collect()
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Worker)) -> Option<()> {
        let worker = self.all.get_mut(&number)?;
        self.hungry.remove(&(worker.window.calls(), number));
        change(worker);
        if worker.feed.is_some() && !worker.alone && worker.window.room() > 0 {
            self.hungry.insert((worker.window.calls(), number));
        }
        Some(())
    }
}
