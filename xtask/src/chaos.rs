//! `cargo xtask chaos`: a large job whose processes are killed at random; and a durable one whose client is killed too.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    steps,
    workspace::{built, cargo},
};

/// The durable job's client is killed when this many of its chunks are stored: half of them.
const HALF: usize = 1_250;
/// How long the first half may take; it takes far less.
const LIMIT: Duration = Duration::from_secs(900);

pub(crate) fn run() -> Result<(), String> {
    steps::run(cargo().args(["build", "--release", "--quiet", "-p", "lithops", "--example", "chaos"]))?;
    let program = built("release")?.join("examples/chaos");
    steps::run(Command::new(&program).arg("session"))?;

    let folder = std::env::temp_dir().join(format!("lithops-chaos-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    let done = interrupted(&program, &folder);
    // The folder is of no use after the run.
    drop(fs::remove_dir_all(&folder));
    done
}

/// Kills the client of a durable job half-way, and lets another go on.
fn interrupted(program: &Path, folder: &Path) -> Result<(), String> {
    let client = Command::new(program).arg("durable").arg(folder).stdin(Stdio::null()).spawn();
    let mut client = client.map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
    let begun = Instant::now();
    let job = loop {
        let job = fs::read_to_string(folder.join("job")).unwrap_or_default();
        let commits = folder.join(format!("storage/lithops.jobs/{job}/commit"));
        if !job.is_empty() && fs::read_dir(commits).is_ok_and(|chunks| chunks.count() >= HALF) {
            break job;
        }
        let ended = client.try_wait().ok().flatten();
        if ended.is_some() || begun.elapsed() > LIMIT {
            drop(client.kill());
            return Err(format!("the client of the durable job was not to be killed half-way: {ended:?}"));
        }
        thread::sleep(Duration::from_millis(10));
    };
    client.kill().and_then(|()| client.wait()).map_err(|error| format!("cannot kill the client: {error}"))?;
    steps::run(Command::new(program).arg("attach").arg(folder).arg(job))
}
