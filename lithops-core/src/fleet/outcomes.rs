//! Converts the commits of a board to the outcomes in the journal of a job.

use std::collections::BTreeSet;

use crate::{
    board::{CommittedChunk, Content},
    error::{CallError, CallErrorKind, Result},
    id::JobId,
    journal,
    protocol::{Report, failed_together},
};

/// The outcomes of a chunk in the form of the job's journal. Each report on the board is itself
/// encoded [`ChunkOutcomes`](journal::ChunkOutcomes) of the calls it covers. `out_of_memory` are the epochs whose workers
/// the platform has ended because they took too much memory.
///
/// # Errors
/// When a report is damaged.
pub fn outcomes(
    job: JobId,
    bundle: &CommittedChunk,
    out_of_memory: &BTreeSet<u64>,
) -> Result<journal::ChunkOutcomes> {
    let mut all = journal::ChunkOutcomes::default();
    for part in &bundle.parts {
        let failed = |kind: CallErrorKind, message: &str| {
            let error = CallError::new(kind, message).encode();
            failed_together(job, vec![(part.first, part.end)], &error).collect::<Vec<_>>()
        };
        match &part.content {
            Content::Reported { first, end, report } => {
                let reported = journal::ChunkOutcomes::decode(&report.clone().into_inner(), *first, *end)?;
                let within = |call: u64| part.first <= call && call < part.end;
                all.logs.extend(reported.logs.into_iter().filter(|entry| within(entry.call)));
                all.reports
                    .extend(reported.reports.iter().filter_map(|report| cut(report, part.first, part.end)));
            }
            Content::Lost { epoch } if out_of_memory.contains(epoch) => all.reports.extend(failed(
                CallErrorKind::OutOfMemory,
                "the workers that ran it were lost, again and again, and the platform has ended the last of them because it \
                 took more memory than a worker has: give workers more (`runtime_memory`), or run fewer calls at once in one \
                 (`worker_processes`)",
            )),
            Content::Lost { .. } => all.reports.extend(failed(
                CallErrorKind::WorkerLost,
                "the workers that ran it were lost, again and again, and nobody else is to blame",
            )),
            Content::Cancelled => {
                all.reports.extend(failed(CallErrorKind::Cancelled, "the job was cancelled"));
            }
        }
    }
    all.reports.sort_unstable_by_key(|report| report.header.run.first);
    Ok(all)
}

/// The part of a report for the calls `first..end`; `None` if it has none of them.
fn cut(report: &Report, first: u64, end: u64) -> Option<Report> {
    let run = report.header.run;
    let (from, to) = (run.first.max(first), run.end().min(end));
    (from < to).then(|| report.part(from, to))
}
