//! [`Due`]: until when a job may run calls, because the platform ends the worker then.

use std::time::Duration;

use lithops_core::protocol::{Deadline, unstarted_report};
use rustix::process::Signal;

use super::{Pool, cause::Ending, sharing::take_back_all, state::write_report};
use crate::clock;

/// A call that has had nine tenths of the time will not end when it is given all of it.
const WHOLE: f64 = 0.9;

/// Until when a job may run calls, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// When the time began.
    began: u64,
    /// When no further call may begin.
    pub(super) last_start: u64,
    /// When those that run are ended.
    end: u64,
    /// How long the platform lets it run.
    within: Duration,
}

impl Due {
    /// Counted from now.
    pub(super) fn of(deadline: &Deadline) -> Self {
        let began = clock::monotonic();
        let after = |span: Duration| began.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        let Deadline { within, .. } = *deadline;
        Self { began, last_start: after(deadline.last_start()), end: after(deadline.end()), within }
    }

    /// Why a call is ended that began then: it has had all the time there is, or it may have more another time.
    fn ending(&self, begun_at: u64) -> Ending {
        let had = self.end.saturating_sub(begun_at.max(self.began));
        let whole = had as f64 >= WHOLE * self.end.saturating_sub(self.began) as f64;
        if whole { Ending::Deadline(self.within) } else { Ending::CutShort }
    }
}

impl Pool {
    /// Gives back what was not begun of jobs that may begin nothing more, and ends what still runs of those whose time
    /// is over.
    pub(super) fn give_back(&mut self, now: u64) {
        let late = self.jobs.values().filter(|job| job.due.is_some_and(|due| due.last_start <= now));
        for id in late.map(|job| job.spec.job).collect::<Vec<_>>() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            for slot in self.slots.values_mut().filter(|slot| slot.job() == Some(id)) {
                take_back_all(slot, job);
                let Some(due) = job.due.filter(|due| due.end <= now) else { continue };
                let running = slot.running().map(|(batch, index)| (batch.number, index));
                if let Some((number, index)) = running {
                    let ending = due.ending(slot.begun_at(now));
                    slot.ask_to_end(ending, number, index, now);
                    // There is no time for a grace.
                    slot.signal(Signal::KILL);
                }
            }
            for calls in job.take_waiting() {
                let report = unstarted_report(calls.run);
                if self.is_durable(id) {
                    self.keep(&report);
                } else {
                    write_report(&report, self.out_of(id));
                }
            }
        }
    }
}
