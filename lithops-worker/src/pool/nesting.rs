//! Jobs that calls start: whose they are, which calls wait for them, and how the sub-workers are shared with them.
//!
//! `worker_processes` bounds the calls that get on with their work. A call that waits for calls of its own does not get
//! on, and must not keep them from running. Deeper calls go first: then a call is only begun when every call that waits
//! has somewhere below it one that runs, so that there are never more than
//! [`MAX_DEPTH`](lithops_core::nesting::MAX_DEPTH) times as many that wait.

use std::collections::BTreeSet;

use lithops_core::{
    error::Result,
    protocol::{Frame, Outbox},
};

use super::{Pool, jobs::JobOwner};

impl Pool {
    /// The executors in a slot's calls have sent something for the first time.
    pub(super) fn open_nested(&mut self, slot: u64, outbox: Outbox) {
        // The sub-worker may have ended since.
        if self.slots.contains_key(&slot) {
            self.outgoing.open(slot, outbox);
        }
    }

    /// Takes in a frame of a slot's executors. A wrong frame ends their jobs, and harms no others.
    pub(super) fn nested_frame(&mut self, slot: u64, frame: &Frame) -> Result<()> {
        let owner = JobOwner::Slot(slot);
        if self.outgoing.hears(owner) && self.frame_of(owner, frame).is_err() {
            self.end_nested(slot)?;
        }
        Ok(())
    }

    /// Ends the jobs that a slot's calls have started: the sub-worker has ended, or the socket of its executors is
    /// closed.
    pub(super) fn end_nested(&mut self, slot: u64) -> Result<()> {
        if !self.outgoing.close(slot) {
            return Ok(());
        }
        let jobs = self.jobs.values().filter(|job| job.owner == JobOwner::Slot(slot));
        let jobs: Vec<_> = jobs.map(|job| job.spec.job).collect();
        jobs.into_iter().try_for_each(|job| self.forget(job))
    }

    /// Ends sub-workers that were only needed while others waited. Those that one level of nesting needs stay warm.
    pub(super) fn end_surplus(&mut self) {
        let surplus = self.slots.len().saturating_sub(2 * self.widest);
        let idle = self.slots.iter().rev().filter(|(_, slot)| slot.is_idle()).map(|(number, _)| *number);
        // A sub-worker ends by itself when its channel is closed. Its executors, if it has any, have nothing running.
        for number in idle.take(surplus).collect::<Vec<_>>() {
            self.slots.remove(&number);
            self.outgoing.close(number);
        }
    }

    /// The slots whose running call waits: it has started a job that is not finished.
    pub(super) fn parents(&self) -> BTreeSet<u64> {
        if !self.outgoing.has_executors() {
            return BTreeSet::new();
        }
        let open = self.jobs.values().filter(|job| job.queued > 0 || job.slots > 0);
        let parents = open.filter_map(|job| {
            let (JobOwner::Slot(number), Some(parent)) = (job.owner, job.spec.parent) else { return None };
            let (batch, index) = self.slots.get(&number)?.running()?;
            let run = batch.calls.run;
            // The call that has started the job may have ended. The call that runs in its slot now does not wait.
            (parent.job == run.job && parent.call == run.first + u64::from(index)).then_some(number)
        });
        parents.collect()
    }

    /// How many sub-workers are not idle, but for those whose running call waits.
    pub(super) fn busy(&self, parents: &BTreeSet<u64>) -> usize {
        self.slots.iter().filter(|(number, slot)| !slot.is_idle() && !parents.contains(number)).count()
    }

    /// How many more sub-workers may be busy.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.busy(&self.parents()))
    }

    /// The depth of the deepest job that has calls to give out.
    pub(super) fn deepest_waiting(&self) -> u32 {
        if !self.outgoing.has_executors() {
            return 0;
        }
        self.jobs.values().filter(|job| job.waits()).map(|job| job.spec.depth).max().unwrap_or(0)
    }

    /// Takes back calls that were given in advance: from slots whose running call waits, and from slots whose job is
    /// not as deep as one with calls to give out.
    pub(super) fn make_way(&mut self) {
        if !self.outgoing.has_executors() {
            return;
        }
        let (parents, deepest) = (self.parents(), self.deepest_waiting());
        for (number, slot) in &mut self.slots {
            let Some(job) = slot.job().and_then(|id| self.jobs.get_mut(&id)) else { continue };
            if parents.contains(number) || job.spec.depth < deepest {
                slot.take_back_all(job);
            }
        }
    }
}
