//! [`ChunkCommits`]: the outcomes of a durable job. They are kept until a whole chunk has ended, stored together, and
//! only then reported.

use std::{collections::HashMap, sync::Arc};

use lithops_core::{
    error::Result,
    journal::{ChunkOutcomes, Journal, Stored},
    protocol::{Calls, DurableSpec, JobSpec, LogEntry, Report, Tag},
    storage::StorageClient,
    tracker::Ranges,
};

/// The chunks of one durable job that this worker has calls of.
///
/// This worker stores a chunk when all calls of the chunk have ended here and none of them is to be tried again. In every
/// other case the outcomes go to the client as they are, and the client stores the chunk once it is whole.
#[derive(Debug)]
pub(in crate::pool) struct ChunkCommits {
    spec: DurableSpec,
    journal: Arc<Result<Journal>>,
    chunks: HashMap<u64, Chunk>,
}

#[derive(Debug, Default)]
struct Chunk {
    /// The calls that were given to this worker and have not been reported.
    open: Ranges,
    bundle: ChunkOutcomes,
    /// How many outcomes the chunk has had here.
    ended: u64,
    /// Whether some of them went to the client as they are: the client stores the chunk then.
    passed_on: bool,
}

/// What is to be done with outcomes.
#[derive(Debug, Default)]
pub(in crate::pool) struct Decision {
    /// To be reported as they are.
    pub(in crate::pool) pass_on: Vec<Report>,
    /// To be stored.
    pub(in crate::pool) store: Vec<WholeChunk>,
}

/// All outcomes of a chunk, to be stored.
#[derive(Debug)]
pub(in crate::pool) struct WholeChunk {
    journal: Arc<Result<Journal>>,
    chunk: u64,
    calls: (u64, u64),
    bundle: ChunkOutcomes,
}

impl ChunkCommits {
    /// The chunks of a job; `None` when it is not durable.
    pub(in crate::pool) fn of(job: &JobSpec) -> Option<Self> {
        let spec = job.durable.clone()?;
        let locator = job.storage.as_ref()?;
        let storage = StorageClient::connect(locator);
        let journal = storage.map(|storage| Journal::new(&storage, job.job));
        Some(Self { spec, journal: Arc::new(journal), chunks: HashMap::new() })
    }

    /// Takes in that calls were given to this worker.
    pub(in crate::pool) fn given(&mut self, calls: &Calls) {
        for (chunk, first, end) in self.parts(calls.run.first, calls.run.end()) {
            self.chunks.entry(chunk).or_default().open.insert(first, end);
        }
    }

    /// Takes in the output of a call.
    pub(in crate::pool) fn printed(&mut self, entry: &LogEntry) {
        let chunk = entry.call / self.spec.chunksize.max(1);
        if let Some(chunk) = self.chunks.get_mut(&chunk) {
            chunk.bundle.logs.push(entry.clone());
        }
    }

    /// Takes in outcomes, and says what is to be done with those that are complete.
    pub(in crate::pool) fn ended(&mut self, report: &Report) -> Decision {
        let mut decided = Decision::default();
        let run = report.header.run;
        for (number, first, end) in self.parts(run.first, run.end()) {
            let part = report.part(first, end);
            let final_tags = (0..part.len()).all(|index| match part.tag(index) {
                Tag::Ok => true,
                Tag::Failed => self.spec.failures_are_final,
                Tag::Unstarted | Tag::Lost => false,
            });
            let chunk = self.chunks.entry(number).or_default();
            chunk.open.remove(first, end);
            chunk.bundle.reports.push(part);
            chunk.ended += end - first;
            chunk.passed_on |= !final_tags;
            let calls = calls_of(&self.spec, number);
            let is_whole = chunk.ended == calls.1 - calls.0;
            // Also when all calls that came here have ended, and the others of the chunk are with another worker.
            if chunk.passed_on || chunk.open.is_empty() && !is_whole {
                chunk.passed_on = true;
                decided.pass_on.append(&mut chunk.bundle.reports);
            }
            if chunk.open.is_empty()
                && let Some(mut chunk) = self.chunks.remove(&number)
                && !chunk.passed_on
            {
                chunk.bundle.reports.sort_unstable_by_key(|report| report.header.run.first);
                let journal = Arc::clone(&self.journal);
                decided.store.push(WholeChunk { journal, chunk: number, calls, bundle: chunk.bundle });
            }
        }
        decided
    }

    /// Takes in that calls are cancelled, and so will not be reported. Returns what is to be reported of their chunks:
    /// these will never be whole here.
    pub(in crate::pool) fn cancelled(&mut self, calls: &[(u64, u64)]) -> Vec<Report> {
        let mut pass_on = Vec::new();
        for chunk in self.chunks.values_mut() {
            let held: u64 = calls.iter().map(|(first, end)| chunk.open.remove(*first, *end)).sum();
            if held > 0 {
                chunk.passed_on = true;
                pass_on.append(&mut chunk.bundle.reports);
            }
        }
        self.chunks.retain(|_, chunk| !chunk.open.is_empty());
        pass_on
    }

    /// The parts of `first..end` by chunk: its number, and the first call of the part and the one after its last.
    fn parts(&self, first: u64, end: u64) -> Vec<(u64, u64, u64)> {
        let chunksize = self.spec.chunksize.max(1);
        let chunks = first / chunksize..end.div_ceil(chunksize);
        chunks.map(|chunk| (chunk, first.max(chunk * chunksize), end.min((chunk + 1) * chunksize))).collect()
    }
}

fn calls_of(spec: &DurableSpec, chunk: u64) -> (u64, u64) {
    let first = chunk * spec.chunksize.max(1);
    (first, (first + spec.chunksize.max(1)).min(spec.calls))
}

impl WholeChunk {
    /// Stores the outcomes, or finds those that another worker has stored.
    pub(in crate::pool) async fn commit(self) -> Committed {
        let stored = match &*self.journal {
            Ok(journal) => journal.commit(self.chunk, self.calls, &self.bundle).await,
            Err(error) => Err(error.again()),
        };
        match stored {
            Ok(Stored::Ours) => Committed { bundle: self.bundle, stored: true, by_another: false },
            Ok(Stored::Theirs(bundle)) => Committed { bundle, stored: true, by_another: true },
            // The client tries as well when it gets the outcomes, and reports the error if it fails too.
            Err(_) => Committed { bundle: self.bundle, stored: false, by_another: false },
        }
    }
}

/// The outcomes of a chunk after the attempt to store them.
#[derive(Debug)]
pub(in crate::pool) struct Committed {
    pub(in crate::pool) bundle: ChunkOutcomes,
    /// Whether these outcomes are in the storage.
    pub(in crate::pool) stored: bool,
    /// Whether another worker has stored them.
    pub(in crate::pool) by_another: bool,
}

#[cfg(test)]
#[path = "chunk_commits_tests.rs"]
mod tests;
