//! [`WarmPool`]: what a sandbox keeps from one request to the next: programs, and the pool of the last one.

use std::{os::unix::net::UnixStream, sync::Arc, time::Duration};

use futures_util::FutureExt;
use lithops_core::{
    artifact::{ProgramRef, StoredProgram},
    compute::{ExitReason, WorkerChannel},
    digest::Digest,
    error::{Error, Result, Retry},
    protocol::{Program, Secrets, Setup},
    storage,
};
use rustix::process::getpid;
use tokio::sync::{Mutex, oneshot};

use crate::{
    pool,
    processes::end_below,
    program_cache::{ProgramCache, ReadHints},
    transport::stdio,
};

/// The variable with the digest of the program that was deployed to the platform, where that is the user's own: it is
/// not fetched then.
const DEPLOYED_PROGRAM: &str = "LITHOPS_PROGRAM";

/// How long a sub-worker that was asked to end may take before it is killed. It is short, because platforms bill the
/// time.
const GRACE: Duration = Duration::from_millis(500);

/// The part of a sandbox's memory that sub-workers may use: the rest is this process's own, and the system's.
const SHARE_OF_MEMORY: (u64, u64) = (4, 5);

/// What a transport says of the sandboxes of its platform.
#[derive(Debug)]
pub(in crate::transport) struct Sandbox {
    /// How many bytes of memory a sandbox has, where the platform tells.
    pub(in crate::transport) memory: Option<u64>,
    /// What to do about a program that cannot be read from the storage.
    pub(in crate::transport) hints: ReadHints,
    /// The most bytes of an answer that is sent in pieces.
    pub(in crate::transport) stream_limit: u64,
    /// The credentials of the storage, where the platform has no identity that opens it.
    pub(in crate::transport) secrets: Option<Secrets>,
}

/// What a sandbox keeps from one request to the next.
#[derive(Debug)]
pub(in crate::transport) struct WarmPool {
    /// The most bytes of an answer that is sent in pieces.
    pub(super) stream_limit: u64,
    secrets: Option<Secrets>,
    state: Mutex<WarmState>,
}

#[derive(Debug)]
struct WarmState {
    programs: ProgramCache,
    pool: Option<RunningPool>,
}

#[derive(Debug)]
struct RunningPool {
    running: ProgramRef,
    channel: Arc<WorkerChannel>,
    /// Closed when the pool has ended.
    ended: oneshot::Receiver<()>,
}

impl WarmPool {
    /// Has neither a fetched program nor a pool yet.
    pub(in crate::transport) fn new(sandbox: Sandbox) -> Self {
        if let Some(bytes) = sandbox.memory {
            let (part, whole) = SHARE_OF_MEMORY;
            pool::limit_to(bytes / whole * part);
        }
        let deployed: Option<Digest> =
            std::env::var(DEPLOYED_PROGRAM).ok().and_then(|digest| digest.parse().ok());
        let programs = ProgramCache::new(deployed, sandbox.hints);
        if let Some(secrets) = &sandbox.secrets {
            storage::give(&secrets.storage, secrets.secrets.iter().cloned().collect());
        }
        Self {
            stream_limit: sandbox.stream_limit,
            secrets: sandbox.secrets,
            state: Mutex::new(WarmState { programs, pool: None }),
        }
    }

    /// The channel to a pool whose sub-workers execute this program: the pool of the last request, if that ran the
    /// program too.
    pub(super) async fn pool(&self, running: &ProgramRef) -> Result<Arc<WorkerChannel>> {
        let mut state = self.state.lock().await;
        if let Some(RunningPool { running: last, channel, .. }) = &state.pool
            && last.program == running.program
            && last.arguments == running.arguments
            && channel.is_alive()
        {
            return Ok(Arc::clone(channel));
        }
        // The sub-workers of another program end first: the new ones need their memory.
        state.pool = None;
        let path = state.programs.path(&running.program, &running.storage).await?;
        let program = Program { path, arguments: running.arguments.clone() };
        let (channel, ended) = start(program, self.secrets.as_ref())?;
        let channel = Arc::new(channel);
        state.pool = Some(RunningPool { running: running.clone(), channel: Arc::clone(&channel), ended });
        Ok(channel)
    }

    /// Ends the pool with all that its calls have started. The programs are kept.
    pub(super) async fn stop(&self) {
        let Some(RunningPool { channel, ended, .. }) = self.state.lock().await.pool.take() else { return };
        drop(channel);
        // An error is what is waited for: the sender is dropped.
        let _ = ended.await;
        end_below(getpid());
    }
}

/// A pool in this process, the channel to it, and what is closed when it has ended.
fn start(program: Program, secrets: Option<&Secrets>) -> Result<(WorkerChannel, oneshot::Receiver<()>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let (lives, ended) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let served = stdio::serve(theirs).await;
        drop(lives);
        served
    });
    let how_it_ended = move |broken: Option<Error>| {
        async move {
            let served = served.await;
            match (broken, served) {
                (Some(error), _) | (None, Ok(Err(error))) => exit_reason(&error),
                (None, Ok(Ok(()))) => ExitReason::Lost("its pool has ended".to_owned()),
                (None, Err(panicked)) => ExitReason::Lost(format!("its pool has failed: {panicked}")),
            }
        }
        .boxed()
    };
    let setup = Setup { program, grace: GRACE, launch: None, secrets: None };
    Ok((WorkerChannel::greet("pool", ours, &setup, secrets, Box::new(how_it_ended))?, ended))
}

/// What an error says of this sandbox: whether another may succeed, or the client must store the program again.
pub(super) fn exit_reason(error: &Error) -> ExitReason {
    let words = error.to_string();
    match error.retry() {
        _ if StoredProgram::is_damaged(error) => ExitReason::Damaged(words),
        Retry::Later => ExitReason::Lost(words),
        _ => ExitReason::Refused(words),
    }
}
