//! No process is left behind: not after a program has ended, and not after it was killed.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use super::program::{Programs, Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[("a killed client leaves no worker behind", killed_client)];

/// How long processes may take to end after their client has ended.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// The workers and sub-workers of the built programs that were there before a trial.
pub(super) struct Leftovers {
    built: PathBuf,
    before: BTreeSet<u32>,
}

impl Leftovers {
    pub(super) fn of(programs: &Programs) -> Self {
        let built = programs.built().to_owned();
        Self { before: workers(&built), built }
    }

    /// Waits until every worker that came since is gone.
    pub(super) fn none(&self) -> Result<(), String> {
        let since = Instant::now();
        loop {
            let left: Vec<_> = workers(&self.built).difference(&self.before).copied().collect();
            if left.is_empty() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("processes are left behind: {left:?}"));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// The processes that were started as workers or sub-workers from what was built.
fn workers(built: &std::path::Path) -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let folder = PathBuf::from(format!("/proc/{pid}"));
            let is_ours = fs::read_link(folder.join("exe")).is_ok_and(|exe| exe.starts_with(built));
            let environment =
                if is_ours { fs::read(folder.join("environ")).unwrap_or_default() } else { Vec::new() };
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"LITHOPS_ROLE="))
        })
        .collect()
}

fn killed_client(programs: &Programs) -> Result<(), String> {
    let before = workers(programs.built());
    let mut client = programs
        .command("examples/bench")
        .arg("noop")
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start the example: {error}"))?;
    let since = Instant::now();
    // A worker and at least one sub-worker.
    while workers(programs.built()).difference(&before).count() < 2 && since.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
    let started = workers(programs.built()).difference(&before).count();
    client.kill().and_then(|()| client.wait()).map_err(|error| format!("cannot kill the client: {error}"))?;
    if started < 2 { Err("no worker was started".to_owned()) } else { Ok(()) }
}
