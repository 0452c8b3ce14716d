//! [`Tracker`]: the state of every call of a job. It is a state machine without I/O and without a clock:
//! events and times go in, decisions come out.
//!
//! ```text
//!             dispatched          report Ok, last failure, last loss
//!   (new) ------------------> held ---------------------------------> committed
//!                            | | ^
//!          Failed, retries   | | | dispatched again
//!          left              | | +------------------+
//!                 +----------+ |                    |
//!                 v            | Unstarted, Lost    |
//!              paused ---------)----------------> waiting
//!                   time is up |
//!                              | its worker is given up, for a reason that is no fault of the call
//!                              +----------------> waiting
//!                              | its worker is lost
//!                              +----------------> suspect (dispatched alone)
//!
//!   any state but committed -- settle, cancel --> committed
//!   held (for very long) ----- straggler -------> held, and held by another worker too: a backup attempt
//! ```
//!
//! - A call is dispatched at least once and committed exactly once: a later outcome of a committed call is
//!   dropped. A success counts on any attempt. A failure or loss counts only on the present attempt of the
//!   call, and only from the worker that holds the call.
//! - When a worker is lost, it is not known which of its calls caused the loss. The first loss of a call
//!   costs nothing. At the second loss the call becomes a suspect: its range is dispatched to a worker
//!   without other calls. When that worker is lost too, the range is split, until a call that keeps killing
//!   its workers is alone. Only then does a loss count against the call's budget, so that its neighbours are
//!   never blamed.
//! - A backup attempt is a second attempt while the first goes on. The success of either attempt commits the
//!   call. A failure or loss of the backup attempt is ignored.
//! - Calls are kept as ranges, so that a job of a million calls without failures needs a handful of entries.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use super::{Dispatch, Policy, Ranges, Step, Tracking, Verdict};

/// A range of calls that a worker holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    end: u64,
    attempt: u32,
    holder: u64,
    suspect: bool,
    since: Duration,
}

/// How many failures and losses of a call have counted against its policy.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    failures: u32,
    losses: u32,
}

/// The state of every call of a job. A call in none of the collections was never dispatched.
#[derive(Debug, Default)]
pub struct Tracker {
    policy: Policy,
    total: Option<u64>,
    committed: Ranges,
    /// The dispatched calls, by the first call of each range; so are the maps below.
    held: BTreeMap<u64, Held>,
    /// The backup attempts of calls that are held.
    backups: BTreeMap<u64, Held>,
    /// Calls to be tried again: the call after the last, and the next attempt.
    waiting: BTreeMap<u64, (u64, u32)>,
    /// Calls to be tried again, alone in a worker: the call after the last, and the next attempt.
    suspects: BTreeMap<u64, (u64, u32)>,
    /// Calls that pause after a failure: the end of the pause, the call, and its next attempt.
    paused: BTreeSet<(Duration, u64, u32)>,
    /// The counts of calls that have failed or were lost; other calls need none.
    tried: HashMap<u64, Tried>,
}

impl Tracker {
    /// The tracker of a job of which no call is committed.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The tracker of a job of which some calls are already committed.
    #[must_use]
    pub fn resume(policy: Policy, committed: Ranges) -> Self {
        Self { policy, committed, ..Self::default() }
    }

    /// The numbers of the committed calls.
    #[must_use]
    pub fn committed(&self) -> &Ranges {
        &self.committed
    }

    /// Decides on the calls of `range`, which all have the same verdict.
    fn outcomes(
        &mut self,
        range: (u64, u64),
        (attempt, holder): (u32, Option<u64>),
        verdict: Verdict,
        now: Duration,
        steps: &mut Vec<Step>,
    ) {
        let (first, end) = range;
        let mut decided = Ranges::default();
        for (open, open_end) in self.committed.missing(first, end) {
            if verdict == Verdict::Ok {
                self.release(open, open_end, None);
                self.forget(open, open_end);
                self.commit(open, open_end, steps);
                decided.insert(open, open_end);
                continue;
            }
            for (from, to) in self.release(open, open_end, Some((attempt, holder))) {
                decided.insert(from, to);
                match verdict {
                    Verdict::Ok => {}
                    Verdict::Unstarted => {
                        self.waiting.insert(from, (to, attempt));
                        steps.push(Step::Again(from, to));
                    }
                    Verdict::Lost => (from..to).for_each(|call| self.lost_alone(call, attempt, steps)),
                    Verdict::Failed { again } => {
                        (from..to).for_each(|call| self.failed(call, attempt, again, now, steps));
                    }
                }
            }
        }
        steps.extend(decided.missing(first, end).into_iter().map(|(from, to)| Step::Drop(from, to)));
    }

    /// Decides on a failed call: another try after a pause, or the commit of the failure.
    fn failed(&mut self, call: u64, attempt: u32, again: bool, now: Duration, steps: &mut Vec<Step>) {
        if again && self.policy.retries > 0 && !self.policy.at_most_once {
            let tried = self.tried.entry(call).or_default();
            if tried.failures < self.policy.retries {
                tried.failures += 1;
                self.paused.insert((now + self.policy.pause(call, tried.failures), call, attempt + 1));
                steps.push(Step::Again(call, call + 1));
                return;
            }
        }
        cut_out(&mut self.backups, call, call + 1);
        self.commit(call, call + 1, steps);
    }

    /// Decides on a call whose loss it caused itself: another try, or the commit of the loss.
    fn lost_alone(&mut self, call: u64, attempt: u32, steps: &mut Vec<Step>) {
        let tried = self.tried.entry(call).or_default();
        if tried.losses < self.policy.losses && !self.policy.at_most_once {
            tried.losses += 1;
            self.waiting.insert(call, (call + 1, attempt + 1));
            steps.push(Step::Again(call, call + 1));
        } else {
            self.tried.remove(&call);
            cut_out(&mut self.backups, call, call + 1);
            self.committed.insert(call, call + 1);
            steps.push(Step::CommitLost { call, attempt });
        }
    }

    /// Commits calls, and appends the step, merged with the last one where they are adjacent.
    fn commit(&mut self, first: u64, end: u64, steps: &mut Vec<Step>) {
        self.committed.insert(first, end);
        // The smaller of the two sets is walked through.
        if end - first > self.tried.len() as u64 {
            self.tried.retain(|call, _| !(first..end).contains(call));
        } else {
            (first..end).for_each(|call| {
                self.tried.remove(&call);
            });
        }
        match steps.last_mut() {
            Some(Step::Commit(_, last)) if *last == first => *last = end,
            _ => steps.push(Step::Commit(first, end)),
        }
    }

    /// Removes calls of `first..end` from `held`, and returns the removed ranges. With `on`, only calls on
    /// this attempt are removed; with a holder, only those of this worker. The attempt alone does not
    /// identify a worker: a backup attempt has the same number as the attempt that follows when the first
    /// worker is lost.
    fn release(&mut self, first: u64, end: u64, on: Option<(u32, Option<u64>)>) -> Vec<(u64, u64)> {
        let concerns = |held: &Held| {
            on.is_none_or(|(attempt, holder)| {
                attempt == held.attempt && holder.is_none_or(|holder| holder == held.holder)
            })
        };
        let start = self.held.range(..=first).next_back().map_or(first, |(start, _)| *start);
        let touched: Vec<_> = self
            .held
            .range(start..end)
            .filter(|(_, held)| held.end > first && concerns(held))
            .map(|(start, held)| (*start, *held))
            .collect();
        let mut taken = Vec::new();
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

    /// Removes calls that have got an outcome from the maps of calls to be tried again.
    fn forget(&mut self, first: u64, end: u64) {
        cut_out(&mut self.backups, first, end);
        cut_out(&mut self.waiting, first, end);
        cut_out(&mut self.suspects, first, end);
        if !self.paused.is_empty() {
            self.paused.retain(|(_, call, _)| !(first..end).contains(call));
        }
    }
}

impl Tracking for Tracker {
    fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    fn is_finished(&self) -> bool {
        self.total == Some(self.committed.len())
    }

    fn take_waiting(&mut self, limit: u64) -> Option<Dispatch> {
        let (first, (end, attempt)) = self.waiting.pop_first()?;
        let cut = end.min(first.saturating_add(limit.max(1)));
        if cut < end {
            self.waiting.insert(cut, (end, attempt));
        }
        Some(Dispatch { first, end: cut, attempt, suspect: false, backup: false })
    }

    fn take_suspect(&mut self) -> Option<Dispatch> {
        let (first, (end, attempt)) = self.suspects.pop_first()?;
        Some(Dispatch { first, end, attempt, suspect: true, backup: false })
    }

    fn put_back(&mut self, dispatch: Dispatch) {
        let back = if dispatch.suspect { &mut self.suspects } else { &mut self.waiting };
        back.insert(dispatch.first, (dispatch.end, dispatch.attempt));
    }

    fn has_waiting(&self) -> (bool, bool) {
        (!self.waiting.is_empty(), !self.suspects.is_empty())
    }

    fn wake(&mut self, now: Duration) {
        while let Some((due, call, attempt)) = self.paused.first().copied()
            && due <= now
        {
            self.paused.pop_first();
            self.waiting.insert(call, (call + 1, attempt));
        }
    }

    fn next_wake(&self) -> Option<Duration> {
        self.paused.first().map(|(due, ..)| *due)
    }

    fn open(&self, first: u64, end: u64) -> Vec<(u64, u64)> {
        self.committed.missing(first, end)
    }

    fn holds(&self, holder: u64) -> bool {
        self.held.values().any(|held| held.holder == holder)
    }

    fn settle(&mut self, first: u64, end: u64) -> Vec<(u64, u64)> {
        let open = self.committed.missing(first, end);
        let mut steps = Vec::new();
        for (from, to) in &open {
            self.release(*from, *to, None);
            self.forget(*from, *to);
            self.commit(*from, *to, &mut steps);
        }
        open
    }

    fn straggler(&mut self, before: Duration, limit: u64) -> Option<(Dispatch, u64)> {
        let alone = |first: u64, end: u64| {
            let start = self.backups.range(..=first).next_back().map_or(first, |(start, _)| *start);
            !self.backups.range(start..end).any(|(_, backup)| backup.end > first)
        };
        let held = self.held.iter().filter(|(first, held)| {
            // Suspects get no backup attempt: it could take other calls down with it.
            held.since <= before && !held.suspect && alone(**first, held.end)
        });
        let (first, held) = held.min_by_key(|(_, held)| held.since)?;
        let end = held.end.min(first.saturating_add(limit.max(1)));
        let dispatch =
            Dispatch { first: *first, end, attempt: held.attempt + 1, suspect: false, backup: true };
        Some((dispatch, held.holder))
    }

    fn dispatched(&mut self, dispatch: Dispatch, holder: u64, now: Duration) {
        let Dispatch { first, end, attempt, suspect, backup } = dispatch;
        let hands = if backup { &mut self.backups } else { &mut self.held };
        hands.insert(first, Held { end, attempt, holder, suspect, since: now });
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
        let mut steps = Vec::new();
        let mut from = first;
        while from < end {
            let kind = verdict(from);
            let to = (from..end).find(|call| verdict(*call) != kind).unwrap_or(end);
            self.outcomes((from, to), (attempt, holder), kind, now, &mut steps);
            from = to;
        }
        steps
    }

    fn holder_lost(&mut self, holder: u64) -> Vec<Step> {
        self.backups.retain(|_, backup| backup.holder != holder);
        let held = self.held.iter().filter(|(_, held)| held.holder == holder);
        let lost: Vec<_> = held.map(|(first, held)| (*first, *held)).collect();
        let mut steps = Vec::new();
        for (first, Held { end, attempt, suspect, .. }) in &lost {
            self.held.remove(first);
            match (lost.len(), end - first) {
                _ if self.policy.at_most_once => {
                    (*first..*end).for_each(|call| self.lost_alone(call, *attempt, &mut steps));
                }
                _ if *attempt == 1 && !suspect => {
                    self.waiting.insert(*first, (*end, 2));
                    steps.push(Step::Again(*first, *end));
                }
                (1, 1) => {
                    self.lost_alone(*first, *attempt, &mut steps);
                    // The call waits as a suspect, so that it cannot take other calls down with it.
                    if let Some((end, attempt)) = self.waiting.remove(first) {
                        self.suspects.insert(*first, (end, attempt));
                    }
                }
                (1, calls) => {
                    let middle = first + calls / 2;
                    self.suspects.insert(*first, (middle, attempt + 1));
                    self.suspects.insert(middle, (*end, attempt + 1));
                    steps.push(Step::Again(*first, *end));
                }
                _ => {
                    self.suspects.insert(*first, (*end, attempt + 1));
                    steps.push(Step::Again(*first, *end));
                }
            }
        }
        steps
    }

    fn holder_unanswered(&mut self, holder: u64) -> Vec<Step> {
        self.backups.retain(|_, backup| backup.holder != holder);
        let held = self.held.iter().filter(|(_, held)| held.holder == holder);
        let back: Vec<_> = held.map(|(first, held)| (*first, *held)).collect();
        let mut steps = Vec::new();
        for (first, Held { end, attempt, suspect, .. }) in back {
            self.held.remove(&first);
            if self.policy.at_most_once {
                (first..end).for_each(|call| self.lost_alone(call, attempt, &mut steps));
            } else {
                self.put_back(Dispatch { first, end, attempt: attempt + 1, suspect, backup: false });
                steps.push(Step::Again(first, end));
            }
        }
        steps
    }

    fn give_up(&mut self, holder: u64) {
        self.backups.retain(|_, backup| backup.holder != holder);
        let held = self.held.iter().filter(|(_, held)| held.holder == holder);
        let back: Vec<_> = held.map(|(first, held)| (*first, *held)).collect();
        for (first, Held { end, attempt, suspect, .. }) in back {
            self.held.remove(&first);
            self.put_back(Dispatch { first, end, attempt, suspect, backup: false });
        }
    }

    fn cancel(&mut self, known: u64) -> Vec<(u64, u64)> {
        let open = self.committed.missing(0, known);
        self.held.clear();
        self.backups.clear();
        self.waiting.clear();
        self.suspects.clear();
        self.paused.clear();
        self.committed.insert(0, known);
        open
    }
}

/// The value of a map of ranges, whose keys are the first calls: it contains the end of the range.
trait Ending: Copy {
    fn end(self) -> u64;
    fn with_end(self, end: u64) -> Self;
}

impl Ending for (u64, u32) {
    fn end(self) -> u64 {
        self.0
    }

    fn with_end(self, end: u64) -> Self {
        (end, self.1)
    }
}

impl Ending for Held {
    fn end(self) -> u64 {
        self.end
    }

    fn with_end(self, end: u64) -> Self {
        Self { end, ..self }
    }
}

/// Removes `first..end` from a map of ranges, and splits ranges that reach beyond.
fn cut_out<V: Ending>(ranges: &mut BTreeMap<u64, V>, first: u64, end: u64) {
    if ranges.is_empty() {
        return;
    }
    let start = ranges.range(..=first).next_back().map_or(first, |(start, _)| *start);
    let touched = ranges.range(start..end).filter(|(_, value)| value.end() > first);
    let touched: Vec<_> = touched.map(|(start, value)| (*start, *value)).collect();
    for (start, value) in touched {
        ranges.remove(&start);
        if start < first {
            ranges.insert(start, value.with_end(first));
        }
        if end < value.end() {
            ranges.insert(end, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZERO: Duration = Duration::ZERO;
    const FAILED: Verdict = Verdict::Failed { again: true };

    fn held(policy: Policy, calls: u64) -> Tracker {
        let mut tracker = Tracker::new(policy);
        tracker.set_total(calls);
        tracker.dispatched(
            Dispatch { first: 0, end: calls, attempt: 1, suspect: false, backup: false },
            0,
            ZERO,
        );
        tracker
    }

    #[test]
    fn a_report_in_the_middle_commits_once() {
        let mut tracker = held(Policy::default(), 10);
        assert_eq!(tracker.report(None, 3, 7, 1, &|_| Verdict::Ok, ZERO), [Step::Commit(3, 7)]);
        assert_eq!(tracker.report(None, 3, 7, 1, &|_| Verdict::Ok, ZERO), [Step::Drop(3, 7)]);
        let steps = tracker.report(None, 0, 10, 1, &|_| Verdict::Ok, ZERO);
        assert_eq!(steps, [Step::Commit(0, 3), Step::Commit(7, 10), Step::Drop(3, 7)]);
        assert!(tracker.is_finished());
    }

    #[test]
    fn failures_use_retries_and_losses_their_own_budget() {
        let mut tracker = held(Policy { retries: 1, losses: 1, ..Policy::default() }, 1);
        assert_eq!(tracker.report(None, 0, 1, 1, &|_| FAILED, ZERO), [Step::Again(0, 1)]);
        assert_eq!(tracker.take_waiting(9), None, "it pauses");
        let due = tracker.next_wake().expect("a pause");
        tracker.wake(due);
        let again = tracker.take_waiting(9).expect("waits");
        assert_eq!(again, Dispatch { first: 0, end: 1, attempt: 2, suspect: false, backup: false });
        tracker.dispatched(again, 1, ZERO);
        assert_eq!(tracker.holder_lost(1), [Step::Again(0, 1)]);
        let again = tracker.take_suspect().expect("a suspect");
        tracker.dispatched(again, 2, ZERO);
        assert_eq!(tracker.report(None, 0, 1, 1, &|_| FAILED, ZERO), [Step::Drop(0, 1)], "a late failure");
        assert_eq!(tracker.report(None, 0, 1, 3, &|_| FAILED, ZERO), [Step::Commit(0, 1)]);
        assert!(tracker.is_finished());
    }

    #[test]
    fn a_failure_that_is_not_to_be_tried_again_is_not() {
        let mut tracker = held(Policy { retries: 5, ..Policy::default() }, 1);
        let verdict = |_| Verdict::Failed { again: false };
        assert_eq!(tracker.report(None, 0, 1, 1, &verdict, ZERO), [Step::Commit(0, 1)]);
    }

    #[test]
    fn at_most_once_is_never_tried_again() {
        let mut tracker = held(Policy { retries: 5, losses: 5, at_most_once: true, ..Policy::default() }, 2);
        let lost = |call| Step::CommitLost { call, attempt: 1 };
        assert_eq!(tracker.holder_lost(0), [lost(0), lost(1)]);
        assert!(tracker.is_finished() && tracker.has_waiting() == (false, false));
    }

    #[test]
    fn what_was_not_begun_waits_on_the_same_attempt() {
        let mut tracker = held(Policy::default(), 8);
        assert_eq!(tracker.report(None, 4, 8, 1, &|_| Verdict::Unstarted, ZERO), [Step::Again(4, 8)]);
        assert_eq!(
            tracker.take_waiting(3),
            Some(Dispatch { first: 4, end: 7, attempt: 1, suspect: false, backup: false })
        );
        assert_eq!(
            tracker.take_waiting(3),
            Some(Dispatch { first: 7, end: 8, attempt: 1, suspect: false, backup: false })
        );
    }

    #[test]
    fn a_call_that_kills_its_workers_is_found_and_its_neighbours_are_not_blamed() {
        let poison = 37;
        let mut tracker = held(Policy { losses: 2, ..Policy::default() }, 64);
        tracker.holder_lost(0);
        let again = tracker.take_waiting(64).expect("the first loss is taken as bad luck");
        tracker.dispatched(again, 0, ZERO);
        tracker.holder_lost(0);
        let (mut holder, mut lost, mut workers) = (1, Vec::new(), 0);
        while let Some(suspect) = tracker.take_suspect() {
            workers += 1;
            tracker.dispatched(suspect, holder, ZERO);
            let steps = if (suspect.first..suspect.end).contains(&poison) {
                tracker.holder_lost(holder)
            } else {
                tracker.report(None, suspect.first, suspect.end, suspect.attempt, &|_| Verdict::Ok, ZERO)
            };
            lost.extend(steps.into_iter().filter(|step| matches!(step, Step::CommitLost { .. })));
            holder += 1;
        }
        assert_eq!(lost.len(), 1);
        assert!(matches!(lost[0], Step::CommitLost { call, .. } if call == poison), "{lost:?}");
        assert!(tracker.is_finished());
        assert!(workers <= 2 * 6 + 3, "{workers} workers to find one call of 64");
    }

    #[test]
    fn of_a_call_and_its_backup_the_first_success_counts_and_failures_only_of_the_call_itself() {
        let mut tracker = held(Policy::default(), 4);
        tracker.report(None, 1, 4, 1, &|_| Verdict::Ok, ZERO);
        assert_eq!(
            tracker.straggler(ZERO, 9).map(|(dispatch, holder)| (dispatch.first, dispatch.end, holder)),
            Some((0, 1, 0))
        );
        let (backup, _) = tracker.straggler(ZERO, 9).expect("it is held");
        tracker.dispatched(backup, 7, ZERO);
        assert_eq!(tracker.straggler(ZERO, 9), None, "it has a backup attempt");
        assert_eq!(tracker.report(None, 0, 1, backup.attempt, &|_| FAILED, ZERO), [Step::Drop(0, 1)]);
        assert_eq!(tracker.holder_lost(7), []);
        let (backup, _) = tracker.straggler(ZERO, 9).expect("its backup is lost");
        tracker.dispatched(backup, 8, ZERO);
        assert_eq!(tracker.report(None, 0, 1, backup.attempt, &|_| Verdict::Ok, ZERO), [Step::Commit(0, 1)]);
        assert_eq!(tracker.holder_lost(0), []);
        assert!(tracker.is_finished());
    }

    #[test]
    fn calls_whose_worker_is_not_heard_of_are_tried_again_and_never_suspects() {
        let mut tracker = held(Policy { losses: 0, ..Policy::default() }, 4);
        for attempt in 2..20 {
            assert_eq!(tracker.holder_unanswered(0), [Step::Again(0, 4)]);
            let again = tracker.take_waiting(9).expect("it waits");
            assert_eq!((again.end, again.attempt, again.suspect), (4, attempt, false));
            tracker.dispatched(again, 0, ZERO);
        }
        let mut once = held(Policy { at_most_once: true, ..Policy::default() }, 2);
        let lost = |call| Step::CommitLost { call, attempt: 1 };
        assert_eq!(once.holder_unanswered(0), [lost(0), lost(1)]);
        assert!(once.is_finished());
    }

    #[test]
    fn what_is_settled_is_neither_tried_again_nor_committed_again() {
        let mut tracker = held(Policy::default(), 6);
        tracker.report(None, 4, 6, 1, &|_| Verdict::Unstarted, ZERO);
        assert_eq!(tracker.settle(2, 5), [(2, 5)]);
        assert_eq!(tracker.settle(0, 5), [(0, 2)]);
        assert_eq!(tracker.report(None, 0, 4, 1, &|_| Verdict::Ok, ZERO), [Step::Drop(0, 4)]);
        assert_eq!(tracker.take_waiting(9).map(|again| (again.first, again.end)), Some((5, 6)));
        assert_eq!(tracker.open(0, 6), [(5, 6)]);
    }

    #[test]
    fn a_failing_backup_does_not_answer_for_the_attempt_that_follows_a_lost_worker() {
        let mut tracker = held(Policy::default(), 1);
        let (backup, _) = tracker.straggler(ZERO, 9).expect("it is held");
        tracker.dispatched(backup, 7, ZERO);
        assert_eq!(tracker.holder_lost(0), [Step::Again(0, 1)]);
        let again = tracker.take_waiting(9).expect("it waits");
        assert_eq!(again.attempt, backup.attempt, "the backup attempt and the new attempt have one number");
        tracker.dispatched(again, 8, ZERO);
        assert_eq!(tracker.report(Some(7), 0, 1, backup.attempt, &|_| FAILED, ZERO), [Step::Drop(0, 1)]);
        assert_eq!(
            tracker.report(Some(7), 0, 1, backup.attempt, &|_| Verdict::Lost, ZERO),
            [Step::Drop(0, 1)]
        );
        assert_eq!(
            tracker.report(Some(8), 0, 1, again.attempt, &|_| Verdict::Ok, ZERO),
            [Step::Commit(0, 1)]
        );
    }

    proptest! {
        /// For random reports, duplicates, backup attempts, losses, settled calls, and a cancelled job: every
        /// call is committed exactly once, a failure only by the worker that holds the call, and nothing is
        /// left over.
        #[test]
        fn exactly_once(script in prop::collection::vec((0u64..30, 1u64..10, 0u8..10, 0u64..4), 0..120), retries in 0u32..3, cancelled in any::<bool>()) {
            let mut tracker = Tracker::new(Policy { retries, losses: 2, ..Policy::default() });
            tracker.set_total(30);
            let mut commits: BTreeMap<u64, u32> = BTreeMap::new();
            let mut count = |first: u64, end: u64| (first..end).for_each(|call| *commits.entry(call).or_default() += 1);
            let mut apply = |steps: &[Step]| {
                for step in steps {
                    match *step {
                        Step::Commit(first, end) => count(first, end),
                        Step::CommitLost { call, .. } => count(call, call + 1),
                        Step::Again(..) | Step::Drop(..) => {}
                    }
                }
            };
            for first in (0..30).step_by(6) {
                tracker.dispatched(Dispatch { first, end: first + 6, attempt: 1, suspect: false, backup: false }, first % 4, ZERO);
            }
            for (round, (first, count, what, holder)) in script.into_iter().enumerate() {
                let now = Duration::from_millis(round as u64 * 40);
                let end = (first + count).min(30);
                match what {
                    4 => apply(&tracker.holder_lost(holder)),
                    5 => tracker.give_up(holder),
                    6 => apply(&tracker.holder_unanswered(holder)),
                    7 => apply(&tracker.settle(first, end).into_iter().map(|(from, to)| Step::Commit(from, to)).collect::<Vec<_>>()),
                    8 | 9 => {
                        // A worker gets no backup attempt of its own calls.
                        if let Some((backup, _)) = tracker.straggler(now, count).filter(|(_, with)| *with != holder) {
                            tracker.dispatched(backup, holder, now);
                        }
                    }
                    what => {
                        let verdict = [Verdict::Ok, FAILED, Verdict::Unstarted, Verdict::Lost][usize::from(what)];
                        let attempt = 1 + (first as u32 + count as u32) % 3;
                        let own: Vec<_> = tracker.held.iter().map(|(first, held)| (*first, *held)).collect();
                        let steps = tracker.report(Some(holder), first, end, attempt, &|_| verdict, now);
                        let covered: u64 = steps.iter().map(|step| match *step {
                            Step::Commit(from, to) | Step::Again(from, to) | Step::Drop(from, to) => to - from,
                            Step::CommitLost { .. } => 1,
                        }).sum();
                        prop_assert_eq!(covered, end - first, "each call of a report is decided on, once");
                        if verdict != Verdict::Ok {
                            let has = |call| own.iter().any(|(first, held)| {
                                (*first..held.end).contains(&call) && (held.holder, held.attempt) == (holder, attempt)
                            });
                            let decided = steps.iter().flat_map(|step| match *step {
                                Step::Commit(from, to) | Step::Again(from, to) => from..to,
                                Step::CommitLost { call, .. } => call..call + 1,
                                Step::Drop(..) => 0..0,
                            });
                            let foreign: Vec<_> = decided.filter(|call| !has(*call)).collect();
                            prop_assert!(foreign.is_empty(), "another worker's failure counts for {foreign:?}");
                        }
                        apply(&steps);
                    }
                }
                tracker.wake(now);
                while let Some(again) = tracker.take_waiting(4).or_else(|| tracker.take_suspect()) {
                    prop_assert!(tracker.committed().missing(again.first, again.end) == [(again.first, again.end)], "a committed call is not tried again");
                    tracker.dispatched(again, holder, ZERO);
                }
            }
            if cancelled {
                apply(&tracker.cancel(30).into_iter().map(|(from, to)| Step::Commit(from, to)).collect::<Vec<_>>());
            }
            for attempt in 1..200 {
                apply(&tracker.report(None, 0, 30, attempt, &|_| Verdict::Ok, ZERO));
            }
            prop_assert!(tracker.is_finished() && tracker.next_wake().is_none());
            prop_assert!(commits.len() == 30 && commits.values().all(|count| *count == 1), "{commits:?}");
        }
    }
}
