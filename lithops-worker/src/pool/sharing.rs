//! Which sub-worker gets which calls: idle and new ones those that wait, busy ones the next in advance, and some of
//! what a busy one has not begun goes to an idle one.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use lithops_core::error::Result;

use super::{Pool, job::Job, shortage::has_spare_descriptors, slot::Slot};
use crate::clock;

/// No more sub-workers than this are started in one turn: it takes time, and those that are there wait meanwhile.
const STARTS: usize = 2;
/// A call that runs for longer than this does not keep others waiting behind it.
const STUCK: Duration = Duration::from_millis(1);

impl Pool {
    /// Gives idle and new sub-workers to the jobs that wait: first to the deepest, then to the one that has fewest,
    /// then to the one that was served longest ago.
    pub(super) fn fill_idle(&mut self) -> Result<()> {
        let mut started = 0;
        self.starts_more = false;
        for _ in 0..self.room() {
            if !self.jobs.values().any(Job::waits) {
                return Ok(());
            }
            let idle = self.slots.iter().find(|(_, slot)| slot.is_idle()).map(|(number, _)| *number);
            let number = match idle {
                Some(number) => number,
                None if self.shortage.lasts() => return Ok(()),
                None if started == STARTS => {
                    self.starts_more = true;
                    return Ok(());
                }
                None => {
                    started += 1;
                    match self.start_one() {
                        Ok(number) => number,
                        // Those that there are go on; what is short now may be there in a moment.
                        Err(error) => return self.shortage.begins(error, self.slots.len()),
                    }
                }
            };
            let waiting = self.jobs.values_mut().filter(|job| job.waits());
            let Some(job) = waiting.min_by_key(|job| (Reverse(job.spec.depth), job.slots, job.served)) else {
                return Ok(());
            };
            let (Some(slot), Some(calls)) = (self.slots.get_mut(&number), job.take_batch()) else {
                return Ok(());
            };
            self.turns += 1;
            job.served = self.turns;
            job.slots += 1;
            slot.give(job, calls);
        }
        Ok(())
    }

    /// Starts a sub-worker, unless it would take what those that are there need.
    fn start_one(&mut self) -> Result<u64> {
        if !self.slots.is_empty() {
            has_spare_descriptors()?;
        }
        let number = self.next_slot;
        let slot = Slot::start(number, &self.setup.program, &self.secrets, self.events.clone())?;
        self.next_slot += 1;
        self.slots.insert(number, slot);
        Ok(number)
    }

    /// Gives busy sub-workers the next batch in advance, unless that would keep another job waiting that has less
    /// than its share of them.
    pub(super) fn prefetch(&mut self) {
        let contenders = self.jobs.values().filter(|job| job.queued > 0 || job.slots > 0).count();
        let share = self.most.div_ceil(contenders.max(1));
        let deprived: Vec<_> =
            self.jobs.values().filter(|job| job.is_deprived(share)).map(|job| job.spec.job).collect();
        let (parents, deepest) = (self.parents(), self.deepest_waiting());
        // A call has ended for which others still run: its slot must come to rest, not begin the next.
        if self.busy(&parents) > self.most {
            return;
        }
        let one_batch = |slot: &Slot| slot.batches.len() == 1 && slot.ending.is_none();
        for (number, slot) in self.slots.iter_mut().filter(|(_, slot)| one_batch(slot)) {
            let Some(job) = slot.job().and_then(|id| self.jobs.get_mut(&id)) else { continue };
            let keeps_waiting = deprived.iter().any(|id| *id != job.spec.job) && job.slots >= share;
            if keeps_waiting || job.spec.depth < deepest || parents.contains(number) {
                continue;
            }
            if let Some(calls) = job.take_batch() {
                slot.give(job, calls);
            }
        }
    }

    /// When nothing waits and a sub-worker is idle, takes half of what a busy one has not begun and will not soon.
    /// Returns whether there is something to give out now.
    pub(super) fn take_over(&mut self) -> bool {
        if self.room() == 0 || self.jobs.values().any(Job::waits) {
            return false;
        }
        let slots = &mut self.slots;
        self.jobs
            .values_mut()
            .filter(|job| job.slots > 0 && job.may_use_more())
            .any(|job| take_over(slots, job))
    }
}

/// Takes calls back from the end of a batch, as far as they have not been begun, and queues them.
fn take_back(slot: &mut Slot, number: u32, count: u32, job: &mut Job) {
    let Some(place) = slot.batches.iter().position(|batch| batch.number == number) else { return };
    let taken = slot.ledger.take_back(number, slot.batches[place].calls.run.count, count);
    if taken > 0 {
        let batch = &mut slot.batches[place];
        let kept = batch.calls.run.count - taken;
        let back = batch.calls.slice(kept, taken);
        batch.calls = batch.calls.slice(0, kept);
        job.push_front(back);
    }
}

/// Takes back everything that a sub-worker has not begun.
pub(super) fn take_back_all(slot: &mut Slot, job: &mut Job) {
    let numbers: Vec<_> = slot.batches.iter().rev().map(|batch| batch.number).collect();
    numbers.into_iter().for_each(|number| take_back(slot, number, u32::MAX, job));
}

/// Takes half of what some sub-worker has not begun and will not soon. Returns whether there was any.
fn take_over(slots: &mut BTreeMap<u64, Slot>, job: &mut Job) -> bool {
    let (now, id) = (clock::monotonic(), job.spec.job);
    for slot in slots.values_mut().filter(|slot| slot.job() == Some(id)) {
        let runs = slot.running().is_some();
        let stuck = runs && Duration::from_nanos(now.saturating_sub(slot.begun_at(now))) > STUCK;
        // A sub-worker that runs nothing is about to begin its next call, or to start: that call stays with it.
        let mut stays = u32::from(!runs);
        let mut spare = Vec::new();
        for batch in &slot.batches {
            let Some(claim) = slot.ledger.look(batch.number, batch.calls.run.count) else { break };
            let waiting = claim.end.saturating_sub(claim.next);
            spare.push((batch.number, waiting.saturating_sub(stays)));
            stays = stays.saturating_sub(waiting);
        }
        for (number, waiting) in spare.into_iter().rev() {
            if waiting > 0 && (stuck || job.expected(waiting) > STUCK) {
                take_back(slot, number, waiting.div_ceil(2), job);
                if !job.queue.is_empty() {
                    return true;
                }
            }
        }
    }
    false
}
