//! [`Sabotage`]: a tracker broken on purpose. The simulator that cannot tell it from a sound one proves nothing.

use std::time::Duration;

use lithops_core::tracker::{Dispatch, Step, Tracker, Tracking, Verdict};

/// How the tracker is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// It takes no notice of the third report.
    DropsAReport,
    /// It commits the outcomes of the third report twice.
    CommitsTwice,
    /// It does not give a lost worker's calls to others.
    ForgetsALease,
    /// It says that cancelling left nothing open.
    IgnoresCancel,
    /// It forgets calls that were never accepted, and with them their place.
    LeaksASlot,
    /// It gives out a call again that is committed.
    RerunsACommittedCall,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DropsAReport,
        Self::CommitsTwice,
        Self::ForgetsALease,
        Self::IgnoresCancel,
        Self::LeaksASlot,
        Self::RerunsACommittedCall,
    ];
}

/// A sound tracker with something done to it.
#[derive(Debug)]
pub(super) struct Broken {
    tracker: Tracker,
    sabotage: Sabotage,
    reports: u32,
    rerun: Option<Dispatch>,
}

impl Broken {
    pub(super) fn new(tracker: Tracker, sabotage: Sabotage) -> Self {
        Self { tracker, sabotage, reports: 0, rerun: None }
    }
}

impl Tracking for Broken {
    fn set_total(&mut self, total: u64) {
        self.tracker.set_total(total);
    }

    fn is_finished(&self) -> bool {
        self.tracker.is_finished() && self.rerun.is_none()
    }

    fn take_waiting(&mut self, limit: u64) -> Option<Dispatch> {
        self.rerun.take().or_else(|| self.tracker.take_waiting(limit))
    }

    fn take_suspect(&mut self) -> Option<Dispatch> {
        self.tracker.take_suspect()
    }

    fn put_back(&mut self, dispatch: Dispatch) {
        self.tracker.put_back(dispatch);
    }

    fn has_waiting(&self) -> (bool, bool) {
        let (waiting, suspects) = self.tracker.has_waiting();
        (waiting || self.rerun.is_some(), suspects)
    }

    fn wake(&mut self, now: Duration) {
        self.tracker.wake(now);
    }

    fn next_wake(&self) -> Option<Duration> {
        self.tracker.next_wake()
    }

    fn open(&self, first: u64, end: u64) -> Vec<(u64, u64)> {
        self.tracker.open(first, end)
    }

    fn holds(&self, holder: u64) -> bool {
        self.tracker.holds(holder)
    }

    fn settle(&mut self, first: u64, end: u64) -> Vec<(u64, u64)> {
        self.tracker.settle(first, end)
    }

    fn straggler(&mut self, before: Duration, limit: u64) -> Option<(Dispatch, u64)> {
        self.tracker.straggler(before, limit)
    }

    fn dispatched(&mut self, dispatch: Dispatch, holder: u64, now: Duration) {
        self.tracker.dispatched(dispatch, holder, now);
    }

    fn report(
        &mut self,
        holder: Option<u64>,
        first: u64,
        end: u64,
        attempt: u32,
        verdict: &dyn Fn(u64) -> Verdict,
        now: Duration,
    ) -> Vec<Step> {
        self.reports += 1;
        let third = self.reports == 3;
        if third && self.sabotage == Sabotage::DropsAReport {
            return vec![Step::Drop(first, end)];
        }
        let mut steps = self.tracker.report(holder, first, end, attempt, verdict, now);
        let committed = steps.iter().find_map(|step| match step {
            Step::Commit(first, end) => Some((*first, *end)),
            _ => None,
        });
        if let Some((first, end)) = committed.filter(|_| self.reports >= 3) {
            match self.sabotage {
                Sabotage::CommitsTwice if third => steps.push(Step::Commit(first, end)),
                Sabotage::RerunsACommittedCall if third => {
                    self.rerun =
                        Some(Dispatch { first, end, attempt: attempt + 1, suspect: false, backup: false });
                }
                _ => {}
            }
        }
        steps
    }

    fn holder_lost(&mut self, holder: u64) -> Vec<Step> {
        if self.sabotage == Sabotage::ForgetsALease { Vec::new() } else { self.tracker.holder_lost(holder) }
    }

    fn holder_unanswered(&mut self, holder: u64) -> Vec<Step> {
        self.tracker.holder_unanswered(holder)
    }

    fn give_up(&mut self, holder: u64) {
        if self.sabotage != Sabotage::LeaksASlot {
            self.tracker.give_up(holder);
        }
    }

    fn cancel(&mut self, known: u64) -> Vec<(u64, u64)> {
        let open = self.tracker.cancel(known);
        if self.sabotage == Sabotage::IgnoresCancel { Vec::new() } else { open }
    }
}
