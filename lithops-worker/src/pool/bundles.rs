//! [`Bundles`]: the outcomes of a durable job, kept until those of a whole chunk are there, stored, and only then
//! reported.

use std::{collections::HashMap, sync::Arc};

use lithops_core::{
    error::Result,
    journal::{ChunkOutcomes, Journal, Stored},
    protocol::{Calls, DurableSpec, JobSpec, LogEntry, Report, Tag},
    storage::StorageClient,
    tracker::Ranges,
};

/// What this worker has of the chunks of one durable job.
///
/// A chunk is stored here when all its calls have ended here and none of them is to be tried again. In every other
/// case what is known of it goes to the client as it is, and the client stores the chunk once it is whole.
#[derive(Debug)]
pub(super) struct Bundles {
    spec: DurableSpec,
    journal: Arc<Result<Journal>>,
    chunks: HashMap<u64, Chunk>,
}

#[derive(Debug, Default)]
struct Chunk {
    /// The calls that were given to this worker and have not been reported.
    open: Ranges,
    bundle: ChunkOutcomes,
    /// How many outcomes the bundle has.
    there: u64,
    /// Something of it went to the client as it is.
    passed_on: bool,
}

/// What to do with outcomes.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Report these as they are.
    pub(super) pass_on: Vec<Report>,
    /// Store these.
    pub(super) store: Vec<Whole>,
}

/// All outcomes of a chunk.
#[derive(Debug)]
pub(super) struct Whole {
    journal: Arc<Result<Journal>>,
    chunk: u64,
    calls: (u64, u64),
    bundle: ChunkOutcomes,
}

impl Bundles {
    /// Those of a job, if it is durable.
    pub(super) fn of(job: &JobSpec) -> Option<Self> {
        let spec = job.durable.clone()?;
        let locator = job.storage.as_ref()?;
        let storage = StorageClient::connect(locator);
        let journal = storage.map(|storage| Journal::new(&storage, job.job));
        Some(Self { spec, journal: Arc::new(journal), chunks: HashMap::new() })
    }

    /// Calls were given to this worker.
    pub(super) fn given(&mut self, calls: &Calls) {
        for (chunk, first, end) in self.parts(calls.run.first, calls.run.end()) {
            self.chunks.entry(chunk).or_default().open.insert(first, end);
        }
    }

    /// Calls have printed something.
    pub(super) fn printed(&mut self, entry: &LogEntry) {
        let chunk = entry.call / self.spec.chunksize.max(1);
        if let Some(chunk) = self.chunks.get_mut(&chunk) {
            chunk.bundle.logs.push(entry.clone());
        }
    }

    /// Calls have ended.
    pub(super) fn ended(&mut self, report: &Report) -> Decided {
        let mut decided = Decided::default();
        let run = report.header.run;
        for (number, first, end) in self.parts(run.first, run.end()) {
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let part = report.slice(narrow(first - run.first), narrow(end - first));
            let final_tags = (0..part.len()).all(|index| match part.tag(index) {
                Tag::Ok => true,
                Tag::Failed => self.spec.failures_are_final,
                Tag::Unstarted | Tag::Lost => false,
            });
            let chunk = self.chunks.entry(number).or_default();
            chunk.open.remove(first, end);
            chunk.bundle.reports.push(part);
            chunk.there += end - first;
            chunk.passed_on |= !final_tags;
            let calls = calls_of(&self.spec, number);
            let is_whole = chunk.there == calls.1 - calls.0;
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
                decided.store.push(Whole { journal, chunk: number, calls, bundle: chunk.bundle });
            }
        }
        decided
    }

    /// Calls will not be reported: they are not to be run any more, whether they have been begun or not.
    pub(super) fn cancelled(&mut self, calls: &[(u64, u64)]) -> Vec<Report> {
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

    /// The parts of `first..end` by chunk.
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

impl Whole {
    /// Stores the outcomes, or finds those that another has stored.
    pub(super) async fn store(self) -> Kept {
        let stored = match &*self.journal {
            Ok(journal) => journal.commit(self.chunk, self.calls, &self.bundle).await,
            Err(error) => Err(error.again()),
        };
        match stored {
            Ok(Stored::Ours) => Kept { bundle: self.bundle, stored: true, theirs: false },
            Ok(Stored::Theirs(bundle)) => Kept { bundle, stored: true, theirs: true },
            // The client tries as well, and says what is wrong if it fails too.
            Err(_) => Kept { bundle: self.bundle, stored: false, theirs: false },
        }
    }
}

/// The outcomes of a chunk after they were to be stored.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) bundle: ChunkOutcomes,
    /// They are what is stored.
    pub(super) stored: bool,
    /// Another has stored them.
    pub(super) theirs: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lithops_core::{
        id::{ActivationId, JobId},
        protocol::{HEADER_LEN, PayloadsBuilder, ReportBuilder, ReportHeader, Run},
        storage::Locator,
    };

    use super::*;

    fn run(first: u64, count: u32) -> Run {
        let job = JobId::from_bytes([3; 16]);
        Run { job, activation: ActivationId(0), offset: 0, chunksize: 4, attempt: 1, first, count }
    }

    fn calls(first: u64, count: u32) -> Calls {
        let mut arguments = PayloadsBuilder::default();
        (0..count).for_each(|_| arguments.end_value());
        Calls { run: run(first, count), batch: 0, queued_at: 0, arguments: arguments.finish() }
    }

    fn report(first: u64, tags: &[Tag]) -> Report {
        let mut builder = ReportBuilder::default();
        tags.iter().for_each(|tag| builder.end_call(*tag, 1, 2));
        let header = ReportHeader {
            run: run(first, u32::try_from(tags.len()).expect("few")),
            batch: 0,
            batch_done: true,
            stored: false,
            pid: 1,
            queued_at: 0,
            cpu: Duration::ZERO,
            peak_memory: 0,
            delay: Duration::ZERO,
        };
        let mut frame = Vec::new();
        builder.drain_into(&header, &mut frame);
        Report::read(&bytes::Bytes::from(frame).slice(HEADER_LEN..)).expect("it was just written")
    }

    /// Ten calls in chunks of four.
    fn bundles(failures_are_final: bool) -> Bundles {
        let spec = JobSpec {
            job: JobId::from_bytes([3; 16]),
            function: "f".into(),
            worker_processes: 1,
            timeout: None,
            at_most_once: false,
            env: Vec::new(),
            shared: Vec::new(),
            stored_shared: Vec::new(),
            inline_limit: None,
            storage: Some(Locator::new("memory", "bucket")),
            log_limit: 0,
            depth: 0,
            parent: None,
            durable: Some(DurableSpec { calls: 10, chunksize: 4, failures_are_final }),
        };
        Bundles::of(&spec).expect("it is durable")
    }

    fn passed_on(decided: &Decided) -> Vec<(u64, u32)> {
        decided.pass_on.iter().map(|report| (report.header.run.first, report.header.run.count)).collect()
    }

    #[test]
    fn a_chunk_that_ends_here_is_stored_here_whatever_reports_it_comes_in() {
        let mut bundles = bundles(false);
        bundles.given(&calls(0, 10));
        let decided = bundles.ended(&report(2, &[Tag::Ok; 5]));
        assert!(decided.pass_on.is_empty() && decided.store.is_empty());
        let decided = bundles.ended(&report(0, &[Tag::Ok; 2]));
        assert_eq!(decided.store.iter().map(|whole| whole.calls).collect::<Vec<_>>(), [(0, 4)]);
        let decided = bundles.ended(&report(7, &[Tag::Ok; 3]));
        assert_eq!(decided.store.iter().map(|whole| whole.calls).collect::<Vec<_>>(), [(4, 8), (8, 10)]);
        assert!(bundles.chunks.is_empty());
    }

    #[test]
    fn what_may_be_tried_again_or_is_a_part_of_a_chunk_goes_to_the_client() {
        let mut bundles = bundles(false);
        bundles.given(&calls(0, 4));
        bundles.given(&calls(4, 2));
        assert!(passed_on(&bundles.ended(&report(0, &[Tag::Ok]))).is_empty());
        assert_eq!(passed_on(&bundles.ended(&report(1, &[Tag::Failed]))), [(0, 1), (1, 1)]);
        assert_eq!(passed_on(&bundles.ended(&report(2, &[Tag::Ok; 2]))), [(2, 2)]);
        assert_eq!(passed_on(&bundles.ended(&report(4, &[Tag::Ok; 2]))), [(4, 2)]);
        bundles.given(&calls(1, 1));
        assert_eq!(passed_on(&bundles.ended(&report(1, &[Tag::Ok]))), [(1, 1)]);
        assert!(bundles.chunks.is_empty());
    }

    #[test]
    fn what_is_left_of_a_chunk_goes_to_the_client_when_some_of_it_is_cancelled() {
        let mut bundles = bundles(false);
        bundles.given(&calls(0, 10));
        bundles.ended(&report(0, &[Tag::Ok; 2]));
        let left = bundles.cancelled(&[(3, 5)]);
        assert_eq!(left.iter().map(|report| report.header.run.first).collect::<Vec<_>>(), [0]);
        assert_eq!(passed_on(&bundles.ended(&report(2, &[Tag::Ok]))), [(2, 1)]);
        assert_eq!(passed_on(&bundles.ended(&report(5, &[Tag::Ok; 3]))), [(5, 3)]);
        assert_eq!(bundles.ended(&report(8, &[Tag::Ok; 2])).store.len(), 1);
    }

    #[test]
    fn a_failure_that_is_final_is_stored() {
        let mut bundles = bundles(true);
        bundles.given(&calls(8, 2));
        let decided = bundles.ended(&report(8, &[Tag::Failed, Tag::Ok]));
        assert!(decided.pass_on.is_empty() && decided.store.len() == 1);
    }
}
