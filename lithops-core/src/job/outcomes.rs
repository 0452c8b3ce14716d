//! [`Outcomes`]: the committed outcomes of a job, kept as they came.

use std::collections::BTreeMap;

use super::Ranges;
use crate::protocol::{LogEntry, Report, Tag};

/// What calls printed is kept up to this many bytes per job; beyond it only the ends are.
const MAX_LOG_BYTES: usize = 256 << 20;

/// The committed outcomes of a job: reports in the form they arrived in, found by call.
#[derive(Debug, Default)]
pub struct Outcomes {
    reports: BTreeMap<u64, Report>,
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
    pub fn get(&self, call: u64) -> Option<(&Report, usize)> {
        let (first, report) = self.reports.range(..=call).next_back()?;
        let index = usize::try_from(call - first).ok().filter(|index| *index < report.len())?;
        Some((report, index))
    }

    /// All reports, in the order of their calls.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
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
