//! Runtimes: a runtime is deployed on a backend so that workers can start there.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The description of a runtime that is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeSpec {
    /// The name of the runtime.
    pub name: String,
    /// The memory of a worker, in MB, where the platform sells it; `None` for its default.
    pub memory: Option<u64>,
    /// The path of the program whose functions the runtime runs.
    pub artifact: PathBuf,
    /// Where what is built is written to, in the words of the backend: `oci:DIR` or `tar:FILE` for an image. `None` for a
    /// file of the current folder.
    pub output: Option<String>,
}

impl RuntimeSpec {
    /// A runtime called `name` for the program at `artifact`.
    #[must_use]
    pub fn new(name: impl Into<String>, artifact: PathBuf) -> Self {
        Self { name: name.into(), memory: None, artifact, output: None }
    }
}

/// The result of building a runtime, ready to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The path of the package.
    pub path: PathBuf,
    /// The length of the package in bytes.
    pub size: u64,
}

/// A deployed runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The identity of the runtime on the platform.
    pub id: RuntimeId,
    /// The memory of a worker, in MB; `None` where the platform does not sell it.
    pub memory: Option<u64>,
}

/// The identity of a deployed runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord, Hash)]
pub struct RuntimeId(pub String);

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
