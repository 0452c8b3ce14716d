//! [`Cgroups`]: the control groups below which a node has those of its pods.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const ROOT: &str = "/sys/fs/cgroup";
/// How long the groups of processes that have ended may still be in use.
const END: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Control groups with one name, in all hierarchies of this machine.
#[derive(Debug)]
pub(in crate::cluster) struct Cgroups {
    hierarchies: Vec<PathBuf>,
    /// The second version beside the first, where the container runtime makes groups too.
    unified: Vec<PathBuf>,
}

impl Cgroups {
    pub(in crate::cluster) fn of_this_machine() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts")
            .map_err(|error| format!("cannot read `/proc/self/mounts`: {error}"))?;
        let (hierarchies, unified) = (hierarchies(&mounts), mounted(&mounts, "cgroup2"));
        if hierarchies.is_empty() {
            return Err(format!(
                "there are no control groups at `{ROOT}`: mount them, as cluster nodes need them"
            ));
        }
        Ok(Self { hierarchies, unified })
    }

    /// Makes the groups of a node.
    pub(in crate::cluster) fn make(&self, name: &str) -> Result<(), String> {
        for hierarchy in &self.hierarchies {
            let group = hierarchy.join(name);
            make(hierarchy, &group).map_err(|error| format!("cannot make `{}`: {error}", group.display()))?;
        }
        Ok(())
    }

    /// Removes the groups whose names begin so, with all below them. Their processes have ended.
    pub(in crate::cluster) fn remove(&self, beginning: &str) -> Result<(), String> {
        let begun = Instant::now();
        let entries = self
            .hierarchies
            .iter()
            .chain(&self.unified)
            .filter_map(|hierarchy| fs::read_dir(hierarchy).ok())
            .flatten();
        let ours =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
        for group in ours.map(|entry| entry.path()) {
            // With the second version alone each group is listed twice.
            while let Err(error) = remove(&group) {
                if error.kind() == io::ErrorKind::NotFound {
                    break;
                }
                if begun.elapsed() > END {
                    return Err(format!("cannot remove `{}`: {error}", group.display()));
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

/// The folders of version 1, or the one of version 2 where that is all there is.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let first = mounted(mounts, "cgroup");
    if first.is_empty() { mounted(mounts, "cgroup2") } else { first }
}

fn mounted(mounts: &str, kind: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let ours = fields.filter(|fields| fields.len() > 2 && fields[2] == kind && fields[1].starts_with(ROOT));
    ours.map(|fields| PathBuf::from(fields[1])).collect()
}

fn make(hierarchy: &Path, group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // A new group of the controller `cpuset` has no CPU and no memory of its own in version 1.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if hierarchy.join(file).exists() && group.join(file).exists() {
            fs::write(group.join(file), fs::read(hierarchy.join(file))?)?;
        }
    }
    Ok(())
}

/// Files of a control group cannot be removed, and need not be.
fn remove(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_counts_where_both_are_mounted() {
        let second = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let both = format!(
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n{second}cgroup /x cgroup rw 0 0\n"
        );
        assert_eq!(hierarchies(&both), [PathBuf::from("/sys/fs/cgroup/cpu")]);
        assert_eq!(hierarchies(second), [PathBuf::from("/sys/fs/cgroup/unified")]);
        assert!(hierarchies("").is_empty());
    }
}
