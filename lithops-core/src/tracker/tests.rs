//! The promises of the tracker, by hand and for random events.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{Dispatch, Policy, Step, Tracker, Tracking, Verdict};

const ZERO: Duration = Duration::ZERO;
const FAILED: Verdict = Verdict::Failed { again: true };

fn held(policy: Policy, calls: u64) -> Tracker {
    let mut tracker = Tracker::new(policy);
    tracker.set_total(calls);
    tracker.dispatched(Dispatch { first: 0, end: calls, attempt: 1, suspect: false, backup: false }, 0, ZERO);
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
    assert_eq!(tracker.report(Some(7), 0, 1, backup.attempt, &|_| Verdict::Lost, ZERO), [Step::Drop(0, 1)]);
    assert_eq!(tracker.report(Some(8), 0, 1, again.attempt, &|_| Verdict::Ok, ZERO), [Step::Commit(0, 1)]);
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
