//! Programs that are built from Go modules, once for each machine.
//!
//! Their folder is named by the digest of what they are built from. It is made under another name, and renamed when all
//! of them are there.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use sha2::{Digest, Sha256};

use super::tools;
use crate::{steps, workspace::root};

/// Programs of one folder.
#[derive(Debug)]
pub(in crate::cluster) struct Set {
    modules: &'static [Module],
    /// How long the first build takes on two CPUs.
    takes: &'static str,
}

/// A folder of `xtask/cluster/` with a module, and what is built from it.
#[derive(Debug)]
struct Module {
    folder: &'static str,
    /// Each program with its package.
    programs: &'static [(&'static str, &'static str)],
    linked: &'static str,
    /// Files that are taken from modules beside the programs: each module with its files and folders.
    files: &'static [(&'static str, &'static [&'static str])],
}

/// Without tables of symbols. Clients refuse an API server that has no version.
const KUBERNETES: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4";
const STRIPPED: &str = "-s -w";

/// What every cluster has.
pub(in crate::cluster) const CLUSTER: Set = Set {
    modules: &[
        Module { folder: "etcd", programs: &[("etcd", ".")], linked: STRIPPED, files: &[] },
        Module {
            folder: "kubernetes",
            programs: &[
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
                ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
                ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
                ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ],
            linked: KUBERNETES,
            files: &[],
        },
    ],
    takes: "about 5 minutes",
};

/// What plays nodes.
pub(in crate::cluster) const KWOK: Set = Set {
    modules: &[Module {
        folder: "kwok",
        programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
        linked: STRIPPED,
        files: &[],
    }],
    takes: "about 2 minutes",
};

/// Knative Serving. Its manifests are in the modules, each of whose folders is named by the last part of its path.
pub(in crate::cluster) const KNATIVE: Set = Set {
    modules: &[Module {
        folder: "knative",
        programs: &[
            ("activator", "knative.dev/serving/cmd/activator"),
            ("autoscaler", "knative.dev/serving/cmd/autoscaler"),
            ("controller", "knative.dev/serving/cmd/controller"),
            ("queue", "knative.dev/serving/cmd/queue"),
            ("webhook", "knative.dev/serving/cmd/webhook"),
        ],
        linked: STRIPPED,
        files: &[
            (
                "knative.dev/serving",
                &[
                    "config/core/100-namespace.yaml",
                    "config/core/300-resources",
                    "config/core/configmaps",
                    "config/core/webhooks",
                ],
            ),
            (
                "knative.dev/networking",
                &[
                    "config/certificate.yaml",
                    "config/config-network.yaml",
                    "config/domain-claim.yaml",
                    "config/ingress.yaml",
                    "config/serverlessservice.yaml",
                ],
            ),
            ("knative.dev/caching", &["config/image.yaml"]),
        ],
    }],
    takes: "about 3 minutes",
};

impl Set {
    /// The folder of the programs, which are built if this machine has not done so before.
    pub(in crate::cluster) fn built(&self) -> Result<PathBuf, String> {
        let cache = cache()?;
        let digest = self.digest()?;
        let (whole, bin) = (cache.join(&digest), cache.join(&digest).join("bin"));
        if whole.exists() {
            return Ok(bin);
        }
        let cannot = |error: io::Error| format!("cannot build in `{}`: {error}", cache.display());
        fs::create_dir_all(&cache).map_err(cannot)?;
        let lock = File::create(cache.join(format!("{digest}.lock"))).map_err(cannot)?;
        if lock.try_lock().is_err() {
            eprintln!("   another process builds the programs; waiting for it");
            lock.lock().map_err(cannot)?;
        }
        if whole.exists() {
            return Ok(bin);
        }
        eprintln!(
            "   building the programs from Go modules: {} on two CPUs, once for this machine",
            self.takes
        );
        let half = cache.join(format!("{digest}.half"));
        // The lock is held: what is there was left by a build that was interrupted. What Go has compiled stays of use.
        fs::create_dir_all(half.join("bin")).map_err(cannot)?;
        for module in self.modules {
            module.build(&half)?;
        }
        fs::remove_dir_all(half.join("compiled")).map_err(cannot)?;
        fs::rename(&half, &whole).map_err(cannot)?;
        Ok(bin)
    }

    /// Whether this machine has built the programs.
    pub(in crate::cluster) fn is_built(&self) -> Result<bool, String> {
        Ok(cache()?.join(self.digest()?).exists())
    }

    /// The digest of what the programs are built from.
    fn digest(&self) -> Result<String, String> {
        let mut digest = Sha256::new();
        digest.update(std::env::consts::ARCH);
        for module in self.modules {
            let folder = module.path();
            let cannot = |error: io::Error| format!("cannot read `{}`: {error}", folder.display());
            let mut files = fs::read_dir(&folder)
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
                .map_err(cannot)?;
            files.sort_unstable();
            for file in files {
                digest.update(file.file_name().unwrap_or_default().as_encoded_bytes());
                digest.update(fs::read(&file).map_err(cannot)?);
            }
            digest.update(format!("{:?} {}", module.programs, module.linked));
            if !module.files.is_empty() {
                digest.update(format!("{:?}", module.files));
            }
        }
        Ok(hex(&digest.finalize()[..8]))
    }
}

impl Module {
    fn path(&self) -> PathBuf {
        root().join("xtask/cluster").join(self.folder)
    }

    fn build(&self, half: &Path) -> Result<(), String> {
        for (program, package) in self.programs {
            let begun = Instant::now();
            let mut go = Command::new(tools::go().ok_or("there is no `go`")?);
            go.args(["build", "-p=2", "-mod=readonly", "-buildvcs=false", "-tags=tools", "-trimpath"]);
            go.arg(format!("-ldflags={}", self.linked))
                .arg("-o")
                .arg(half.join("bin").join(program))
                .arg(package);
            go.current_dir(self.path());
            // The machine's own cache would keep gigabytes that no later build needs.
            go.env("GOCACHE", half.join("compiled")).env("CGO_ENABLED", "0").env_remove("GOFLAGS");
            // Go prints each module that it downloads.
            let output = go.output().map_err(|error| format!("cannot start `go`: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let lines: Vec<_> =
                    said.lines().filter(|line| !line.starts_with("go: downloading")).collect();
                return Err(format!("`{}` failed: {}", steps::line(&go), lines.join("\n")));
            }
            eprintln!("   {program}: built in {:.0} s", begun.elapsed().as_secs_f64());
        }
        self.files.iter().try_for_each(|(module, files)| self.take_files(half, module, files))
    }

    /// Copies files of a module, which a build has downloaded. Folders are not looked into any deeper.
    fn take_files(&self, half: &Path, module: &str, files: &[&str]) -> Result<(), String> {
        let mut go = Command::new(tools::go().ok_or("there is no `go`")?);
        go.args(["list", "-mod=readonly", "-m", "-f={{.Dir}}", module]).current_dir(self.path());
        let output =
            go.env_remove("GOFLAGS").output().map_err(|error| format!("cannot start `go`: {error}"))?;
        let from = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let to = half.join("files").join(module.rsplit('/').next().unwrap_or(module));
        let cannot =
            |error: io::Error| format!("cannot copy files of `{module}` from `{}`: {error}", from.display());
        for file in files {
            let source = from.join(file);
            let all = if source.is_dir() {
                let entries = fs::read_dir(&source).map_err(cannot)?;
                entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(cannot)?
            } else {
                vec![source]
            };
            for source in all.iter().filter(|source| source.extension().is_some_and(|end| end == "yaml")) {
                let place = to.join(source.strip_prefix(&from).unwrap_or(source));
                let content = fs::read(source).map_err(cannot)?;
                fs::create_dir_all(place.parent().unwrap_or(&to))
                    .and_then(|()| fs::write(&place, content))
                    .map_err(cannot)?;
            }
        }
        Ok(())
    }
}

/// The folder of what is built once for a machine.
fn cache() -> Result<PathBuf, String> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .map(|folder| folder.join("lithops-cluster"))
        .ok_or_else(|| "there is no home folder to keep the programs in: set `HOME`".to_owned())
}

/// Bytes as text.
pub(in crate::cluster) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
