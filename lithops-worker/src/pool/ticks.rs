//! What the pool does as time passes: timeouts, deadlines of platforms, pipes that fill up, memory.

use std::time::Duration;

use lithops_core::{
    error::Result,
    id::JobId,
    process::START_LIMIT,
    protocol::{Frame, FrameKind, Logs, unstarted_report},
};
use rustix::process::Signal;

use super::{
    Pool,
    exit_cause::EndReason,
    slots::{Doing, LIMIT_WITHOUT_JOB, Slot, reap_orphans, resident},
};
use crate::clock;

/// How often the memory of a sub-worker with a long call is read: often enough that the last value says whether the
/// kernel killed it for want of memory, and seldom enough to cost nothing.
const SAMPLE: Duration = Duration::from_millis(200);
/// How long the outcomes of a sub-worker with a damaged ledger are waited for. All calls that had ended before the
/// damage have been reported then, so that the call that still runs is to blame.
const UNTOLD: Duration = Duration::from_millis(500);

impl Pool {
    /// Looks at the time. Returns whether to look again soon, because a log fills its pipe.
    pub(super) fn tick(&mut self) -> Result<bool> {
        let now = clock::monotonic();
        let (mut soon, mut live) = (false, Vec::new());
        self.give_back(now);
        self.guard_memory(now);
        reap_orphans();
        let has_jobs = !self.jobs.is_empty();
        for slot in self.slots.values_mut() {
            let is_live = |id: &JobId| self.jobs.get(id).is_some_and(|job| job.spec.live_logs);
            let all_live =
                !slot.batches.is_empty() && slot.batches.iter().all(|batch| is_live(&batch.calls.run.job));
            let mut job = slot.job().and_then(|id| self.jobs.get_mut(&id));
            let limit = job.as_ref().map_or(LIMIT_WITHOUT_JOB, |job| job.spec.log_limit);
            soon |= slot.log.relieve(limit, false);
            if all_live {
                live.extend(slot.live_log(limit, now));
            }
            let since = |moment: u64| Duration::from_nanos(now.saturating_sub(moment));
            // Without jobs the sandbox may have been stopped in the middle of a start.
            if !slot.ready && has_jobs && since(slot.started_at) > START_LIMIT {
                slot.signal(Signal::KILL);
                self.starts.timed_out();
            }
            // User code may ignore the request to end.
            if slot.asked_to_end_at.is_some_and(|asked| since(asked) > self.setup.grace) {
                slot.signal(Signal::KILL);
            }
            let running = match slot.doing() {
                Doing::Runs(batch, index) => Some((batch.number, index)),
                Doing::Nothing => {
                    slot.damaged_since = None;
                    continue;
                }
                Doing::Damaged => {
                    let damaged_since = *slot.damaged_since.get_or_insert(now);
                    if since(damaged_since.max(slot.heard_at)) < UNTOLD {
                        continue;
                    }
                    if let Some(job) = &mut job {
                        job.one_by_one = true;
                    }
                    slot.end_damaged(now, true);
                    continue;
                }
            };
            slot.damaged_since = None;
            let ran = since(slot.begun_at(now));
            if ran > SAMPLE && since(slot.resident.1) > SAMPLE {
                slot.resident = (resident(slot.pid), now);
            }
            if let Some(job) = &mut job
                && let Some(timeout) = job.spec.timeout
                && let Some((number, index)) = running
                && ran > timeout
                && slot.ending.is_none()
            {
                slot.take_back_all(job);
                slot.ask_to_end(EndReason::TimedOut(timeout), number, index, now);
            }
        }
        for (job, entry) in live {
            Frame::write(FrameKind::Logs, &Logs { job, entries: vec![entry] }, self.out_of(job))?;
        }
        Ok(soon)
    }

    /// Ends the sub-worker that uses most when the worker is about to reach the limit of its memory. The platform would
    /// end the worker with all its calls, and it would not be known which of them was to blame.
    fn guard_memory(&mut self, now: u64) {
        // What was ended gives its memory back soon: the others are not to blame meanwhile.
        let is_freed_soon = |slot: &Slot| matches!(slot.ending, Some((EndReason::OutOfMemory { .. }, ..)));
        if self.slots.values().any(is_freed_soon) {
            return;
        }
        let Some(full) = self.memory.full(now, self.slots.values().map(|slot| slot.pid)) else { return };
        let (largest, used) = full.largest;
        let Some(slot) = self.slots.values_mut().find(|slot| slot.pid == largest) else { return };
        // What is between two calls is not to blame for one.
        let Some((number, index)) = slot.running().map(|(batch, index)| (batch.number, index)) else {
            return;
        };
        if let Some(job) = slot.job().and_then(|id| self.jobs.get_mut(&id)) {
            slot.take_back_all(job);
        }
        slot.ask_to_end(EndReason::OutOfMemory { used, limit: full.limit }, number, index, now);
        // There is no memory left for a grace.
        slot.signal(Signal::KILL);
    }

    /// Reports as unstarted the calls of jobs that may begin nothing more, and ends running calls of jobs whose time is
    /// over.
    fn give_back(&mut self, now: u64) {
        let late = self.jobs.values().filter(|job| job.due.is_some_and(|due| due.last_start <= now));
        for id in late.map(|job| job.spec.job).collect::<Vec<_>>() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            for slot in self.slots.values_mut().filter(|slot| slot.job() == Some(id)) {
                slot.take_back_all(job);
                let Some(due) = job.due.filter(|due| due.end <= now) else { continue };
                let running = slot.running().map(|(batch, index)| (batch.number, index));
                if let Some((number, index)) = running {
                    let ending = due.ending(slot.begun_at(now));
                    slot.ask_to_end(ending, number, index, now);
                    // The platform leaves no time for a grace.
                    slot.signal(Signal::KILL);
                }
            }
            for calls in job.take_waiting() {
                let report = unstarted_report(calls.run);
                if self.is_durable(id) {
                    self.keep(&report);
                } else {
                    report.write(self.out_of(id));
                }
            }
        }
    }
}
