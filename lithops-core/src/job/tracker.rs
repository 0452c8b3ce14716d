//! [`Tracker`]: where every call of a job is. A pure state machine: events in, decisions out.
//!
//! ```text
//!            dispatched            report Ok / last failure
//!  (new) ----------------> held --------------------------> committed
//!                          |  ^
//!   Failed with retries,   |  | dispatched again
//!   Lost within budget,    v  |
//!   Unstarted, holder lost waiting
//! ```
//!
//! A call is dispatched at least once and committed exactly once: a second outcome of a committed call is dropped.
//! Calls are kept as ranges, so that a job of a million calls that goes well needs a handful of entries.

use std::collections::{BTreeMap, HashMap};

use super::Ranges;
use crate::protocol::{Run, Tag};

/// How often a call may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Further tries after failures of the call itself.
    pub retries: u32,
    /// Further tries after losses it is not to blame for.
    pub losses: u32,
    /// Whether a call that may have been begun is never tried again.
    pub at_most_once: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { retries: 0, losses: 3, at_most_once: false }
    }
}

/// Calls to hand over: a range that is on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// The first call.
    pub first: u64,
    /// The call after the last.
    pub end: u64,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// What to do with a part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make these outcomes visible: `first..end`.
    Commit(u64, u64),
    /// Make the call visible as lost: it may not be tried again.
    CommitLost(u64),
    /// The calls will be tried again; their outcomes are dropped.
    Again(u64, u64),
    /// The outcomes come too late and are dropped.
    Drop(u64, u64),
}

#[derive(Debug, Clone, Copy)]
struct Held {
    end: u64,
    attempt: u32,
    holder: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    failures: u32,
    losses: u32,
}

/// Where every call of a job is.
#[derive(Debug, Default)]
pub struct Tracker {
    policy: Policy,
    total: Option<u64>,
    committed: Ranges,
    held: BTreeMap<u64, Held>,
    waiting: BTreeMap<u64, (u64, u32)>,
    /// Only calls that were tried more than once.
    tried: HashMap<u64, Tried>,
}

impl Tracker {
    /// A tracker of a job.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Says how many calls there are, once that is known.
    pub fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Whether every call is committed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.total == Some(self.committed.len())
    }

    /// The committed calls.
    #[must_use]
    pub fn committed(&self) -> &Ranges {
        &self.committed
    }

    /// The next calls to be tried again, at most `limit`; they must be dispatched or are gone.
    pub fn take_waiting(&mut self, limit: u64) -> Option<Dispatch> {
        let (first, (end, attempt)) = self.waiting.pop_first()?;
        let cut = end.min(first.saturating_add(limit.max(1)));
        if cut < end {
            self.waiting.insert(cut, (end, attempt));
        }
        Some(Dispatch { first, end: cut, attempt })
    }

    /// Puts calls back that were taken and could not be dispatched together with the others.
    pub fn wait_again(&mut self, dispatch: Dispatch) {
        self.waiting.insert(dispatch.first, (dispatch.end, dispatch.attempt));
    }

    /// Whether calls wait to be tried again.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Notes that calls are in the hands of a worker.
    pub fn dispatched(&mut self, dispatch: Dispatch, holder: u64) {
        debug_assert!(
            self.committed.missing(dispatch.first, dispatch.end) == [(dispatch.first, dispatch.end)]
        );
        self.held.insert(dispatch.first, Held { end: dispatch.end, attempt: dispatch.attempt, holder });
    }

    /// Takes a report in and says what to do with each part of it, in order.
    pub fn report(&mut self, run: &Run, tag: impl Fn(u64) -> Tag) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut first = run.first;
        while first < run.end() {
            let kind = tag(first);
            let end = (first..run.end()).find(|call| tag(*call) != kind).unwrap_or(run.end());
            self.outcomes(first, end, run.attempt, kind, &mut steps);
            first = end;
        }
        steps
    }

    /// A worker is gone: its calls wait to be tried again, or are committed as lost.
    pub fn holder_lost(&mut self, holder: u64) -> Vec<Step> {
        let lost: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| held.holder == holder)
            .map(|(first, held)| (*first, *held))
            .collect();
        let mut steps = Vec::new();
        for (first, held) in lost {
            self.held.remove(&first);
            self.lost(first, held.end, held.attempt, &mut steps);
        }
        steps
    }

    /// Ends the job: every call that is not committed and is known is committed now, as cancelled.
    pub fn cancel(&mut self, known: u64) -> Vec<(u64, u64)> {
        let open = self.committed.missing(0, known);
        self.held.clear();
        self.waiting.clear();
        self.committed.insert(0, known);
        open
    }

    fn outcomes(&mut self, first: u64, end: u64, attempt: u32, tag: Tag, steps: &mut Vec<Step>) {
        for (open, open_end) in self.committed.missing(first, end) {
            if tag == Tag::Ok {
                // A success counts whichever attempt it is from.
                self.release(open, open_end, None);
                self.forget_waiting(open, open_end);
                self.commit(open, open_end, steps);
                continue;
            }
            let current = self.release(open, open_end, Some(attempt));
            for (from, to) in current {
                match tag {
                    Tag::Ok => {}
                    Tag::Unstarted => {
                        self.waiting.insert(from, (to, attempt));
                        steps.push(Step::Again(from, to));
                    }
                    Tag::Lost => self.lost(from, to, attempt, steps),
                    Tag::Failed => (from..to).for_each(|call| self.failed(call, attempt, steps)),
                }
            }
        }
        let mut from = first;
        let mut decided: Vec<_> = steps.iter().filter_map(|step| step.within(first, end)).collect();
        decided.sort_unstable();
        for (known, known_end) in decided {
            if from < known {
                steps.push(Step::Drop(from, known));
            }
            from = known_end;
        }
        if from < end {
            steps.push(Step::Drop(from, end));
        }
    }

    fn failed(&mut self, call: u64, attempt: u32, steps: &mut Vec<Step>) {
        if self.policy.retries > 0 && !self.policy.at_most_once {
            let tried = self.tried.entry(call).or_default();
            if tried.failures < self.policy.retries {
                tried.failures += 1;
                self.waiting.insert(call, (call + 1, attempt + 1));
                steps.push(Step::Again(call, call + 1));
                return;
            }
        }
        self.commit(call, call + 1, steps);
    }

    fn lost(&mut self, first: u64, end: u64, attempt: u32, steps: &mut Vec<Step>) {
        for call in first..end {
            let tried = self.tried.entry(call).or_default();
            if tried.losses < self.policy.losses && !self.policy.at_most_once {
                tried.losses += 1;
                self.waiting.insert(call, (call + 1, attempt + 1));
                steps.push(Step::Again(call, call + 1));
            } else {
                self.tried.remove(&call);
                self.committed.insert(call, call + 1);
                steps.push(Step::CommitLost(call));
            }
        }
    }

    fn commit(&mut self, first: u64, end: u64, steps: &mut Vec<Step>) {
        self.committed.insert(first, end);
        if !self.tried.is_empty() {
            (first..end).for_each(|call| {
                self.tried.remove(&call);
            });
        }
        match steps.last_mut() {
            Some(Step::Commit(_, last)) if *last == first => *last = end,
            _ => steps.push(Step::Commit(first, end)),
        }
    }

    /// Takes calls out of their holders' hands; those on `attempt` only, if one is given. Returns what was taken.
    fn release(&mut self, first: u64, end: u64, attempt: Option<u32>) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        let start = self.held.range(..=first).next_back().map_or(first, |(start, _)| *start);
        let touched: Vec<_> = self
            .held
            .range(start..end)
            .filter(|(_, held)| held.end > first && attempt.is_none_or(|attempt| attempt == held.attempt))
            .map(|(start, held)| (*start, *held))
            .collect();
        for (start, held) in touched {
            self.held.remove(&start);
            if start < first {
                self.held.insert(start, Held { end: first, ..held });
            }
            if end < held.end {
                self.held.insert(end, held);
            }
            taken.push((start.max(first), held.end.min(end)));
        }
        taken
    }

    fn forget_waiting(&mut self, first: u64, end: u64) {
        if self.waiting.is_empty() {
            return;
        }
        let start = self.waiting.range(..=first).next_back().map_or(first, |(start, _)| *start);
        let touched: Vec<_> = self
            .waiting
            .range(start..end)
            .filter(|(_, (stop, _))| *stop > first)
            .map(|(start, (stop, attempt))| (*start, *stop, *attempt))
            .collect();
        for (start, stop, attempt) in touched {
            self.waiting.remove(&start);
            if start < first {
                self.waiting.insert(start, (first, attempt));
            }
            if end < stop {
                self.waiting.insert(end, (stop, attempt));
            }
        }
    }
}

impl Step {
    /// The part of `first..end` the step is about.
    fn within(&self, first: u64, end: u64) -> Option<(u64, u64)> {
        let (from, to) = match *self {
            Self::Commit(from, to) | Self::Again(from, to) | Self::Drop(from, to) => (from, to),
            Self::CommitLost(call) => (call, call + 1),
        };
        let (from, to) = (from.max(first), to.min(end));
        (from < to).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::id::{ActivationId, JobId};

    fn run(first: u64, count: u32, attempt: u32) -> Run {
        Run {
            job: JobId::from_bytes([1; 16]),
            activation: ActivationId(0),
            offset: 0,
            chunksize: 1,
            attempt,
            first,
            count,
        }
    }

    fn held(policy: Policy, calls: u64) -> Tracker {
        let mut tracker = Tracker::new(policy);
        tracker.set_total(calls);
        tracker.dispatched(Dispatch { first: 0, end: calls, attempt: 1 }, 0);
        tracker
    }

    #[test]
    fn a_report_in_the_middle_commits_once() {
        let mut tracker = held(Policy::default(), 10);
        assert_eq!(tracker.report(&run(3, 4, 1), |_| Tag::Ok), [Step::Commit(3, 7)]);
        assert_eq!(tracker.report(&run(3, 4, 1), |_| Tag::Ok), [Step::Drop(3, 7)]);
        assert_eq!(
            tracker.report(&run(0, 10, 1), |_| Tag::Ok),
            [Step::Commit(0, 3), Step::Commit(7, 10), Step::Drop(3, 7)]
        );
        assert!(tracker.is_finished());
    }

    #[test]
    fn failures_use_retries_and_losses_their_own_budget() {
        let mut tracker = held(Policy { retries: 1, losses: 1, at_most_once: false }, 1);
        assert_eq!(tracker.report(&run(0, 1, 1), |_| Tag::Failed), [Step::Again(0, 1)]);
        let again = tracker.take_waiting(9).expect("waits");
        assert_eq!(again, Dispatch { first: 0, end: 1, attempt: 2 });
        tracker.dispatched(again, 1);
        assert_eq!(tracker.holder_lost(1), [Step::Again(0, 1)]);
        let again = tracker.take_waiting(9).expect("waits");
        tracker.dispatched(again, 2);
        assert_eq!(tracker.report(&run(0, 1, 1), |_| Tag::Failed), [Step::Drop(0, 1)], "a late failure");
        assert_eq!(tracker.report(&run(0, 1, 3), |_| Tag::Failed), [Step::Commit(0, 1)]);
        assert!(tracker.is_finished());
    }

    #[test]
    fn at_most_once_is_never_tried_again() {
        let mut tracker = held(Policy { retries: 5, losses: 5, at_most_once: true }, 2);
        assert_eq!(tracker.holder_lost(0), [Step::CommitLost(0), Step::CommitLost(1)]);
        assert!(tracker.is_finished() && !tracker.has_waiting());
    }

    #[test]
    fn what_was_not_begun_waits_on_the_same_attempt() {
        let mut tracker = held(Policy::default(), 8);
        assert_eq!(tracker.report(&run(4, 4, 1), |_| Tag::Unstarted), [Step::Again(4, 8)]);
        assert_eq!(tracker.take_waiting(3), Some(Dispatch { first: 4, end: 7, attempt: 1 }));
        assert_eq!(tracker.take_waiting(3), Some(Dispatch { first: 7, end: 8, attempt: 1 }));
    }

    proptest! {
        /// Random reports, duplicates and losses: every call is committed exactly once, and nothing is left over.
        #[test]
        fn exactly_once(script in prop::collection::vec((0u64..30, 1u32..10, 0u8..5, 0u64..4), 0..120), retries in 0u32..3) {
            let mut tracker = Tracker::new(Policy { retries, losses: 2, at_most_once: false });
            tracker.set_total(30);
            let mut commits: BTreeMap<u64, u32> = BTreeMap::new();
            let mut apply = |steps: &[Step]| {
                for step in steps {
                    match *step {
                        Step::Commit(first, end) => (first..end).for_each(|call| *commits.entry(call).or_default() += 1),
                        Step::CommitLost(call) => *commits.entry(call).or_default() += 1,
                        Step::Again(..) | Step::Drop(..) => {}
                    }
                }
            };
            for first in (0..30).step_by(6) {
                tracker.dispatched(Dispatch { first, end: first + 6, attempt: 1 }, first % 4);
            }
            for (first, count, what, holder) in script {
                let count = count.min(u32::try_from(30 - first).expect("small"));
                match what {
                    4 => apply(&tracker.holder_lost(holder)),
                    tag => {
                        let tag = [Tag::Ok, Tag::Failed, Tag::Unstarted, Tag::Lost][usize::from(tag)];
                        let attempt = 1 + u32::try_from(holder).expect("small") % 3;
                        let steps = tracker.report(&run(first, count, attempt), |_| tag);
                        let mut covered = Ranges::default();
                        steps.iter().filter_map(|step| step.within(0, 30)).for_each(|(from, to)| covered.insert(from, to));
                        prop_assert_eq!(covered.len(), u64::from(count), "each call of a report is decided on");
                        apply(&steps);
                    }
                }
                while let Some(again) = tracker.take_waiting(4) {
                    tracker.dispatched(again, holder);
                }
            }
            for attempt in 1..100 {
                apply(&tracker.report(&run(0, 30, attempt), |_| Tag::Ok));
            }
            prop_assert!(tracker.is_finished());
            prop_assert!(commits.len() == 30 && commits.values().all(|count| *count == 1), "{commits:?}");
        }
    }
}
