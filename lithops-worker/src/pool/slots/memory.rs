//! How much memory a worker may use and uses, and whether the kernel killed a process for want of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
    time::Duration,
};

/// The memory that the platform lets this worker use, where no cgroup says so.
static LIMIT: OnceLock<u64> = OnceLock::new();

/// Says that the platform lets this worker, with all its sub-workers, use this many bytes.
#[cfg(any(feature = "http", feature = "lambda"))]
pub(crate) fn limit_to(bytes: u64) {
    // The second of two calls changes nothing: the limit is the same while the process lives.
    let _ = LIMIT.set(bytes);
}

/// The share of the limit above which the largest sub-worker is ended. The platform would end all of them.
const FULL: f64 = 0.9;
/// Above this share of the limit the memory is looked at every time, and else only so often: a call that fills it fast
/// needs some of these pauses to get from here to there.
const FILLING: f64 = 0.5;
const LOOK: Duration = Duration::from_millis(100);
/// A sub-worker with less than this share of the limit is not what fills the memory.
const SMALL: f64 = 0.1;

/// What this worker's cgroup or platform says about memory.
#[derive(Debug)]
pub(in crate::pool) struct Memory {
    events: Option<PathBuf>,
    kills: u64,
    limit: Option<u64>,
    /// The cgroup's files with its usage, and with how much of it can be reclaimed; `None` where the limit is not the
    /// cgroup's.
    usage: Option<(PathBuf, PathBuf)>,
    /// When the memory is to be looked at, on the monotonic clock.
    next_look: u64,
}

/// A worker that is about to reach the limit of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct Full {
    /// What it may use, in bytes.
    pub(in crate::pool) limit: u64,
    /// The process that uses most, and how much that is.
    pub(in crate::pool) largest: (u32, u64),
}

impl Memory {
    /// The memory of this process's cgroup.
    pub(in crate::pool) fn of_this_process() -> Self {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Places { events, limit, usage } = places(&cgroups, &mounts);
        let limit =
            limit.and_then(|path| fs::read_to_string(path).ok()).and_then(|text| text.trim().parse().ok());
        let of_platform = LIMIT.get().copied();
        let usage = usage.filter(|_| limit.is_some() && of_platform.is_none_or(|most| limit < Some(most)));
        let limit = limit.into_iter().chain(of_platform).min();
        let mut memory = Self { events, kills: 0, limit, usage, next_look: 0 };
        memory.kills = memory.count();
        memory
    }

    /// Whether the kernel has killed a process of the cgroup since this was last asked.
    pub(in crate::pool) fn has_killed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.kills, 0);
        self.kills = self.count();
        self.kills > before
    }

    /// Whether a process of `resident` bytes was about to reach the limit. Some is left for growth since it was last
    /// looked at, and where the limit is not that of a cgroup also for the worker and the system.
    pub(in crate::pool) fn is_near_limit(&self, resident: u64) -> bool {
        let tenths = if self.usage.is_some() { 9 } else { 7 };
        self.limit.is_some_and(|limit| resident > limit / 10 * tenths)
    }

    /// Whether the worker is about to reach its limit, and which of its sub-workers is to blame; `None` also where
    /// none of them uses much, or it is too early for another look.
    pub(in crate::pool) fn full(&mut self, now: u64, sub_workers: impl Iterator<Item = u32>) -> Option<Full> {
        let limit = self.limit.filter(|_| now >= self.next_look)?;
        let sizes: Vec<_> = sub_workers.map(|pid| (pid, anonymous(pid))).collect();
        let used = self.usage.as_ref().and_then(|(usage, stat)| {
            let usage: u64 = fs::read_to_string(usage).ok()?.trim().parse().ok()?;
            Some(usage.saturating_sub(reclaimable(&fs::read_to_string(stat).ok()?)))
        });
        let of_processes = || sizes.iter().map(|(_, bytes)| bytes).sum::<u64>() + anonymous(process::id());
        let used = used.unwrap_or_else(of_processes);
        let share = |bytes: u64| bytes as f64 / limit as f64;
        if share(used) < FILLING {
            self.next_look = now + LOOK.as_nanos() as u64;
        }
        let largest = sizes.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        (share(used) > FULL && share(largest.1) > SMALL).then_some(Full { limit, largest })
    }

    fn count(&self) -> u64 {
        let text = self.events.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        kills(&text)
    }
}

/// How many bytes of memory this process and its sub-workers may use; `None` where nothing limits them.
pub(crate) fn memory_limit() -> Option<u64> {
    Memory::of_this_process().limit
}

/// The size of a page in `statm`, on the machines that workers run on.
const PAGE: u64 = 4096;

/// The resident memory of a process, in bytes; 0 when it has ended.
pub(in crate::pool) fn resident(pid: u32) -> u64 {
    statm(pid).0
}

/// The resident memory of a process without what files and other processes share with it, in bytes.
fn anonymous(pid: u32) -> u64 {
    let (resident, shared) = statm(pid);
    resident.saturating_sub(shared)
}

/// The resident memory of a process and its shared part, in bytes.
fn statm(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = text.split_whitespace().skip(1).map(|pages| pages.parse().unwrap_or(0) * PAGE);
    (pages.next().unwrap_or(0), pages.next().unwrap_or(0))
}

/// How much of a cgroup's usage the kernel takes back before it kills: the files that it keeps in memory.
fn reclaimable(stat: &str) -> u64 {
    let lines = stat.lines().filter_map(|line| line.split_once(' '));
    // The first version of cgroups has the same names for the cgroup alone, and these for all below it.
    let is_file = |name: &str| matches!(name.trim_start_matches("total_"), "active_file" | "inactive_file");
    let hierarchical = stat.contains("total_active_file");
    let counted = lines.filter(|(name, _)| is_file(name) && name.starts_with("total_") == hierarchical);
    counted.filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok()).sum()
}

/// The files of a cgroup.
#[derive(Debug, Default)]
struct Places {
    /// With the count of kills.
    events: Option<PathBuf>,
    /// With the limit.
    limit: Option<PathBuf>,
    /// With the usage and its parts.
    usage: Option<(PathBuf, PathBuf)>,
}

/// The files of the cgroup of a process, by its `cgroup` and `mountinfo`, for the second and the first version of cgroups.
fn places(cgroups: &str, mounts: &str) -> Places {
    let files = |folder: PathBuf, [events, limit, usage]: [&str; 3]| Places {
        events: Some(folder.join(events)),
        limit: Some(folder.join(limit)),
        usage: Some((folder.join(usage), folder.join("memory.stat"))),
    };
    let of_version = |(folder, version)| match version {
        Version::First => {
            files(folder, ["memory.oom_control", "memory.limit_in_bytes", "memory.usage_in_bytes"])
        }
        Version::Second => files(folder, ["memory.events", "memory.max", "memory.current"]),
    };
    let mut all = folders(cgroups, mounts).into_iter().map(of_version);
    // Where both versions are mounted, one of them has no memory.
    all.find(|places| places.events.as_ref().is_some_and(|events| events.exists())).unwrap_or_default()
}

/// A version of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

/// The folders of the cgroup.
fn folders(cgroups: &str, mounts: &str) -> Vec<(PathBuf, Version)> {
    let mut all = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let version = match controllers {
            "" => Version::Second,
            some if some.split(',').any(|controller| controller == "memory") => Version::First,
            _ => continue,
        };
        for (root, place) in mounts.lines().filter_map(|mount| mounted(mount, version)) {
            // In a container the mount begins with its own cgroup, although the path may be that of the machine.
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            all.push((Path::new(place).join(below), version));
        }
    }
    all
}

/// What a line of `mountinfo` has mounted and where, if that is the hierarchy with the memory.
fn mounted(line: &str, version: Version) -> Option<(&str, &str)> {
    let (mount, of) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut of = of.split(' ');
    let (kind, options) = (of.next()?, of.nth(1)?);
    let is_it = match version {
        Version::First => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        Version::Second => kind == "cgroup2",
    };
    is_it.then_some((mount.next()?, mount.next()?))
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
    fn the_cgroup_is_found_on_a_machine_and_in_a_container() {
        let first = |root: &str| {
            format!(
                "30 20 0:26 {root} /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 20 0:27 {root} /sys/fs/cgroup/memory ro,nosuid shared:9 - cgroup cgroup rw,memory\n"
            )
        };
        let second =
            |root: &str| format!("40 20 0:30 {root} /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
        let own = "/kubepods/pod1/c1";
        let cgroups = format!("9:memory:{own}\n3:cpu:{own}\n");
        let found = |folder: &str, version| vec![(PathBuf::from(folder), version)];
        let of_machine = folders(&cgroups, &first("/"));
        assert_eq!(of_machine, found("/sys/fs/cgroup/memory/kubepods/pod1/c1", Version::First));
        assert_eq!(folders(&cgroups, &first(own)), found("/sys/fs/cgroup/memory/", Version::First));
        let cgroups = format!("0::{own}\n");
        let of_machine = folders(&cgroups, &second("/"));
        assert_eq!(of_machine, found("/sys/fs/cgroup/kubepods/pod1/c1", Version::Second));
        assert_eq!(folders(&cgroups, &second(own)), found("/sys/fs/cgroup/", Version::Second));
        // With a namespace of its own the container has the root.
        assert_eq!(folders("0::/\n", &second("/")), found("/sys/fs/cgroup", Version::Second));
        assert_eq!(folders("1:name=systemd:/\n", &first("/")), []);
    }

    #[test]
    fn a_kill_is_told_once() {
        let folder = std::env::temp_dir().join(format!("lithops-memory-{}", std::process::id()));
        fs::write(&folder, "oom_kill 1\n").expect("writes");
        let (events, limit) = (Some(folder.clone()), Some(1000));
        let mut memory = Memory { events, kills: 1, limit, usage: None, next_look: 0 };
        assert!(!memory.has_killed());
        fs::write(&folder, "oom_kill 2\n").expect("writes");
        assert!(memory.has_killed() && !memory.has_killed());
        assert!(memory.is_near_limit(750) && !memory.is_near_limit(650));
        fs::remove_file(folder).expect("removes");
    }

    #[test]
    fn the_files_in_memory_do_not_count() {
        assert_eq!(reclaimable("anon 7\nfile 60\ninactive_file 40\nactive_file 2\n"), 42);
        assert_eq!(
            reclaimable("active_file 1\ninactive_file 2\ntotal_active_file 30\ntotal_inactive_file 4\n"),
            34
        );
        assert_eq!(reclaimable(""), 0);
    }

    #[test]
    fn the_largest_process_is_to_blame_when_the_memory_is_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let (usage, stat) = (folder.path().join("memory.current"), folder.path().join("memory.stat"));
        let own = anonymous(std::process::id());
        let limit = own * 2;
        let memory = |used: u64| {
            fs::write(&usage, format!("{}\n", used + 500)).expect("writes");
            fs::write(&stat, "anon 1\ninactive_file 300\nactive_file 200\n").expect("writes");
            let files = Some((usage.clone(), stat.clone()));
            Memory { events: None, kills: 0, limit: Some(limit), usage: files, next_look: 0 }
        };
        let pids = || [u32::MAX, std::process::id()].into_iter();
        let full = memory(limit / 100 * 95).full(5, pids()).expect("full");
        assert_eq!((full.limit, full.largest.0), (limit, std::process::id()));
        assert_eq!(memory(limit / 100 * 95).full(5, std::iter::once(u32::MAX)), None, "small");
        let mut filling = memory(limit / 100 * 80);
        assert_eq!((filling.full(5, pids()), filling.next_look), (None, 0), "looked at again at once");
        let mut plenty = memory(limit / 10);
        assert_eq!(plenty.full(5, pids()), None);
        assert!(plenty.next_look > 5);
    }
}
