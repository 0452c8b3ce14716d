//! The tools that the machine must have, and where they are.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::steps;

/// Programs, with the package of Debian that each is in.
const TOOLS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("docker-registry", "docker-registry"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("python3", "python3-venv"),
    ("runc", "runc"),
    ("skopeo", "skopeo"),
    ("socat", "socat"),
    ("unshare", "util-linux"),
];

/// Where distributions put the plugins of the container network interface.
const PLUGINS: &[&str] = &["/usr/lib/cni", "/opt/cni/bin"];
const PLUGINS_PACKAGE: &str = "containernetworking-plugins";

/// Refuses a machine on which something is missing, after it was installed if that is wanted. Go is needed only where
/// something is to be built.
pub(in crate::cluster) fn prepare(install: bool, needs_go: bool) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("a cluster needs namespaces and control groups: run the command as root".to_owned());
    }
    let (missing, packages) = missing();
    if install && !packages.is_empty() {
        steps::run(&mut apt_get("update"))?;
        steps::run(apt_get("install").args(["-y", "--no-install-recommends"]).args(&packages))?;
        return prepare(false, needs_go);
    }
    refuse(&missing, &packages, !needs_go || go().is_some())
}

/// The folder of the plugins.
pub(in crate::cluster) fn containerd_plugins() -> &'static str {
    PLUGINS.iter().find(|folder| Path::new(folder).join("bridge").is_file()).unwrap_or(&PLUGINS[0])
}

/// What is missing, and the packages that have it.
fn missing() -> (Vec<&'static str>, Vec<&'static str>) {
    let absent = TOOLS.iter().filter(|(tool, _)| found(tool).is_none());
    let (mut missing, mut packages): (Vec<_>, Vec<_>) = absent.copied().unzip();
    if !Path::new(containerd_plugins()).join("bridge").is_file() {
        missing.push("the plugins of CNI");
        packages.push(PLUGINS_PACKAGE);
    }
    packages.sort_unstable();
    packages.dedup();
    (missing, packages)
}

fn refuse(missing: &[&str], packages: &[&str], has_go: bool) -> Result<(), String> {
    let mut missing = missing.to_vec();
    let mut ways = Vec::new();
    if !packages.is_empty() {
        let packages = packages.join(" ");
        ways.push(format!("run `apt-get install -y --no-install-recommends {packages}`, or `up --install`"));
    }
    if !has_go {
        missing.push("go");
        ways.push("install Go from https://go.dev/dl".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.iter().map(|tool| format!("`{tool}`")).collect::<Vec<_>>().join(", ");
    Err(format!("a cluster needs {missing}: {}", ways.join("; ")))
}

/// The program `go`, which is often installed where no `PATH` leads.
pub(in crate::cluster) fn go() -> Option<PathBuf> {
    found("go").or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|go| go.is_file()))
}

fn found(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|program| program.is_file())
}

fn apt_get(what: &str) -> Command {
    let mut command = Command::new("apt-get");
    // Another one may be at work.
    command.args(["-o", "DPkg::Lock::Timeout=300", "-qq", what]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_names_all_that_is_missing() {
        assert_eq!(refuse(&[], &[], true), Ok(()));
        let said = refuse(&["containerd", "ctr"], &["containerd"], false).expect_err("something is missing");
        assert_eq!(
            said,
            "a cluster needs `containerd`, `ctr`, `go`: run `apt-get install -y --no-install-recommends containerd`, \
             or `up --install`; install Go from https://go.dev/dl"
        );
    }
}
