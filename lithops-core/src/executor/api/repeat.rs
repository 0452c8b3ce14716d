//! How the failed calls of a map are run again: as a new job of the same function, with the same options.

use std::sync::{Arc, Weak};

use super::{RetryPolicy, options::JobOptions};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    executor::{
        core::Core,
        durable::start::env_of,
        job::{CallSources, Failed, InputQueue, JobState, Repeat},
    },
    function::{self, Entry},
    id::JobId,
    journal::Journal,
    plan::Count,
    protocol::{InputBatch, PayloadsBuilder},
    runtime,
};

/// Lets the failed calls of a job be run again whose arguments are only in memory.
pub(super) fn in_memory(
    core: &Arc<Core>,
    job: &JobState,
    entry: &'static Entry,
    options: JobOptions,
    shared: Vec<Bytes>,
) {
    let core = Arc::downgrade(core);
    let start = move |failed: Failed| -> futures_util::future::BoxFuture<'static, Result<Arc<JobState>>> {
        let (core, options, shared) = (Weak::clone(&core), options.clone(), shared.clone());
        Box::pin(async move {
            let core = alive(&core)?;
            let queue = Arc::new(InputQueue::default());
            let known = failed.calls.len() as u64;
            let again = core.start(entry, &options, shared.clone(), Some(known), &queue, None)?;
            again.set_sources(CallSources::Repeated { of: Arc::new(failed.sources), calls: failed.calls });
            in_memory(&core, &again, entry, options, shared);
            runtime::driver().spawn(async move {
                queue.push_all(&batch(failed.arguments.iter().map(Vec::as_slice))).await;
                queue.end(None);
            });
            Ok(again)
        })
    };
    job.set_repeat(Repeat::new(Arc::new(start), true));
}

/// Lets the failed calls of a stored job be run again. `options` are those that the job was started with;
/// `None` for a job that this client has attached to, whose options are stored.
pub(super) fn stored(core: &Arc<Core>, job: &Arc<JobState>, options: Option<JobOptions>) {
    let (core, earlier) = (Arc::downgrade(core), Arc::downgrade(job));
    let start = move |failed: Failed| -> futures_util::future::BoxFuture<'static, Result<Arc<JobState>>> {
        let (core, earlier, options) = (Weak::clone(&core), Weak::clone(&earlier), options.clone());
        Box::pin(async move {
            let earlier = earlier.upgrade().ok_or_else(gone)?;
            repeat_stored(alive(&core)?, earlier.id(), earlier.is_detached(), options, failed).await
        })
    };
    job.set_repeat(Repeat::new(Arc::new(start), false));
}

async fn repeat_stored(
    core: Arc<Core>,
    earlier: JobId,
    is_detached: bool,
    options: Option<JobOptions>,
    Failed { calls, sources, .. }: Failed,
) -> Result<Arc<JobState>> {
    let journal = Journal::new(&core.storage, earlier);
    let record = journal.record().await?;
    let entry = function::find(&record.function)?;
    let shared = journal.shared(&record.shared).await?;
    let recorded = |count: u64| usize::try_from(count).ok().map(Count::Exactly);
    let options = match options {
        Some(options) => options,
        None => JobOptions {
            chunksize: recorded(record.chunksize),
            worker_processes: recorded(record.worker_processes),
            retries: Some(RetryPolicy { policy: record.policy, retry_if: None }),
            timeout: record.timeout,
            env: env_of(&record)?,
            durable: true,
            detached: is_detached,
            ..JobOptions::default()
        },
    };
    // Only the segments with a failed call are read.
    let (mut first, mut repeated, mut batches) = (0, Vec::new(), Vec::new());
    for (number, segment) in record.segments.iter().enumerate() {
        let end = first + segment.calls;
        let wanted: Vec<u64> = calls.iter().copied().filter(|call| (first..end).contains(call)).collect();
        if !wanted.is_empty() {
            let inputs = journal.inputs(number as u64, segment).await?;
            let index = |call: &u64| usize::try_from(call - first).unwrap_or(usize::MAX);
            // A call whose input had failed has no argument.
            let has_argument = |call: &u64| inputs.failed.iter().all(|(place, _)| *place != index(call));
            let wanted: Vec<u64> = wanted.into_iter().filter(has_argument).collect();
            batches.push(batch(wanted.iter().map(|call| inputs.inputs.get(index(call)))));
            repeated.extend(wanted);
        }
        first = end;
    }
    let queue = Arc::new(InputQueue::default());
    let feeding = Arc::clone(&queue);
    runtime::driver().spawn(async move {
        for batch in batches {
            feeding.push_all(&batch).await;
        }
        feeding.end(None);
    });
    let known = Some(repeated.len() as u64);
    let again = Arc::clone(&core).start_durable(entry, options.clone(), shared, known, queue).await?;
    again.set_sources(CallSources::Repeated { of: Arc::new(sources), calls: repeated });
    stored(&core, &again, Some(options));
    Ok(again)
}

fn batch<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> InputBatch {
    let mut builder = PayloadsBuilder::default();
    for argument in arguments {
        builder.data().extend_from_slice(argument);
        builder.end_value();
    }
    InputBatch { inputs: builder.finish(), failed: Vec::new(), ended: false }
}

fn alive(core: &Weak<Core>) -> Result<Arc<Core>> {
    core.upgrade().ok_or_else(gone)
}

fn gone() -> Error {
    Error::new(ErrorKind::InvalidInput, "the executor of the job was dropped, and the failed calls need it")
        .with_hint("keep the executor until the last `retry_failed` is done")
}
