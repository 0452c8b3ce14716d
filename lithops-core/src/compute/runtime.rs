//! Runtimes: what is deployed on a backend so that workers can start there.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeSpec {
    /// Its name.
    pub name: String,
    /// The memory of a worker, in MB, where the platform sells it.
    pub memory: Option<u64>,
    /// The program whose functions it runs.
    pub artifact: PathBuf,
}

impl RuntimeSpec {
    /// A runtime called `name` for a program.
    #[must_use]
    pub fn new(name: impl Into<String>, artifact: PathBuf) -> Self {
        Self { name: name.into(), memory: None, artifact }
    }
}

/// What was built for deploying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
}

/// A deployed runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Its identity on the platform.
    pub id: RuntimeId,
    /// The memory of a worker, in MB.
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
