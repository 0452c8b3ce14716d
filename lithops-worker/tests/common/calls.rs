//! Requests to call a function.

use std::{panic::Location, sync::Arc};

use lithops_core::{
    compute::InvokeRequest,
    function::{Argument, Function, entry_of},
    id::{ActivationId, JobId},
    protocol::{Calls, JobSpec, PayloadsBuilder, Run, now_nanos},
    storage::Locator,
};

/// A request to call a function with each of the inputs, as a job of its own whose first call has this number.
pub(crate) fn calls<F: Function<K>, K, T: Argument>(
    _: F,
    worker_processes: u32,
    first: u64,
    inputs: &[T],
    storage: Option<Locator>,
) -> InvokeRequest {
    let entry = entry_of::<F, K>(Location::caller()).expect("a function");
    let job = JobSpec {
        job: JobId::generate(),
        function: entry.id(),
        worker_processes,
        timeout: None,
        at_most_once: false,
        env: Vec::new(),
        shared: Vec::new(),
        stored_shared: Vec::new(),
        inline_limit: None,
        storage,
        log_limit: 1 << 20,
        live_logs: false,
        durable: None,
        depth: 0,
        parent: None,
    };
    let mut arguments = PayloadsBuilder::default();
    for input in inputs {
        arguments.data().extend_from_slice(&lithops_core::value::encode(input).expect("an input"));
        arguments.end_value();
    }
    let (count, activation) = (u32::try_from(inputs.len()).expect("few"), ActivationId(1000 + first));
    let run = Run { job: job.job, activation, offset: 0, chunksize: count, attempt: 1, first, count };
    let calls = Calls { run, batch: 0, queued_at: now_nanos(), arguments: arguments.finish() };
    InvokeRequest::new(Arc::new(job), vec![calls])
}
