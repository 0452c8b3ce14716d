//! [`Folder`]: the files of one cluster, and the names that are made of its path.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    build::hex,
    parts::remove_sockets,
    system::{Cgroups, Process, Sandbox},
};
use crate::workspace::built;

/// What stays when a cluster ends.
const LOCK: &str = "lock";
/// What stays as well when a cluster could not be started.
const LOGS: &str = "logs";

/// The folder of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// The folder, while no other process starts or ends the cluster.
#[derive(Debug)]
pub(super) struct Locked {
    folder: Folder,
    _lock: File,
}

impl Folder {
    /// The folder at this path, or the one below the target folder.
    pub(super) fn of(path: Option<PathBuf>) -> Result<Self, String> {
        let path = path.map_or_else(|| built("cluster"), Ok)?;
        let cannot = |error: io::Error| format!("cannot use the folder `{}`: {error}", path.display());
        fs::create_dir_all(&path).map_err(cannot)?;
        let path = path.canonicalize().map_err(cannot)?;
        // These are other folders within the cluster.
        if ["/run", "/var/log", "/proc", "/sys"].iter().any(|hidden| path.starts_with(hidden)) {
            return Err(format!("`{}` cannot hold a cluster: choose a folder elsewhere", path.display()));
        }
        Ok(Self { path })
    }

    /// Waits for other processes that start or end this cluster.
    pub(super) fn locked(self) -> Result<Locked, String> {
        let cannot = |error: io::Error| format!("cannot lock `{}`: {error}", self.path.display());
        let lock = File::create(self.path.join(LOCK)).map_err(cannot)?;
        if lock.try_lock().is_err() {
            eprintln!("   another process starts or ends this cluster; waiting for it");
            lock.lock().map_err(cannot)?;
        }
        Ok(Locked { folder: self, _lock: lock })
    }

    /// A file or folder of the cluster.
    pub(super) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file.
    pub(super) fn write(&self, name: impl AsRef<Path>, content: &str) -> Result<PathBuf, String> {
        let path = self.join(name);
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, content))
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        Ok(path)
    }

    /// What the names of the cluster's control groups begin with.
    pub(super) fn name(&self) -> String {
        format!("lithops-{}-", hex(&self.digest()))
    }

    /// A number below a limit that other clusters of the machine hardly have.
    pub(super) fn number(&self, limit: u16) -> u16 {
        let [first, second, ..] = self.digest();
        u16::from_le_bytes([first, second]) % limit
    }

    fn digest(&self) -> [u8; 4] {
        let digest: [u8; 32] = Sha256::digest(self.path.as_os_str().as_encoded_bytes()).into();
        let [first, second, third, fourth, ..] = digest;
        [first, second, third, fourth]
    }

    /// The file that names the first process of the sandbox.
    pub(super) fn init(&self) -> PathBuf {
        self.join("init")
    }

    /// The file that names the process of a part.
    pub(super) fn record(&self, part: &str) -> PathBuf {
        self.join("processes").join(part)
    }

    /// What a part has printed.
    pub(super) fn log(&self, part: &str) -> PathBuf {
        self.join(LOGS).join(format!("{part}.log"))
    }

    /// The file that is there when the cluster was started to its end.
    pub(super) fn started(&self) -> PathBuf {
        self.join("started")
    }

    /// The namespaces of the cluster, if it runs.
    pub(super) fn sandbox(&self) -> Option<Sandbox> {
        Sandbox::recorded(&self.init())
    }

    /// All parts that were started, by name.
    pub(super) fn parts(&self) -> Vec<(String, Option<Process>)> {
        let entries = fs::read_dir(self.join("processes")).into_iter().flatten().flatten();
        let mut parts: Vec<_> = entries
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), Process::recorded(&entry.path())))
            .collect();
        parts.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        parts
    }
}

impl Locked {
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Ends the cluster, in whichever state it is, and removes its files.
    pub(super) fn down(&self) -> Result<(), String> {
        self.end(&[LOCK])
    }

    /// As [`down`](Self::down), for a cluster that failed: what its parts have printed stays.
    pub(super) fn down_after_failure(&self) -> Result<(), String> {
        self.end(&[LOCK, LOGS])
    }

    fn end(&self, staying: &[&str]) -> Result<(), String> {
        if let Some(sandbox) = self.folder.sandbox() {
            sandbox.end()?;
        }
        Cgroups::of_this_machine()?.remove(&self.folder.name())?;
        remove_sockets(&self.folder);
        let path = &self.folder.path;
        let remove = || {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if staying.iter().any(|name| entry.file_name() == *name) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            io::Result::Ok(())
        };
        remove().map_err(|error| format!("cannot empty `{}`: {error}", path.display()))
    }
}
