//! [`ClaimedChunk`]: a chunk that a worker holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    CommittedChunk, Content, OutcomeRange, Request,
    blame::{Findings, Reported},
    keys,
};
use crate::{bytes::Bytes, tracker::Ranges};

/// What the storage has of a chunk that other workers held before.
#[derive(Debug, Default)]
pub(super) struct PriorEpochs {
    /// The epochs with a claim whose workers have not handed the chunk back, in ascending order.
    pub(super) lost: Vec<u64>,
    pub(super) reports: BTreeSet<Reported>,
    /// Reports that are listed but cannot be read. Their calls are run again.
    pub(super) unreadable: BTreeSet<Reported>,
}

impl PriorEpochs {
    /// Takes the epochs of a chunk before `epoch` from a listing of its claims.
    pub(super) fn claims(listed: &[String], (chunk, epoch): (u64, u64)) -> Self {
        let claimed = keys::believed(listed).remove(&chunk).unwrap_or_default();
        let left: BTreeSet<_> = listed.iter().filter_map(|key| keys::read_left(key)).collect();
        let is_lost = |past: &u64| *past < epoch && !left.contains(&(chunk, *past));
        Self { lost: claimed.into_iter().filter(is_lost).collect(), ..Self::default() }
    }

    /// Takes the reports of the chunk from a listing.
    pub(super) fn reports(&mut self, listed: &[String]) {
        let reports = listed.iter().filter_map(|key| keys::read_outcome(key));
        self.reports = reports.map(|(epoch, first, end)| Reported { epoch, first, end }).collect();
    }
}

/// A chunk that a worker holds: which of its calls are done and which are running, and which
/// reports are not stored yet.
#[derive(Debug)]
pub(super) struct ClaimedChunk {
    pub(super) chunk: u64,
    pub(super) epoch: u64,
    /// Whether the calls run one by one, because an earlier epoch was lost.
    in_order: bool,
    /// The first call of the chunk, and the call after its last.
    calls: (u64, u64),
    /// The calls with an outcome.
    done: Ranges,
    /// The outcomes for the commit, by their first call.
    parts: BTreeMap<u64, OutcomeRange>,
    /// Reports of earlier epochs that must be read, each with the calls that are taken from it.
    unread: VecDeque<(Reported, (u64, u64))>,
    /// Calls that must be run and were not handed out yet.
    open: VecDeque<(u64, u64)>,
    /// Calls that were handed out and have no outcome yet.
    running: Ranges,
    /// Reports of this epoch that are not stored yet.
    unsent: VecDeque<(u64, u64, Bytes)>,
}

impl ClaimedChunk {
    /// A chunk of which no call has run.
    pub(super) fn untouched(claim: (u64, u64), calls: (u64, u64)) -> Self {
        Self::with(claim, false, calls, Findings { open: vec![calls], ..Findings::default() })
    }

    /// A chunk that other workers held before, with their claims and reports as listed.
    pub(super) fn of(
        (chunk, epoch): (u64, u64),
        calls: (u64, u64),
        found: &PriorEpochs,
        losses: u32,
    ) -> Self {
        let reports = found.reports.difference(&found.unreadable).copied().collect();
        let findings = Findings::of(reports, &found.lost, calls, epoch, losses);
        Self::with((chunk, epoch), !found.lost.is_empty(), calls, findings)
    }

    fn with((chunk, epoch): (u64, u64), in_order: bool, calls: (u64, u64), findings: Findings) -> Self {
        let mut hold = Self {
            chunk,
            epoch,
            in_order,
            calls,
            done: Ranges::default(),
            parts: BTreeMap::new(),
            unread: findings.done.into(),
            open: findings.open.into(),
            running: Ranges::default(),
            unsent: VecDeque::new(),
        };
        for (call, epoch) in findings.lost {
            hold.add(call, call + 1, Content::Lost { epoch });
        }
        hold
    }

    /// The next report of another epoch that must be read, as its key gives it.
    pub(super) fn next_unread(&self) -> Option<Reported> {
        self.unread.front().map(|(reported, _)| *reported)
    }

    /// The request for the next report of another epoch that must be read.
    pub(super) fn unread(&self) -> Option<Request> {
        let (Reported { epoch, first, end }, _) = self.unread.front()?;
        Some(Request::Get { key: keys::outcome(self.chunk, *epoch, *first, *end) })
    }

    /// Takes in the report that was requested with [`unread`](Self::unread).
    pub(super) fn read(&mut self, report: &Bytes) {
        let Some((reported, _)) = self.unread.front().copied() else { return };
        while let Some((_, (first, end))) = self.unread.pop_front_if(|(next, _)| *next == reported) {
            let Reported { first: from, end: to, .. } = reported;
            self.add(first, end, Content::Reported { first: from, end: to, report: report.clone() });
        }
    }

    /// The next calls to run. All open calls are returned at once, unless an earlier epoch was lost:
    /// then one call is returned, and only after the outcome of the call before is stored, so that
    /// the keys tell which call was running when an epoch ends.
    pub(super) fn next_run(&mut self) -> Option<(u64, u64)> {
        let in_order = self.in_order;
        if in_order && !(self.running.is_empty() && self.unsent.is_empty()) {
            return None;
        }
        let (first, end) = self.open.pop_front()?;
        let cut = if in_order { first + 1 } else { end };
        if cut < end {
            self.open.push_front((cut, end));
        }
        self.running.insert(first, cut);
        Some((first, cut))
    }

    /// Whether calls were handed out whose outcomes have not come yet.
    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Takes in the report of the calls `first..end`. A report without a new outcome is dropped.
    pub(super) fn ran(&mut self, first: u64, end: u64, report: &Bytes) {
        let news = self.done.missing(first.max(self.calls.0), end.min(self.calls.1));
        if news.is_empty() {
            return;
        }
        for (from, to) in news {
            self.add(from, to, Content::Reported { first, end, report: report.clone() });
        }
        self.running.remove(first, end);
        self.unsent.push_back((first, end, report.clone()));
    }

    /// The request that stores the next report.
    pub(super) fn unsent(&self) -> Option<Request> {
        let (first, end, report) = self.unsent.front()?;
        let key = keys::outcome(self.chunk, self.epoch, *first, *end);
        Some(Request::Put { key, bytes: report.clone(), if_absent: true })
    }

    /// Notes that the report of [`unsent`](Self::unsent) is stored.
    pub(super) fn sent(&mut self) {
        self.unsent.pop_front();
    }

    /// Whether every call has an outcome.
    pub(super) fn is_complete(&self) -> bool {
        self.done.len() == self.calls.1 - self.calls.0
    }

    /// The request that commits the chunk, with the name of the worker that holds it.
    pub(super) fn commit(&self, author: &str) -> Request {
        let parts = self.parts.values().cloned().collect();
        let bundle = CommittedChunk { author: author.to_owned(), epoch: self.epoch, parts };
        Request::Put { key: keys::commit(self.chunk), bytes: bundle.encode(), if_absent: true }
    }

    fn add(&mut self, first: u64, end: u64, content: Content) {
        self.done.insert(first, end);
        self.parts.insert(first, OutcomeRange { first, end, content });
    }
}
