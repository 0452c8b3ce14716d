//! [`Environment`]: what a sandbox keeps from one activation to the next: programs, and the pool of the last one.

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use lithops_core::{
    artifact::{Running, Shipped, damaged},
    compute::{ExitReason, WorkerChannel},
    digest::Digest,
    error::{Error, ErrorKind, Result, Retry},
    protocol::{Program, Setup},
    storage::{StorageClient, temporary_folder},
};
use tokio::sync::Mutex;

use crate::{door::stdio, pool};

/// The digest of the program that was deployed as the function itself, if it was.
const INCLUDED: &str = "LITHOPS_PROGRAM";
/// How long a sub-worker that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(500);
/// So many programs are kept: more would fill the disk of the sandbox.
const KEPT: usize = 3;

/// What a sandbox keeps from one activation to the next.
#[derive(Debug)]
pub(super) struct Environment {
    included: Option<Digest>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Fetched programs, the last used first. Their files have no names.
    programs: Vec<(Digest, File)>,
    pool: Option<(Running, Arc<WorkerChannel>)>,
}

impl Environment {
    pub(super) fn of_this_process() -> Self {
        let sold =
            std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|memory| memory.parse().ok());
        if let Some(megabytes) = sold.filter(|megabytes: &u64| *megabytes > 0) {
            // The rest is this process's own, and the system's.
            pool::limit_to((megabytes << 20) / 5 * 4);
        }
        Self {
            included: std::env::var(INCLUDED).ok().and_then(|digest| digest.parse().ok()),
            state: Mutex::default(),
        }
    }

    /// The channel to a pool whose sub-workers are this program: the one of the last activation, if that ran it too.
    pub(super) async fn pool(&self, running: &Running) -> Result<Arc<WorkerChannel>> {
        let mut state = self.state.lock().await;
        if let Some((last, pool)) = &state.pool
            && last.program == running.program
            && last.arguments == running.arguments
            && pool.is_alive()
        {
            return Ok(Arc::clone(pool));
        }
        // The sub-workers of another program end: their memory is wanted.
        state.pool = None;
        let path = self.program(&mut state.programs, running).await?;
        let program = Program { path, arguments: running.arguments.clone() };
        let pool = Arc::new(start(program)?);
        state.pool = Some((running.clone(), Arc::clone(&pool)));
        Ok(pool)
    }

    /// The path that a program is executed by: it leads to the very bytes whose digest was checked.
    async fn program(&self, programs: &mut Vec<(Digest, File)>, running: &Running) -> Result<PathBuf> {
        let digest = running.program.digest;
        let own = std::process::id();
        if self.included == Some(digest) {
            return Ok(format!("/proc/{own}/exe").into());
        }
        let file = match programs.iter().position(|(known, _)| *known == digest) {
            Some(place) => programs.remove(place).1,
            None => {
                programs.truncate(KEPT - 1);
                let storage = StorageClient::connect(&running.storage)?;
                running.program.fetch(&storage, temporary_folder()).await.map_err(unreadable)?
            }
        };
        let path = format!("/proc/{own}/fd/{}", file.as_raw_fd()).into();
        programs.insert(0, (digest, file));
        Ok(path)
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
                (Some(error), _) | (None, Ok(Err(error))) => why(&error),
                (None, Ok(Ok(()))) => ExitReason::Lost("its pool has ended".to_owned()),
                (None, Err(panicked)) => ExitReason::Lost(format!("its pool has failed: {panicked}")),
            }
        }
        .boxed()
    };
    let setup = Setup { program, grace: GRACE, launch: None };
    WorkerChannel::greet("pool", ours, &setup, None, Box::new(how_it_ended))
}

/// Whether another sandbox may do better.
pub(super) fn why(error: &Error) -> ExitReason {
    let words = error.to_string();
    match error.retry() {
        _ if Shipped::is_damaged(error) => ExitReason::Damaged(words),
        Retry::Later => ExitReason::Lost(words),
        _ => ExitReason::Refused(words),
    }
}

fn unreadable(error: Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotFound => error.kind(),
        _ if error.retry() == Retry::Later => ErrorKind::Io,
        kind => kind,
    };
    let hint = match (kind, error.hint()) {
        (ErrorKind::PermissionDenied, _) => {
            "the function's role must be allowed `s3:GetObject` and `s3:ListBucket`: `lithops doctor` prints the policy"
        }
        (ErrorKind::NotFound, _) => "has something removed it, or is the bucket another than the client's?",
        (_, Some(hint)) => hint,
        _ if Shipped::is_damaged(&error) => "something else has written there, or the storage is damaged",
        _ => "is the bucket that of the function's region, and may its role read it?",
    };
    let words = format!("the worker cannot fetch the program from the storage: {}", error.message());
    let is_damaged = Shipped::is_damaged(&error);
    let unreadable =
        Error::new(kind, words).with_hint(hint.to_owned()).with_retry(error.retry()).with_source(error);
    if is_damaged { damaged(unreadable) } else { unreadable }
}
