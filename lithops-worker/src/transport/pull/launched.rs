//! A worker that was started with nothing but a launch document, in a variable or a file.

use std::{env, fs, io::Write as _, path::Path};

use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    fleet::Fleet,
    id::new_uuid,
    process::{PULL, TRANSPORT_VARIABLE},
    protocol::{Launch, Program, Secrets, Setup},
    storage::{StorageClient, may_succeed_later},
};

use super::serve;
use crate::{
    exit::complain,
    transport::secrets_file::{SECRETS_FILE, secrets},
};

/// Where Kubernetes reads why a container has ended.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// How long a sub-worker that was asked to end may take before it is killed.
const GRACE: std::time::Duration = std::time::Duration::from_millis(500);

/// The exit code of a worker that cannot serve: another one could not either.
const EXIT_REFUSED: i32 = 88;
/// The exit code of a worker that could not serve, where another one may, and of one that the platform has told to leave:
/// a platform that counts workers that end with 0 as done would not start another.
const EXIT_ELSEWHERE: i32 = 75;

/// Whether this program was started as a worker that finds its launch document in its environment.
#[must_use]
pub fn is_launched() -> bool {
    env::var_os(TRANSPORT_VARIABLE).is_some_and(|transport| transport == PULL)
}

/// Serves the fleet of a launch document until the worker is not needed any more; returns the exit code of the process.
/// The document is in the file, or without one in the environment. `is_program` says whether this program has functions of
/// its own; else it executes only programs that it fetches.
#[must_use]
pub fn launched(file: Option<&Path>, program: Result<Program>, is_program: bool) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(Error::from).and_then(|runtime| {
        let (launch, secrets) = (launch(file)?, secrets());
        forget();
        // As a task of its own: each wake-up of the future that `block_on` drives costs a write to the event poll, and
        // one of a task does not.
        let served = runtime.block_on(runtime.spawn(serve_launched(launch, secrets, program, is_program)));
        // A panic says something about this worker only.
        served.map_err(|error| {
            let problem = format!("the worker panicked: {error}");
            Error::new(ErrorKind::Unexpected, problem).with_retry(Retry::Later)
        })?
    });
    let error = match served {
        Ok(was_told) => return if was_told { EXIT_ELSEWHERE } else { 0 },
        Err(error) => error,
    };
    complain(&words_of(&error));
    exit_code(&error)
}

/// The exit code of a worker that cannot serve because of an error.
pub(in crate::transport) fn exit_code(error: &Error) -> i32 {
    if may_succeed_later(error) { EXIT_ELSEWHERE } else { EXIT_REFUSED }
}

pub(in crate::transport) fn words_of(error: &Error) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}

/// The launch document, with a name for the worker.
pub(in crate::transport) fn launch(file: Option<&Path>) -> Result<Launch> {
    let text = match file {
        Some(path) => fs::read_to_string(path).map_err(|error| {
            let problem = format!("cannot read the launch document `{}`: {error}", path.display());
            Error::new(ErrorKind::InvalidInput, problem)
        })?,
        None => env::var(Launch::VARIABLE).map_err(|_| {
            let problem = format!("there is no launch document in `{}`", Launch::VARIABLE);
            Error::new(ErrorKind::InvalidInput, problem)
                .with_hint("the backend that starts this worker sets it, or names a file: `lithops-worker pull --launch FILE`")
        })?,
    };
    let launch = Launch::from_json(&text)?;
    let name = || env::var(Launch::WORKER_VARIABLE).ok().filter(|name| !name.is_empty());
    let name = launch.worker.clone().or_else(name).unwrap_or_else(|| new_uuid().to_string());
    Ok(launch.named(name))
}

/// Removes the variables that made this process a worker: programs that calls start must not take themselves for workers.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget() {
    for variable in [TRANSPORT_VARIABLE, Launch::VARIABLE, Launch::WORKER_VARIABLE, SECRETS_FILE] {
        // SAFETY: this is the start of the process's work: no thread of ours runs yet, and other threads of the program
        // only wait for this one.
        unsafe { env::remove_var(variable) };
    }
}

/// Serves; returns whether the platform has told the worker to leave.
async fn serve_launched(
    launch: Launch,
    secrets: Result<Option<Secrets>>,
    program: Result<Program>,
    is_program: bool,
) -> Result<bool> {
    let served = async {
        let setup = Setup { program: program?, grace: GRACE, launch: None, secrets: secrets? };
        serve::by_itself(setup, &launch, is_program).await
    };
    let error = match served.await {
        Ok(was_told) => return Ok(was_told),
        Err(error) => error,
    };
    if !may_succeed_later(&error) {
        tell_why(&launch, &words_of(&error)).await;
    }
    Err(error)
}

/// Tells the platform why this worker cannot serve, where it asks.
pub(in crate::transport) fn tell_platform(words: &str) {
    if let Ok(mut log) = fs::OpenOptions::new().write(true).open(TERMINATION_LOG) {
        let _ = log.write_all(words.as_bytes());
    }
}

/// Tells platform and client why this worker cannot serve, as far as they can be reached.
async fn tell_why(launch: &Launch, words: &str) {
    tell_platform(words);
    if let (Ok(storage), Some(worker)) = (StorageClient::connect(&launch.storage), &launch.worker) {
        let _ = Fleet::new(&storage, &launch.fleet, launch.verify).put_ended(worker, words).await;
    }
}
