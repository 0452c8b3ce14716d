//! [`Outcomes`]: the committed outcomes of a job, kept in the reports in which they arrived.

use std::{borrow::Cow, collections::BTreeMap, iter};

use crate::{
    protocol::{LogEntry, Report, Tag},
    tracker::Ranges,
};

/// The output of calls is kept in full up to this many bytes per job. Beyond that, only the last 4096 bytes
/// per call are kept, so that the output of a large job does not fill the memory.
const MAX_LOG_BYTES: usize = 256 << 20;

/// The committed outcomes of a job, found by call number. Values stay encoded in their reports until they are
/// read.
#[derive(Debug, Default)]
pub struct Outcomes {
    reports: BTreeMap<u64, Report>,
    /// Ranges of calls that share one outcome, by the first call: the call after the last, and a report of
    /// the first call. A range takes as much memory as one call.
    together: BTreeMap<u64, (u64, Report)>,
    done: Ranges,
    failed: u64,
    /// Commits of calls that were already committed; see [`repeated`](Self::repeated).
    repeated: u64,
    logs: BTreeMap<u64, LogEntry>,
    log_bytes: usize,
}

impl Outcomes {
    /// Adds committed outcomes.
    pub fn insert(&mut self, report: Report) {
        let run = report.header.run;
        self.failed += if report.all_ok() {
            0
        } else {
            (0..report.len()).filter(|index| report.tag(*index) != Tag::Ok).count() as u64
        };
        let before = self.done.len();
        self.done.insert(run.first, run.end());
        self.repeated += u64::from(run.count) - (self.done.len() - before);
        self.reports.insert(run.first, report);
    }

    /// Adds one failure for all calls from `report.header.run.first` up to but not including `end`. The
    /// report is that of the first call. The range takes as much memory as one call.
    pub fn insert_together(&mut self, end: u64, report: Report) {
        let first = report.header.run.first;
        let before = self.done.len();
        self.done.insert(first, end);
        let added = self.done.len() - before;
        self.failed += end - first;
        self.repeated += end - first - added;
        self.together.insert(first, (end, report));
    }

    /// Adds the output of a call. It replaces the output of an earlier attempt.
    pub fn insert_log(&mut self, mut entry: LogEntry) {
        if self.log_bytes > MAX_LOG_BYTES {
            let kept = entry.last(4096).into_bytes();
            entry.dropped += (entry.head.len() + entry.tail.len()).saturating_sub(kept.len()) as u64;
            (entry.head, entry.tail) = (Vec::new().into(), kept.into());
        }
        self.log_bytes += entry.head.len() + entry.tail.len();
        if let Some(old) = self.logs.insert(entry.call, entry) {
            self.log_bytes -= old.head.len() + old.tail.len();
        }
    }

    /// The report that a call is in, and the call's index there; `None` if the call has no outcome.
    #[must_use]
    pub fn get(&self, call: u64) -> Option<(Cow<'_, Report>, usize)> {
        if let Some((first, report)) = self.reports.range(..=call).next_back()
            && let Ok(index) = usize::try_from(call - first)
            && index < report.len()
        {
            return Some((Cow::Borrowed(report), index));
        }
        let (_, (end, report)) = self.together.range(..=call).next_back()?;
        (call < *end).then(|| (Cow::Owned(at(report, call)), 0))
    }

    /// The reports of calls with outcomes of their own, in the order of the calls; without ranges that share
    /// one outcome.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }

    /// The outcomes from call `first` on, up to the first call that has none: in the order of the calls, as cheap
    /// copies that can be read without the job's lock. A part begins at `first`, or there are none.
    #[must_use]
    pub fn parts_from(&self, first: u64) -> Vec<OutcomePart> {
        let mut next = first;
        let part = || {
            let part = match self.reports.get(&next) {
                Some(report) => OutcomePart { report: report.clone(), repeated: None },
                None => {
                    let (end, report) = self.together.get(&next)?;
                    OutcomePart { report: report.clone(), repeated: Some(end - next) }
                }
            };
            next += part.calls();
            Some(part)
        };
        iter::from_fn(part).collect()
    }

    /// The committed calls.
    #[must_use]
    pub fn done(&self) -> &Ranges {
        &self.done
    }

    /// How many of the committed calls failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many commits repeated one of the same call. The number must be 0: each call is committed exactly
    /// once. The simulator checks that.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// What a call has printed; `None` if it printed nothing, or its log has not arrived.
    #[must_use]
    pub fn log(&self, call: u64) -> Option<&LogEntry> {
        self.logs.get(&call)
    }
}

/// Outcomes of contiguous calls: a report, or one outcome that many calls share.
#[derive(Debug, Clone)]
pub struct OutcomePart {
    report: Report,
    /// How many calls share the one outcome of the report; `None` if each call has its own.
    repeated: Option<u64>,
}

impl OutcomePart {
    /// The report; where calls share one outcome, the report of the first of these calls.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How many calls the part covers.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.repeated.unwrap_or(self.report.len() as u64)
    }

    /// How many calls share one outcome; `None` if each call has its own.
    #[must_use]
    pub fn together(&self) -> Option<u64> {
        self.repeated
    }

    /// The report that the call at `place` of this part is in, and the call's index in that report.
    #[must_use]
    pub fn get(&self, place: u64) -> (Cow<'_, Report>, usize) {
        match self.repeated {
            Some(_) => (Cow::Owned(at(&self.report, self.report.header.run.first + place)), 0),
            None => (Cow::Borrowed(&self.report), usize::try_from(place).unwrap_or(usize::MAX)),
        }
    }
}

/// A copy of a report of one call, as the report of another call.
fn at(report: &Report, call: u64) -> Report {
    let mut report = report.clone();
    report.header.run.first = call;
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::JobId, protocol::failed_together};

    #[test]
    fn parts_go_up_to_the_first_call_without_an_outcome() {
        let report =
            |first| failed_together(JobId::generate(), vec![(first, first + 2)], b"").next().expect("one");
        let mut outcomes = Outcomes::default();
        let calls = |outcomes: &Outcomes, first| {
            let parts = outcomes.parts_from(first).into_iter();
            parts.map(|part| (part.report().header.run.first, part.calls())).collect::<Vec<_>>()
        };
        outcomes.insert(report(2));
        assert_eq!(calls(&outcomes, 0), []);
        assert_eq!(calls(&outcomes, 2), [(2, 2)]);
        outcomes.insert(report(0));
        outcomes.insert(report(1 << 20));
        let alone = report(4).slice(0, 1);
        outcomes.insert_together(1 << 20, alone);
        assert_eq!(calls(&outcomes, 0), [(0, 2), (2, 2), (4, (1 << 20) - 4), (1 << 20, 2)]);
        assert_eq!(calls(&outcomes, 4), [(4, (1 << 20) - 4), (1 << 20, 2)]);
    }
}
