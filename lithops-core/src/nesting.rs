//! Executors inside of calls: what they have from the worker that the call runs in.
//!
//! A sub-worker has a second socket to its worker, over which an executor that a call builds speaks as a client does.
//! Its calls run in other sub-workers of the same worker, so that no call ever brings a pool of its own.

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

/// How deep jobs may be nested: the jobs of a client are 0 deep, those that their calls start 1.
pub const MAX_DEPTH: u32 = 8;

static HERE: Mutex<Here> = Mutex::new(Here { channel: None, is_sub_worker: false, place: None });
/// The call that runs; it changes too often for a lock.
static CALL: AtomicU64 = AtomicU64::new(0);

/// What this process knows as a sub-worker.
#[derive(Debug)]
struct Here {
    channel: Option<UnixStream>,
    is_sub_worker: bool,
    place: Option<CallContextInWorker>,
}

/// The job whose call runs in this process.
#[derive(Debug, Clone)]
pub struct CallContextInWorker {
    /// The call that runs.
    pub call: ParentCall,
    /// How deep its job is nested.
    pub depth: u32,
    /// How many calls of its job may run at once in one worker.
    pub worker_processes: usize,
    /// The storage of its job.
    pub storage: Option<Locator>,
}

/// Makes this process one whose calls may start jobs over `channel`; said once, by a sub-worker.
pub fn offer(channel: UnixStream) {
    let mut here = here();
    here.channel = Some(channel);
    here.is_sub_worker = true;
}

/// Whether executors of this process are nested: they get sub-workers from the worker that this process belongs to.
#[must_use]
pub fn is_nested() -> bool {
    here().is_sub_worker
}

/// The socket to the worker, the first time it is asked for.
#[must_use]
pub fn take_channel() -> Option<UnixStream> {
    here().channel.take()
}

/// Says whose calls run from now on.
pub fn enter_job(spec: &JobSpec) {
    let place = CallContextInWorker {
        call: ParentCall { job: spec.job, call: 0 },
        depth: spec.depth,
        worker_processes: spec.worker_processes as usize,
        storage: spec.storage.clone(),
    };
    here().place = Some(place);
}

/// Says which call of that job runs from now on.
pub fn begin_call(call: u64) {
    CALL.store(call, Ordering::Relaxed);
}

/// The call that runs, or the last one; `None` in a client.
#[must_use]
pub fn place() -> Option<CallContextInWorker> {
    let mut place = here().place.clone()?;
    place.call.call = CALL.load(Ordering::Relaxed);
    Some(place)
}

/// How deep a job is that is started here, and by which call.
///
/// # Errors
/// `Unsupported` when that is too deep.
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
