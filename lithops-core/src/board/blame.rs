//! [`Findings`]: what the reports of a chunk say about the calls that are done, open, and lost.
//!
//! Until an epoch is lost, the calls run side by side, and the call that ended the first lost epoch
//! cannot be told. After it, calls run one by one in order, and each is reported before the next
//! begins. The *frontier* of such an epoch, the first call without an outcome when the epoch ended,
//! is the call that was running. An epoch whose worker handed the chunk back is not lost: it counts
//! against no call. A call that was the frontier of more than `losses` epochs is lost.
//! It then counts as done, so that the frontiers of later epochs fall on its neighbours.
//!
//! All of this follows from the keys, so that every worker that claims the chunk comes to the same
//! conclusion. Only epochs with a claim count: an epoch without a claim counts against no call,
//! however high the next epoch is.

use std::collections::BTreeMap;

use crate::tracker::Ranges;

/// The content of the key of a report: its epoch, and the calls `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reported {
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// The state of the calls of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// Reports, each with the range of calls that is taken from it.
    pub(super) done: Vec<(Reported, (u64, u64))>,
    /// Calls at which too many epochs ended, each with the last of them.
    pub(super) lost: Vec<(u64, u64)>,
    /// Ranges of calls that must be run.
    pub(super) open: Vec<(u64, u64)>,
}

impl Findings {
    /// What the holder of `epoch` concludes for the calls `first..end`, from the reports and from
    /// the earlier epochs that were lost, in order.
    pub(super) fn of(
        mut reports: Vec<Reported>,
        lost: &[u64],
        calls: (u64, u64),
        epoch: u64,
        losses: u32,
    ) -> Self {
        let (first, end) = calls;
        reports.sort_unstable();
        let mut findings = Self::default();
        let mut covered = Ranges::default();
        let mut blamed: BTreeMap<u64, u32> = BTreeMap::new();
        let mut reports = reports.into_iter().peekable();
        // The calls of the first lost epoch have run side by side.
        for past in lost.iter().copied().filter(|past| *past < epoch).skip(1) {
            while let Some(report) = reports.next_if(|report| report.epoch <= past) {
                findings.take(report, calls, &mut covered);
            }
            if let Some(call) = covered.missing(first, end).first().map(|(call, _)| *call) {
                let losses_of_it = blamed.entry(call).or_default();
                *losses_of_it += 1;
                if *losses_of_it > losses {
                    findings.lost.push((call, past));
                    covered.insert(call, call + 1);
                }
            }
        }
        reports.for_each(|report| findings.take(report, calls, &mut covered));
        findings.open = covered.missing(first, end);
        findings
    }

    /// Takes from a report the calls that no earlier report covers.
    fn take(&mut self, report: Reported, (first, end): (u64, u64), covered: &mut Ranges) {
        for (from, to) in covered.missing(report.first.max(first), report.end.min(end)) {
            covered.insert(from, to);
            self.done.push((report, (from, to)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(reports: &[(u64, u64, u64)]) -> Vec<Reported> {
        reports
            .iter()
            .map(|(epoch, first, end)| Reported { epoch: *epoch, first: *first, end: *end })
            .collect()
    }

    #[test]
    fn the_first_epoch_blames_nobody() {
        let findings = Findings::of(reported(&[(1, 12, 14)]), &[1], (10, 20), 2, 0);
        assert_eq!((findings.lost, findings.open), (vec![], vec![(10, 12), (14, 20)]));
    }

    #[test]
    fn the_frontier_of_too_many_epochs_is_lost_and_its_neighbours_go_on() {
        // Call 11 ends epochs 2, 3 and 4; then call 12 is done in epoch 5, and call 13 ends epochs 5 and 6.
        let reports = reported(&[(2, 10, 11), (5, 12, 13)]);
        let at = |epoch| Findings::of(reports.clone(), &[1, 2, 3, 4, 5, 6, 7], (10, 20), epoch, 2);
        assert_eq!((at(4).lost, at(4).open), (vec![], vec![(11, 12), (13, 20)]));
        assert_eq!((at(5).lost, at(5).open), (vec![(11, 4)], vec![(13, 20)]));
        assert_eq!(at(7).lost, [(11, 4)], "13 has ended two epochs only");
        assert_eq!((at(8).lost, at(8).open), (vec![(11, 4), (13, 7)], vec![(14, 20)]));
    }

    #[test]
    fn of_reports_that_overlap_each_call_is_taken_once() {
        let findings =
            Findings::of(reported(&[(2, 11, 12), (1, 10, 13), (3, 9, 15)]), &[1, 2], (10, 14), 3, 2);
        let done: Vec<_> = findings.done.iter().map(|(report, calls)| (report.epoch, *calls)).collect();
        assert_eq!(done, [(1, (10, 13)), (3, (13, 14))]);
        assert!(findings.open.is_empty() && findings.lost.is_empty());
    }

    #[test]
    fn epochs_that_nobody_has_claimed_blame_nobody_and_take_no_time() {
        let far = u64::MAX - 1;
        let findings = Findings::of(reported(&[(1, 10, 12)]), &[1, 2, far], (10, 14), u64::MAX, 2);
        assert_eq!((findings.lost, findings.open), (vec![], vec![(12, 14)]));
        let findings = Findings::of(reported(&[(far, 0, u64::MAX)]), &[far], (10, 14), u64::MAX, 0);
        assert_eq!((findings.lost, findings.open), (vec![], vec![]));
    }
}
