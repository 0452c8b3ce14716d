//! The section `localhost`: its keys, and what they mean.

use std::{path::PathBuf, thread};

use lithops_core::{
    compute::{Capabilities, Platform, WorkerWish},
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
    nesting,
};

use crate::SCHEME;

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used(
        "worker_processes",
        "how many calls may run at once in one worker; by default the CPUs of this machine",
    ),
    Key::used("max_workers", "how many worker processes may live at once; by default 1"),
    Key::used(
        "runtime",
        "the path of a `lithops-worker` program; by default the program itself plays the worker",
    ),
    Key::used("capabilities", "what is known otherwise of this machine: starting times, overhead, prices"),
    Key::accepted(
        "runtime_memory",
        "the processes share the memory of this machine",
        "the memory of a worker, in MB",
    ),
    Key::accepted("runtime_cpu", "the processes share the CPUs of this machine", "the vCPUs of a worker"),
    Key::accepted("version", "there is one implementation", "Python Lithops has two"),
];

/// What the section says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalhostConfig {
    /// The program that plays the worker, when it is not the user's program.
    pub runtime: Option<PathBuf>,
}

impl LocalhostConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be, or the runtime does not exist.
    pub fn read(config: &Config) -> Result<Self> {
        let runtime = config.section(SCHEME).path("runtime")?;
        if let Some(path) = &runtime
            && !path.is_file()
        {
            return Err(Error::new(
                ErrorKind::ConfigInvalid,
                format!("`localhost.runtime` names `{}`, and there is no such file", path.display()),
            )
            .with_hint(
                "name a `lithops-worker` program, or leave it out: the program itself plays the worker then",
            ));
        }
        Ok(Self { runtime })
    }
}

/// What is known of this platform, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

/// What this machine can do. Inside of a call the default is what the call's own job was given.
///
/// # Errors
/// When the section overrides what cannot be.
pub(crate) fn capabilities(config: &Config) -> Result<Capabilities> {
    let platform =
        Platform::parse(PLATFORM, "the data of `localhost`")?.overridden_by(config.section(SCHEME))?;
    let machine = thread::available_parallelism().map_or(1, usize::from);
    let mut capabilities = platform.worker(&WorkerWish { machine, ..WorkerWish::default() })?;
    if let Some(place) = nesting::place() {
        capabilities.default_worker_processes = place.worker_processes;
    }
    Ok(capabilities)
}
