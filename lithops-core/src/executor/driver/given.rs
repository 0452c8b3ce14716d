//! [`Given`]: which calls each worker was given, and so may report.

use std::collections::HashMap;

use crate::{protocol::Run, tracker::Ranges};

/// The calls that each worker was given, by attempt. A worker that is given up may still report, so its entry
/// is kept until its event stream ends.
#[derive(Debug, Default)]
pub(super) struct Given {
    workers: HashMap<u64, Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    /// Calls that the worker was given and has not reported.
    open: Attempts,
    /// Calls that the worker has reported and that are to be tried again. The worker may report them a second
    /// time without breaking the protocol.
    reported: Attempts,
    /// The worker has reported calls that it was not given: its further reports are ignored.
    is_distrusted: bool,
}

/// Calls by attempt. Attempts after the first are in a list, because few calls are retried.
#[derive(Debug, Default)]
struct Attempts {
    first: Ranges,
    later: Vec<(u32, Ranges)>,
}

impl Attempts {
    fn get(&self, attempt: u32) -> Option<&Ranges> {
        match attempt {
            1 => Some(&self.first),
            _ => self.later.iter().find(|(number, _)| *number == attempt).map(|(_, calls)| calls),
        }
    }

    fn of(&mut self, attempt: u32) -> &mut Ranges {
        if attempt == 1 {
            return &mut self.first;
        }
        let place = self.later.iter().position(|(number, _)| *number == attempt);
        let place = place.unwrap_or_else(|| {
            self.later.push((attempt, Ranges::default()));
            self.later.len() - 1
        });
        &mut self.later[place].1
    }

    /// The parts of `first..end` that are not in the set of this attempt.
    fn missing(&self, first: u64, end: u64, attempt: u32) -> Vec<(u64, u64)> {
        self.get(attempt).map_or_else(|| vec![(first, end)], |calls| calls.missing(first, end))
    }
}

/// Which calls of a report count, and which the worker had no right to report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Calls that the worker was given and had not reported.
    pub(super) counts: Vec<(u64, u64)>,
    /// Calls that the worker was never given on the attempt of the report.
    pub(super) strange: Vec<(u64, u64)>,
}

impl Given {
    /// Notes that worker `number` was given calls `first..end`.
    pub(super) fn give(&mut self, number: u64, (first, end): (u64, u64), attempt: u32) {
        self.workers.entry(number).or_default().open.of(attempt).insert(first, end);
    }

    /// Checks a report of worker `number`, and removes the calls that count from its open ones. `is_stored`
    /// says that the outcomes come from the storage.
    pub(super) fn check(&mut self, number: u64, run: &Run, is_stored: bool) -> Checked {
        let (first, end) = (run.first, run.end());
        let Some(hands) = self.workers.get_mut(&number) else {
            return Checked { counts: Vec::new(), strange: vec![(first, end)] };
        };
        if hands.is_distrusted {
            return Checked::default();
        }
        if is_stored {
            // A stored outcome may be that of another worker's attempt, so calls of every attempt count.
            let open =
                std::iter::once(&mut hands.open.first).chain(hands.open.later.iter_mut().map(|(_, of)| of));
            let mut known = Ranges::default();
            for calls in open {
                let strange = calls.missing(first, end);
                calls.remove(first, end);
                without(first, end, &strange).for_each(|(from, to)| known.insert(from, to));
            }
            let strange = known.missing(first, end);
            return Checked { counts: known.iter().collect(), strange };
        }
        let missing = hands.open.missing(first, end, run.attempt);
        if missing.is_empty() {
            hands.open.of(run.attempt).remove(first, end);
            return Checked { counts: vec![(first, end)], strange: Vec::new() };
        }
        let counts: Vec<_> = without(first, end, &missing).collect();
        counts.iter().for_each(|(from, to)| {
            hands.open.of(run.attempt).remove(*from, *to);
        });
        let strange =
            missing.into_iter().flat_map(|(from, to)| hands.reported.missing(from, to, run.attempt));
        Checked { counts, strange: strange.collect() }
    }

    /// Notes that the reported calls have no final outcome, so that the worker may report them again.
    pub(super) fn may_repeat(&mut self, number: u64, (first, end): (u64, u64), attempt: u32) {
        if let Some(hands) = self.workers.get_mut(&number) {
            hands.reported.of(attempt).insert(first, end);
        }
    }

    /// Ignores all further reports of the worker.
    pub(super) fn distrust(&mut self, number: u64) {
        self.workers.insert(number, Hands { is_distrusted: true, ..Hands::default() });
    }

    pub(super) fn is_distrusted(&self, number: u64) -> bool {
        self.workers.get(&number).is_some_and(|hands| hands.is_distrusted)
    }

    /// Removes the entry of a worker whose event stream has ended.
    pub(super) fn forget(&mut self, number: u64) {
        self.workers.remove(&number);
    }
}

/// `first..end` without `parts`, which are sorted and lie within it.
fn without(first: u64, end: u64, parts: &[(u64, u64)]) -> impl Iterator<Item = (u64, u64)> {
    let starts = std::iter::once(first).chain(parts.iter().map(|(_, end)| *end));
    let ends = parts.iter().map(|(first, _)| *first).chain(std::iter::once(end));
    starts.zip(ends).filter(|(from, to)| from < to).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::id::{ActivationId, JobId};

    fn run(first: u64, count: u32, attempt: u32) -> Run {
        let job = JobId::from_bytes([7; 16]);
        Run { job, activation: ActivationId(0), offset: 0, chunksize: 1, attempt, first, count }
    }

    fn calls(ranges: &[(u64, u64)]) -> BTreeSet<u64> {
        ranges.iter().flat_map(|(first, end)| *first..*end).collect()
    }

    proptest! {
        /// For calls given and reported in any order: a call counts once for each time it was given.
        #[test]
        fn a_report_counts_for_what_was_given_and_was_not_reported(
            events in prop::collection::vec((any::<bool>(), 0u64..3, 0u64..40, 1u32..9, 1u32..4), 0..60),
        ) {
            let mut given = Given::default();
            let mut open = BTreeSet::new();
            let mut known = BTreeSet::new();
            for (is_given, worker, first, count, attempt) in events {
                let run = run(first, count, attempt);
                if is_given {
                    given.give(worker, (run.first, run.end()), attempt);
                    open.extend((run.first..run.end()).map(|call| (worker, attempt, call)));
                    continue;
                }
                let Checked { counts, strange } = given.check(worker, &run, false);
                counts.iter().for_each(|part| given.may_repeat(worker, *part, attempt));
                let (counts, strange) = (calls(&counts), calls(&strange));
                for call in run.first..run.end() {
                    let key = (worker, attempt, call);
                    prop_assert_eq!(counts.contains(&call), open.remove(&key));
                    prop_assert_eq!(strange.contains(&call), !counts.contains(&call) && !known.contains(&key));
                    if counts.contains(&call) {
                        known.insert(key);
                    }
                }
            }
        }
    }

    #[test]
    fn one_that_reports_what_it_was_not_given_is_not_listened_to() {
        let mut given = Given::default();
        given.give(1, (0, 10), 1);
        assert_eq!(
            given.check(1, &run(8, 4, 1), false),
            Checked { counts: vec![(8, 10)], strange: vec![(10, 12)] }
        );
        assert_eq!(given.check(2, &run(0, 1, 1), false).strange, [(0, 1)], "nobody has given it anything");
        given.distrust(1);
        assert_eq!(given.check(1, &run(0, 4, 1), false), Checked::default());
        given.forget(1);
        assert!(!given.is_distrusted(1));
    }

    #[test]
    fn what_is_stored_may_be_of_any_attempt_but_not_of_other_calls() {
        let mut given = Given::default();
        given.give(1, (0, 5), 1);
        given.give(1, (5, 10), 2);
        let checked = given.check(1, &run(0, 11, 7), true);
        assert_eq!(checked, Checked { counts: vec![(0, 10)], strange: vec![(10, 11)] });
    }
}
