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

use super::{
    Dispatch, Policy, Ranges, Step, Tracking, Verdict,
    range_map::{Ending, cut_out, take_out},
};

/// A range of calls that a worker holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) end: u64,
    pub(super) attempt: u32,
    pub(super) holder: u64,
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
    pub(super) held: BTreeMap<u64, Held>,
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
        take_out(&mut self.held, first, end, |held| {
            on.is_none_or(|(attempt, holder)| {
                attempt == held.attempt && holder.is_none_or(|holder| holder == held.holder)
            })
        })
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

impl Ending for Held {
    fn end(self) -> u64 {
        self.end
    }

    fn with_end(self, end: u64) -> Self {
        Self { end, ..self }
    }
}
