//! Executors inside of calls, which run their jobs on the worker of the call.
//!
//! A sub-worker has a second socket to its worker. An executor inside of a call uses this socket
//! like a client. Its calls run in other sub-workers of the same worker, so that a call never
//! starts a pool of its own.

use std::{
    os::unix::net::UnixStream,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    error::{Error, ErrorKind, Result},
    protocol::{JobSpec, ParentCall},
    storage::Locator,
};

/// The greatest depth of nested jobs. The jobs of a client have depth 0, the jobs that their calls
/// start depth 1.
pub const MAX_DEPTH: u32 = 8;

/// The state of this process; empty in a client.
static HERE: Mutex<Here> = Mutex::new(Here { channel: None, is_sub_worker: false, place: None });
/// The number of the call that runs. It is an atomic because it changes too often for a lock.
static CALL: AtomicU64 = AtomicU64::new(0);

/// The state of this process as a sub-worker.
#[derive(Debug)]
struct Here {
    /// The socket to the worker, until it is taken.
    channel: Option<UnixStream>,
    /// Whether this process is a sub-worker, also after the socket is taken.
    is_sub_worker: bool,
    /// The job whose calls run; `None` before the first one.
    place: Option<CallContextInWorker>,
}

/// The call that runs in this process, and its job.
#[derive(Debug, Clone)]
pub struct CallContextInWorker {
    /// The call that runs.
    pub call: ParentCall,
    /// The nesting depth of the job.
    pub depth: u32,
    /// How many calls of the job may run at once in one worker.
    pub worker_processes: usize,
    /// The storage of the job; `None` if it has none.
    pub storage: Option<Locator>,
}

/// Lets the calls of this process start jobs over `channel`. A sub-worker calls this once.
pub fn offer(channel: UnixStream) {
    let mut here = here();
    here.channel = Some(channel);
    here.is_sub_worker = true;
}

/// Whether executors of this process use sub-workers of the worker that this process belongs to.
#[must_use]
pub fn is_nested() -> bool {
    here().is_sub_worker
}

/// The socket to the worker. Only the first call returns it.
#[must_use]
pub fn take_channel() -> Option<UnixStream> {
    here().channel.take()
}

/// Notes the job whose calls run from now on.
pub fn enter_job(spec: &JobSpec) {
    let place = CallContextInWorker {
        call: ParentCall { job: spec.job, call: 0 },
        depth: spec.depth,
        worker_processes: spec.worker_processes as usize,
        storage: spec.storage.clone(),
    };
    here().place = Some(place);
}

/// Notes the number of the call that runs from now on.
pub fn begin_call(call: u64) {
    CALL.store(call, Ordering::Relaxed);
}

/// The call that runs, or ran last; `None` in a client.
#[must_use]
pub fn place() -> Option<CallContextInWorker> {
    let mut place = here().place.clone()?;
    place.call.call = CALL.load(Ordering::Relaxed);
    Some(place)
}

/// The depth of a job that is started here, and the call that starts it; `None` for the call in a client.
///
/// # Errors
/// `Unsupported` when the job would be deeper than [`MAX_DEPTH`].
pub(crate) fn below() -> Result<(u32, Option<ParentCall>)> {
    let Some(place) = place() else { return Ok((0, None)) };
    if place.depth >= MAX_DEPTH {
        let message =
            format!("the job would be nested {} deep, and the limit is {MAX_DEPTH}", place.depth + 1);
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("a function starts a job whose function starts a job, and so on: is it recursive?"));
    }
    Ok((place.depth + 1, Some(place.call)))
}

fn here() -> MutexGuard<'static, Here> {
    HERE.lock().unwrap_or_else(PoisonError::into_inner)
}
