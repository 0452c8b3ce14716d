//! The CPU time of this program's processes: the client, its workers, and their sub-workers.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

/// What the processes have used so far.
pub(crate) struct CpuTime {
    client: Duration,
    workers: Duration,
    sub_workers: Duration,
    at: SystemTime,
}

impl CpuTime {
    /// The CPU time until now.
    pub(crate) fn now() -> Self {
        let client = std::process::id();
        let (mut workers, mut sub_workers) = (Duration::ZERO, Duration::ZERO);
        for worker in children(client) {
            workers += of_process(worker);
            sub_workers += children(worker).into_iter().map(of_process).sum::<Duration>();
        }
        Self { client: of_process(client), workers, sub_workers, at: SystemTime::now() }
    }

    /// What the client has used since `self`.
    pub(crate) fn of_client(&self) -> Duration {
        Self::now().client.saturating_sub(self.client)
    }

    /// Nanoseconds for each of `calls` since `self`, by process; and how many CPUs were busy.
    pub(crate) fn per_call(&self, calls: u64) -> Value {
        let now = Self::now();
        let each = |now: Duration, before: Duration| {
            (now.saturating_sub(before).as_nanos() as f64 / calls as f64).round()
        };
        let all = |time: &Self| time.client + time.workers + time.sub_workers;
        let wall = now.at.duration_since(self.at).unwrap_or_default();
        json!({
            "client": each(now.client, self.client),
            "worker": each(now.workers, self.workers),
            "sub_workers": each(now.sub_workers, self.sub_workers),
            "all": each(all(&now), all(self)),
            "busy_cpus": all(&now).saturating_sub(all(self)).as_secs_f64() / wall.as_secs_f64(),
        })
    }
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    children
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The first number of `schedstat` is a thread's time on a CPU in nanoseconds.
fn of_process(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace()
            .next()
            .and_then(|nanos| nanos.parse().ok())
            .map_or(Duration::ZERO, Duration::from_nanos)
    });
    times.sum()
}
