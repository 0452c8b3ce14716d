//! How long calls are lost when their worker dies.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use lithops::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Says when its second attempt starts, in nanoseconds since the Unix epoch; the first one waits for its end.
#[lithops::function]
fn second_start(context: CallContext, started: PathBuf) -> u64 {
    if context.attempt() > 1 {
        return nanos();
    }
    if fs::write(&started, std::os::unix::process::parent_id().to_string()).is_err() {
        return 0;
    }
    loop {
        std::thread::park();
    }
}

/// From the SIGKILL of a worker to its call running in the next one, in ms: the median of several.
pub(crate) async fn kill(rounds: u64) -> lithops::Result<Value> {
    let folder = tempfile::tempdir()?;
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await?;
    let mut took = Vec::new();
    for round in 0..rounds {
        let started = folder.path().join(round.to_string());
        let future = fexec.call_async(second_start, started.clone()).await?;
        let worker = loop {
            match fs::read_to_string(&started).ok().and_then(|pid| pid.parse().ok()) {
                Some(pid) => break pid,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let pid = Pid::from_raw(worker).ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        let killed = nanos();
        kill_process(pid, Signal::KILL).map_err(io::Error::from)?;
        took.push(future.result().await?.saturating_sub(killed) as f64 / 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(json!({ "value": took[took.len() / 2], "max": took[took.len() - 1] }))
}

fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
