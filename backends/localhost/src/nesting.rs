//! The worker of an executor inside of a call: the one whose sub-worker this process is.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use lithops_core::{
    compute::{ExitReason, Invocation, InvokeRequest, WorkerChannel},
    error::{Error, ErrorKind, Result},
    nesting,
};

/// The one worker of all executors of this process: the worker that the process belongs to.
static WORKER: Mutex<Option<Arc<WorkerChannel>>> = Mutex::new(None);

/// Hands a request to the worker that this process belongs to; must be called inside a runtime that stays.
///
/// # Errors
/// When the worker has closed the channel.
pub(crate) fn invoke(request: &InvokeRequest) -> Result<Invocation> {
    worker()?.invoke(request)?.ok_or_else(gone)
}

/// The worker, if a job was started on it.
pub(crate) fn known_worker() -> Option<Arc<WorkerChannel>> {
    WORKER.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn worker() -> Result<Arc<WorkerChannel>> {
    let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    if worker.is_none()
        && let Some(channel) = nesting::take_channel()
    {
        let around = WorkerChannel::resume("around", channel, Box::new(|broken| closed(broken).boxed()))?;
        *worker = Some(Arc::new(around));
    }
    worker.as_ref().filter(|worker| worker.is_alive()).map(Arc::clone).ok_or_else(gone)
}

fn gone() -> Error {
    Error::new(ErrorKind::WorkerLost, "the worker that this call runs in takes no more jobs from it")
}

/// When the worker ends, this process ends too.
async fn closed(broken: Option<Error>) -> ExitReason {
    let how = broken.map_or_else(String::new, |error| format!(": {error}"));
    ExitReason::Lost(format!("the worker that this call runs in has closed the channel{how}"))
}
