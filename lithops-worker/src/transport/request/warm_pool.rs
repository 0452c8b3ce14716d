//! [`WarmPool`]: what a sandbox keeps from one request to the next: programs, and the pool of the last one.

use std::{os::unix::net::UnixStream, sync::Arc, time::Duration};

use futures_util::FutureExt;
use lithops_core::{
    artifact::{ProgramRef, StoredProgram},
    compute::{ExitReason, WorkerChannel},
    digest::Digest,
    error::{Error, Result, Retry},
    protocol::{Program, Setup},
};
use tokio::sync::Mutex;

use crate::{
    pool,
    program_cache::{ProgramCache, ReadHints},
    transport::stdio,
};

/// The variable with the digest of the program that was deployed to the platform, where that is the user's own: it is
/// not fetched then.
const DEPLOYED_PROGRAM: &str = "LITHOPS_PROGRAM";

/// How long a sub-worker that was asked to end may take before it is killed. It is short, because platforms bill the
/// time.
const GRACE: Duration = Duration::from_millis(500);

/// What a transport says of the sandboxes of its platform.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct Sandbox {
    /// How many bytes of memory a sandbox has, where the platform tells.
    pub(in crate::transport) memory: Option<u64>,
    /// What to do about a program that cannot be read from the storage.
    pub(in crate::transport) hints: ReadHints,
    /// The most bytes of an answer that is sent in pieces.
    pub(in crate::transport) stream_limit: u64,
}

/// What a sandbox keeps from one request to the next.
#[derive(Debug)]
pub(in crate::transport) struct WarmPool {
    /// The most bytes of an answer that is sent in pieces.
    pub(super) stream_limit: u64,
    state: Mutex<WarmState>,
}

#[derive(Debug)]
struct WarmState {
    programs: ProgramCache,
    pool: Option<(ProgramRef, Arc<WorkerChannel>)>,
}

impl WarmPool {
    /// Has neither a fetched program nor a pool yet.
    pub(in crate::transport) fn new(sandbox: Sandbox) -> Self {
        if let Some(bytes) = sandbox.memory {
            pool::limit_to(bytes);
        }
        let deployed: Option<Digest> =
            std::env::var(DEPLOYED_PROGRAM).ok().and_then(|digest| digest.parse().ok());
        let programs = ProgramCache::new(deployed, sandbox.hints);
        Self { stream_limit: sandbox.stream_limit, state: Mutex::new(WarmState { programs, pool: None }) }
    }

    /// The channel to a pool whose sub-workers execute this program: the pool of the last request, if that ran the
    /// program too.
    pub(super) async fn pool(&self, running: &ProgramRef) -> Result<Arc<WorkerChannel>> {
        let mut state = self.state.lock().await;
        if let Some((last, pool)) = &state.pool
            && last.program == running.program
            && last.arguments == running.arguments
            && pool.is_alive()
        {
            return Ok(Arc::clone(pool));
        }
        // The sub-workers of another program end first: the new ones need their memory.
        state.pool = None;
        let path = state.programs.path(&running.program, &running.storage).await?;
        let program = Program { path, arguments: running.arguments.clone() };
        let pool = Arc::new(start(program)?);
        state.pool = Some((running.clone(), Arc::clone(&pool)));
        Ok(pool)
    }
}

/// A pool in this process, and the channel to it.
fn start(program: Program) -> Result<WorkerChannel> {
    let (ours, theirs) = UnixStream::pair()?;
    let served = tokio::spawn(stdio::serve(theirs));
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
    WorkerChannel::greet("pool", ours, &setup, None, Box::new(how_it_ended))
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
