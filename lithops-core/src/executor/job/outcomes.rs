//! [`Outcomes`]: the committed outcomes of a job, kept as they came.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    protocol::{LogEntry, Report, Tag},
    tracker::Ranges,
};

/// What calls printed is kept up to this many bytes per job; beyond it only the ends are.
const MAX_LOG_BYTES: usize = 256 << 20;

/// The committed outcomes of a job: reports in the form they arrived in, found by call.
#[derive(Debug, Default)]
pub struct Outcomes {
    reports: BTreeMap<u64, Report>,
    /// Calls that have one outcome together, however many they are: by the first, the call after the last, and a
    /// report of the first.
    together: BTreeMap<u64, (u64, Report)>,
    done: Ranges,
    failed: u64,
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

    /// Adds one outcome, a failure, for calls `report.header.run.first..end`; the report has the first of them. It takes
    /// as much memory as one call.
    pub fn insert_together(&mut self, end: u64, report: Report) {
        let first = report.header.run.first;
        let before = self.done.len();
        self.done.insert(first, end);
        let added = self.done.len() - before;
        self.failed += end - first;
        self.repeated += end - first - added;
        self.together.insert(first, (end, report));
    }

    /// Adds what a call has printed; the last attempt counts.
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

    /// The report a call is in, and its place there.
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

    /// All reports of calls that have outcomes of their own, in the order of the calls.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }

    /// All outcomes, in the order of the calls.
    #[must_use]
    pub fn parts(&self) -> Vec<OutcomePart> {
        let own = self.reports.values().map(|report| OutcomePart { report: report.clone(), repeated: None });
        let together = self.together.values().map(|(end, report)| {
            let count = end - report.header.run.first;
            OutcomePart { report: report.clone(), repeated: Some(count) }
        });
        let mut parts: Vec<_> = own.chain(together).collect();
        parts.sort_by_key(|part| part.report.header.run.first);
        parts
    }

    /// The committed calls.
    #[must_use]
    pub fn done(&self) -> &Ranges {
        &self.done
    }

    /// How many calls failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many outcomes were committed that already were. There must be none; the simulator looks.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// What a call has printed.
    #[must_use]
    pub fn log(&self, call: u64) -> Option<&LogEntry> {
        self.logs.get(&call)
    }
}

/// Outcomes of contiguous calls: a report, or one outcome that many calls have together.
#[derive(Debug, Clone)]
pub struct OutcomePart {
    report: Report,
    /// How many calls have the one outcome of the report.
    repeated: Option<u64>,
}

impl OutcomePart {
    /// Its report; where calls have one outcome together, that of the first of them.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How many calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.repeated.unwrap_or(self.report.len() as u64)
    }

    /// How many calls have one outcome together, where they do.
    #[must_use]
    pub fn together(&self) -> Option<u64> {
        self.repeated
    }

    /// The report that the call at this place is in, and its place there.
    #[must_use]
    pub fn get(&self, place: u64) -> (Cow<'_, Report>, usize) {
        match self.repeated {
            Some(_) => (Cow::Owned(at(&self.report, self.report.header.run.first + place)), 0),
            None => (Cow::Borrowed(&self.report), usize::try_from(place).unwrap_or(usize::MAX)),
        }
    }
}

/// The same outcome, of another call.
fn at(report: &Report, call: u64) -> Report {
    let mut report = report.clone();
    report.header.run.first = call;
    report
}
