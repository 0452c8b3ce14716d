//! What the kubelets are shown of this machine: more CPUs than there are, and settings of the kernel that they would
//! change for all programs otherwise.

use std::{fs, io, path::Path};

use super::Sandbox;

/// The CPUs of a node. Pods may request this many; a limit above the CPUs of the machine is one that is never reached.
const CPUS: usize = 64;

/// Where a kernel lists its CPUs, and its memory with the CPUs beside it.
const CPU: &str = "/sys/devices/system/cpu";
const NUMA: &str = "/sys/devices/system/node";

/// Settings of the kernel, as a kubelet wants them. It changes files below `/proc/sys` that say anything else.
const SETTINGS: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Folders of the machine in which programs of a cluster would leave files. Those that may be missing come last.
const HIDDEN: &[&str] = &["/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet"];

/// Puts files in the place of the machine's own, for the processes of the sandbox alone.
pub(in crate::cluster) fn pretend(sandbox: &Sandbox, folder: &Path) -> Result<(), String> {
    let cannot = |error: io::Error| format!("cannot write below `{}`: {error}", folder.display());
    write_cpus(folder).map_err(cannot)?;
    let mut mounts = vec![(folder.join("cpu"), CPU.to_owned())];
    // A kernel without NUMA has no such folder, and no program then looks for one.
    if Path::new(NUMA).exists() {
        mounts.push((folder.join("node"), NUMA.to_owned()));
    }
    for (setting, value) in SETTINGS {
        let file = folder.join("sys").join(setting);
        fs::create_dir_all(file.parent().unwrap_or(folder)).map_err(cannot)?;
        fs::write(&file, format!("{value}\n")).map_err(cannot)?;
        mounts.push((file, format!("/proc/sys/{setting}")));
    }
    for (from, to) in &mounts {
        sandbox.run("mount", [Path::new("--bind"), from, Path::new(to)])?;
    }
    for hidden in HIDDEN {
        fs::create_dir_all(hidden).map_err(|error| format!("cannot make `{hidden}`: {error}"))?;
        sandbox.run("mount", ["-t", "tmpfs", "-o", "mode=755", "tmpfs", hidden])?;
    }
    Ok(())
}

/// The files that a kubelet counts CPUs by, in the form of `/sys/devices/system`. They say how many CPUs there are and
/// nothing of each: otherwise the kubelet would want its pods on CPUs that are not there.
fn write_cpus(folder: &Path) -> io::Result<()> {
    let cpus = folder.join("cpu");
    fs::create_dir_all(folder.join("node"))?;
    for cpu in 0..CPUS {
        fs::create_dir_all(cpus.join(format!("cpu{cpu}")))?;
    }
    ["online", "possible", "present"]
        .iter()
        .try_for_each(|file| fs::write(cpus.join(file), format!("0-{}\n", CPUS - 1)))
}
