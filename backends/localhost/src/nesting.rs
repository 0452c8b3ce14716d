//! The worker of an executor inside of a call: the one whose sub-worker this process is.

use std::sync::{Arc, Mutex, PoisonError};

use lithops_core::{
    error::{Error, ErrorKind, Result},
    nesting,
};

use crate::worker::Worker;

/// All executors of this process share one worker, as they share the process.
static WORKER: Mutex<Option<Arc<Worker>>> = Mutex::new(None);

/// The worker that this process belongs to; must be called inside a runtime that stays.
///
/// # Errors
/// When it has closed the channel.
pub(crate) fn worker() -> Result<Arc<Worker>> {
    let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    if worker.is_none()
        && let Some(channel) = nesting::take_channel()
    {
        *worker = Some(Arc::new(Worker::around(channel)?));
    }
    worker.as_ref().filter(|worker| worker.is_alive()).map(Arc::clone).ok_or_else(|| {
        Error::new(ErrorKind::WorkerLost, "the worker that this call runs in takes no more jobs from it")
    })
}

/// The worker, if a job was started on it.
pub(crate) fn known_worker() -> Option<Arc<Worker>> {
    WORKER.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
