//! Trials that need a process of their own: this program, started again.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use super::{super::Subject, lasting};

/// What the program is to do: promise, scheme, patience in milliseconds, and the configuration.
const VARIABLE: &str = "LITHOPS_CONFORMANCE_ALONE";

/// Tries a promise in a process of its own; gives back what that has said, as an error if it has failed.
pub(in crate::compute) async fn start(promise: &'static str, subject: &Subject) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let patience = subject.patience;
    let task = format!("{promise}\n{}\n{}\n{}", subject.name, patience.as_millis(), subject.yaml);
    // A file, not a pipe: what is left behind may hold its output open.
    let said = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let output = said.reopen().map_err(|error| error.to_string())?;
    let ended = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program);
        let command = command.env(VARIABLE, task).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(output).status()
    });
    let ended = tokio::time::timeout(patience, ended).await.map_err(|_| "it does not end".to_owned())?;
    let status = ended.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let said = std::fs::read_to_string(said.path()).unwrap_or_default();
    if status.success() { Ok(()) } else { Err(said) }
}

/// Does what this process was started for, if it was started for a trial, and does not return then.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the process is for that alone"
)]
pub(in crate::compute) fn enter() {
    let Ok(task) = std::env::var(VARIABLE) else { return };
    let done = play(&task);
    if let Err(problem) = &done {
        eprintln!("{problem}");
    }
    std::process::exit(i32::from(done.is_err()));
}

fn play(task: &str) -> Result<(), String> {
    let mut parts = task.splitn(4, '\n');
    let mut part = || parts.next().ok_or_else(|| format!("`{task}` is no trial"));
    let (promise, scheme, patience, yaml) = (part()?, part()?, part()?, part()?);
    let patience = Duration::from_millis(patience.parse().map_err(|_| format!("`{patience}`"))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let subject = Subject::connect(scheme, yaml, patience).await.map_err(|error| format!("{error:?}"))?;
        match promise {
            "close_leaves_no_process_behind" => lasting::leaves_nothing(subject).await,
            other => return Err(format!("`{other}` is no trial of a process of its own")),
        }
        Ok(())
    })
}
