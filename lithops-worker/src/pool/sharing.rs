//! Which sub-worker gets which calls: idle and new ones get calls that wait, busy ones get the next batch in advance,
//! and an idle one takes over calls that a busy one has not begun.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use lithops_core::error::Result;

use super::{Pool, jobs::PoolJob, slots::Slot};
use crate::clock;

/// The most sub-workers that are started in one turn: a start takes about a millisecond, in which no other sub-worker
/// gets calls.
const STARTS: usize = 2;
/// Calls behind one that runs for longer than this are taken over: to move them takes less time.
const STUCK: Duration = Duration::from_millis(1);

impl Pool {
    /// Gives calls to sub-workers, starting more where there is work for them, and sends what has been collected.
    pub(super) fn turn(&mut self) -> Result<()> {
        self.make_way();
        loop {
            self.fill_idle()?;
            if self.starts.go_on {
                break;
            }
            self.prefetch();
            if !self.take_over() {
                break;
            }
        }
        self.outgoing.send();
        Ok(())
    }

    /// Gives idle and new sub-workers to the jobs that wait: first to the deepest job, then to the one that has fewest
    /// sub-workers, then to the one that was served longest ago.
    fn fill_idle(&mut self) -> Result<()> {
        let mut started = 0;
        self.starts.go_on = false;
        for _ in 0..self.room() {
            if !self.jobs.values().any(PoolJob::waits) {
                return Ok(());
            }
            let idle = self.slots.iter().find(|(_, slot)| slot.is_idle()).map(|(number, _)| *number);
            let number = match idle {
                Some(number) => number,
                None if self.starts.are_paused() => return Ok(()),
                None if started == STARTS => {
                    self.starts.go_on = true;
                    return Ok(());
                }
                None => {
                    started += 1;
                    match self.start_one() {
                        Ok(number) => number,
                        // The other sub-workers go on, and another start is tried later.
                        Err(error) => return self.starts.failed(error, self.slots.len()),
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

    fn start_one(&mut self) -> Result<u64> {
        let (number, slot) = self.starts.start(&self.setup.program, self.slots.len())?;
        self.slots.insert(number, slot);
        Ok(number)
    }

    /// Gives busy sub-workers the next batch in advance, unless that would keep another job waiting that has less
    /// than its share of the sub-workers.
    fn prefetch(&mut self) {
        let contenders = self.jobs.values().filter(|job| job.queued > 0 || job.slots > 0).count();
        let share = self.most.div_ceil(contenders.max(1));
        let deprived: Vec<_> =
            self.jobs.values().filter(|job| job.is_deprived(share)).map(|job| job.spec.job).collect();
        let (parents, deepest) = (self.parents(), self.deepest_waiting());
        // More calls get on than may: a call has ended whose own calls have run beside it. Slots must come to rest now,
        // not begin the next call.
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

    /// When no call waits and a sub-worker is idle, takes back half of the calls that a busy one has not begun and will
    /// not begin soon. Returns whether there is something to give out now.
    fn take_over(&mut self) -> bool {
        if self.room() == 0 || self.jobs.values().any(PoolJob::waits) {
            return false;
        }
        let slots = &mut self.slots;
        self.jobs
            .values_mut()
            .filter(|job| job.slots > 0 && job.may_use_more())
            .any(|job| take_over(slots, job))
    }
}

/// Takes back half of the calls that some sub-worker has not begun and will not begin soon. Returns whether there were
/// any.
fn take_over(slots: &mut BTreeMap<u64, Slot>, job: &mut PoolJob) -> bool {
    let (now, id) = (clock::monotonic(), job.spec.job);
    for slot in slots.values_mut().filter(|slot| slot.job() == Some(id)) {
        let runs = slot.running().is_some();
        let stuck = runs && Duration::from_nanos(now.saturating_sub(slot.begun_at(now))) > STUCK;
        // A sub-worker that runs nothing is about to begin its next call, or to start: this call stays with it.
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
                slot.take_back(number, waiting.div_ceil(2), job);
                if job.queued > 0 {
                    return true;
                }
            }
        }
    }
    false
}
