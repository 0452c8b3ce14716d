//! Whether a process was killed for want of memory: the cgroup's own count, and sampled resident memory.

use std::{fs, path::PathBuf, sync::OnceLock};

/// The memory that the platform lets this worker use, where no cgroup says so.
static LIMIT: OnceLock<u64> = OnceLock::new();

/// Says that the platform lets this worker, with all its sub-workers, use this many bytes.
#[cfg(any(feature = "http", feature = "lambda"))]
pub(crate) fn limit_to(bytes: u64) {
    // The second of two calls changes nothing: the limit is the same while the process lives.
    let _ = LIMIT.set(bytes);
}

/// What this worker's cgroup says about memory.
#[derive(Debug)]
pub(in crate::pool) struct Memory {
    events: Option<PathBuf>,
    kills: u64,
    limit: Option<u64>,
}

impl Memory {
    /// The memory of this process's cgroup.
    pub(in crate::pool) fn of_this_process() -> Self {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let (events, limit) = places(&cgroups);
        let limit =
            limit.and_then(|path| fs::read_to_string(path).ok()).and_then(|text| text.trim().parse().ok());
        let limit = limit.into_iter().chain(LIMIT.get().copied()).min();
        let mut memory = Self { events, kills: 0, limit };
        memory.kills = memory.count();
        memory
    }

    /// Whether the kernel has killed a process of the cgroup since this was last asked.
    pub(in crate::pool) fn has_killed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.kills, 0);
        self.kills = self.count();
        self.kills > before
    }

    /// Whether a process of `resident` bytes was about to reach the limit. A tenth is left for growth since it was last
    /// looked at.
    pub(in crate::pool) fn is_near_limit(&self, resident: u64) -> bool {
        self.limit.is_some_and(|limit| resident > limit / 10 * 9)
    }

    fn count(&self) -> u64 {
        let text = self.events.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        kills(&text)
    }
}

/// The size of a page in `statm`, on the machines that workers run on.
const PAGE: u64 = 4096;

/// The resident memory of a process, in bytes; 0 when it has ended.
pub(in crate::pool) fn resident(pid: u32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}

/// The files with the count of kills and with the limit, for the second and the first version of cgroups.
fn places(cgroups: &str) -> (Option<PathBuf>, Option<PathBuf>) {
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            let folder = PathBuf::from("/sys/fs/cgroup").join(path);
            if folder.join("memory.events").exists() {
                return (Some(folder.join("memory.events")), Some(folder.join("memory.max")));
            }
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let folder = PathBuf::from("/sys/fs/cgroup/memory").join(path);
            return (Some(folder.join("memory.oom_control")), Some(folder.join("memory.limit_in_bytes")));
        }
    }
    (None, None)
}

fn kills(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_is_found_in_both_forms() {
        assert_eq!(kills("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), 5);
        assert_eq!(kills(""), 0);
    }

    #[test]
    fn a_kill_is_told_once() {
        let folder = std::env::temp_dir().join(format!("lithops-memory-{}", std::process::id()));
        fs::write(&folder, "oom_kill 1\n").expect("writes");
        let mut memory = Memory { events: Some(folder.clone()), kills: 1, limit: Some(1000) };
        assert!(!memory.has_killed());
        fs::write(&folder, "oom_kill 2\n").expect("writes");
        assert!(memory.has_killed() && !memory.has_killed());
        assert!(memory.is_near_limit(950) && !memory.is_near_limit(800));
        fs::remove_file(folder).expect("removes");
    }
}
