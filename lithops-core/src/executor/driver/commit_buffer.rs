//! [`CommitBuffer`]: the outcomes of a durable job between the report and the commit that makes them visible.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};

use crate::{
    error::Result,
    journal::{ChunkOutcomes, Journal, Stored},
    protocol::{LogEntry, Report},
    tracker::Ranges,
};

/// At most this many chunks are stored at once; more would only add load on the storage.
const AT_ONCE: usize = 64;

/// The outcomes of a durable job that are not visible yet.
///
/// ```text
///   reported (not stored) --> waiting for the rest of its chunk --> being stored --+--> visible
///   reported as stored by the worker ----------------------------------------------+
/// ```
#[derive(Debug)]
pub(crate) struct CommitBuffer {
    journal: Journal,
    calls: u64,
    chunksize: u64,
    /// Incomplete chunks by number: how many outcomes are there, and the reports that hold them.
    waiting: BTreeMap<u64, (u64, Vec<Report>)>,
    /// Complete chunks that are not being stored yet.
    whole: VecDeque<(u64, Vec<Report>)>,
    storing: FuturesUnordered<BoxFuture<'static, Result<(u64, ChunkOutcomes)>>>,
    /// The calls whose outcomes are stored and visible.
    visible: Ranges,
}

impl CommitBuffer {
    /// The commit buffer of a job of `calls` calls. The calls in `visible` are stored already: whole chunks.
    pub(crate) fn new(journal: Journal, calls: u64, chunksize: u64, visible: Ranges) -> Self {
        Self {
            journal,
            calls,
            chunksize: chunksize.max(1),
            waiting: BTreeMap::new(),
            whole: VecDeque::new(),
            storing: FuturesUnordered::new(),
            visible,
        }
    }

    /// Whether every outcome that was added is visible.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.whole.is_empty() && self.storing.is_empty()
    }

    /// Adds final outcomes that are not stored.
    pub(crate) fn add(&mut self, report: &Report) {
        let run = report.header.run;
        let mut from = run.first;
        while from < run.end() {
            let chunk = from / self.chunksize;
            let (first, end) = self.calls_of(chunk);
            let to = end.min(run.end());
            if self.visible.contains(from) {
                // Another worker or client has committed the chunk meanwhile.
                from = to;
                continue;
            }
            let (there, reports) = self.waiting.entry(chunk).or_default();
            reports.push(report.part(from, to));
            *there += to - from;
            if *there >= end - first
                && let Some((_, mut reports)) = self.waiting.remove(&chunk)
            {
                reports.sort_unstable_by_key(|report| report.header.run.first);
                self.whole.push_back((chunk, reports));
            }
            from = to;
        }
    }

    /// Adds outcomes that a worker has found in the storage. Returns those that were not visible before.
    pub(crate) fn take_stored(&mut self, report: &Report) -> Vec<Report> {
        let run = report.header.run;
        for chunk in run.first / self.chunksize..run.end().div_ceil(self.chunksize) {
            // The stored outcomes are final: outcomes of other attempts are dropped.
            self.waiting.remove(&chunk);
        }
        let missing = self.visible.missing(run.first, run.end());
        self.visible.insert(run.first, run.end());
        missing.into_iter().map(|(first, end)| report.part(first, end)).collect()
    }

    /// Begins to store complete chunks; `logs` returns the output of the calls of a range.
    pub(crate) fn store(&mut self, logs: impl Fn(u64, u64) -> Vec<LogEntry>) {
        while self.storing.len() < AT_ONCE
            && let Some((chunk, reports)) = self.whole.pop_front()
        {
            let range = self.calls_of(chunk);
            let (journal, bundle) =
                (self.journal.clone(), ChunkOutcomes { logs: logs(range.0, range.1), reports });
            self.storing.push(Box::pin(async move {
                let stored = journal.commit(chunk, range, &bundle).await?;
                Ok((chunk, if let Stored::Theirs(theirs) = stored { theirs } else { bundle }))
            }));
        }
    }

    /// Waits for the next chunk that was stored and is not visible yet. Pends while no chunk is being stored.
    ///
    /// # Errors
    /// The storage did not take a chunk, after the retries of its retry policy.
    pub(crate) async fn next(&mut self) -> Result<ChunkOutcomes> {
        loop {
            let Some(stored) = self.storing.next().await else { return std::future::pending().await };
            let (chunk, bundle) = stored?;
            let (first, end) = self.calls_of(chunk);
            if !self.visible.contains(first) {
                self.visible.insert(first, end);
                return Ok(bundle);
            }
        }
    }

    /// Whether a chunk is being stored.
    pub(crate) fn is_storing(&self) -> bool {
        !self.storing.is_empty()
    }

    fn calls_of(&self, chunk: u64) -> (u64, u64) {
        let first = chunk * self.chunksize;
        (first, (first + self.chunksize).min(self.calls))
    }
}

/// The journal of a durable job, and which outcomes are committed when its driver begins.
#[derive(Debug, Clone)]
pub struct Durable {
    /// The journal in which outcomes are committed.
    pub journal: Arc<Journal>,
    /// How many calls the job has.
    pub calls: u64,
    /// The calls whose outcomes are stored and visible already: whole chunks.
    pub restored: Ranges,
}
