//! The section `localhost`: its keys, and what they mean.

use std::{path::PathBuf, thread, time::Duration};

use lithops_core::{
    board::LeaseConfig,
    compute::{CancelLevel, Capabilities, Platform, WorkerWish},
    config::{Config, Key, Value},
    error::Result,
    nesting,
};

use crate::SCHEME;

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used_except(
        "runtime",
        "the path of a `lithops-worker` program; by default the program itself plays the worker",
        is_of_python,
        "a compiled program needs neither an interpreter nor an image: its processes run on this machine",
    ),
    Key::used(
        "dispatch",
        "`push`: workers are handed their chunks; `pull`: they are a fleet that fetches them from the storage",
    ).harmless(),
    Key::used("lease", "with `dispatch: pull`: how long a worker may be silent until others take its chunk").harmless(),
    Key::used(
        "launch",
        "with `dispatch: pull`: `socket`: workers end with their client; `document`: they are started as on a platform \
         elsewhere, with a launch document alone",
    ),
    Key::used("look", "with `dispatch: pull`: how often client and workers look into the storage; by default 25 ms"),
    Key::used("orphan", "with `dispatch: pull`: how long the client may be silent until its workers end"),
    Key::accepted(
        "runtime_memory",
        "the processes share the memory of this machine",
        "the memory of a worker, in MB",
    ).harmless(),
    Key::accepted("runtime_cpu", "the processes share the CPUs of this machine", "the vCPUs of a worker").harmless(),
    Key::accepted("runtime_timeout", "a worker lives as long as its client", "how long a worker may run").harmless(),
    Key::accepted("use_gpu", "the processes see what this machine has", "whether containers see the GPUs").harmless(),
    Key::accepted("pull_runtime", "there is no image", "whether an image is fetched each time").harmless(),
    Key::accepted("version", "there is one implementation", "Python Lithops has two").harmless(),
];

/// The values of the section.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalhostConfig {
    /// The program that plays the worker, when it is not the user's program.
    pub runtime: Option<PathBuf>,
    /// Whether workers of a fleet are started with their launch document alone.
    pub from_document: bool,
}

impl LocalhostConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be, or the runtime does not exist.
    pub fn read(config: &Config) -> Result<Self> {
        let hint =
            "name a `lithops-worker` program, or leave it out: the program itself plays the worker then";
        let section = config.section(SCHEME);
        let is_foreign = section.get("runtime").is_some_and(|located| is_of_python(&located.value));
        let runtime = if is_foreign { None } else { section.existing("runtime", hint)? };
        let from_document = section.one_of("launch", &["socket", "document"])? == Some("document");
        Ok(Self { runtime, from_document })
    }
}

/// Whether a runtime is one of Python Lithops: an interpreter, as in `python3` and `/usr/bin/python3.12`, or an image with
/// a tag.
fn is_of_python(runtime: &Value) -> bool {
    let name = runtime.as_str().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.starts_with("python") || last.contains(':')
}

/// The shortest lease: on a busy machine a live worker may be silent for nearly as long.
const SHORTEST_LEASE: Duration = Duration::from_millis(500);

/// The capabilities and limits of this machine, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

/// The capabilities of this machine. Inside of a call the default of `worker_processes` is that of the call's own job.
///
/// # Errors
/// When a value of the section cannot be what it should be.
pub(crate) fn capabilities(config: &Config) -> Result<Capabilities> {
    LocalhostConfig::read(config)?;
    let platform =
        Platform::parse(PLATFORM, "the data of `localhost`")?.overridden_by(config.section(SCHEME))?;
    let machine = thread::available_parallelism().map_or(1, usize::from);
    let mut capabilities = platform.worker(&WorkerWish { machine, ..WorkerWish::default() })?;
    let lease_config = lease_config(config)?;
    if let Some(place) = nesting::place() {
        // The worker around the call feeds it, also where that worker is one of a fleet.
        capabilities.default_worker_processes = place.worker_processes;
    } else if lease_config.is_some() {
        capabilities.pull = lease_config;
        capabilities.cancel = CancelLevel::Activation;
    }
    Ok(capabilities)
}

/// The terms of a fleet on this machine, if its workers are one.
fn lease_config(config: &Config) -> Result<Option<LeaseConfig>> {
    /// The storage is a folder of this machine, or as fast as one when it is used so.
    const LOOK: Duration = Duration::from_millis(25);

    let section = config.section(SCHEME);
    if section.one_of("dispatch", &["push", "pull"])? != Some("pull") {
        return Ok(None);
    }
    let lease_config = match section.duration("lease")? {
        None => LeaseConfig::default(),
        Some(lease) if lease < SHORTEST_LEASE => {
            let problem = format!("is {lease:?}, and must be at least {SHORTEST_LEASE:?}");
            let hint =
                "a worker says four times in a lease that it lives; write `lease: 30s`, or leave it out";
            return Err(section.unusable("lease", &problem, hint));
        }
        Some(lease) => LeaseConfig::with_lease(lease),
    };
    let look = section.duration("look")?.unwrap_or(LOOK);
    let orphan = section.duration("orphan")?.unwrap_or(lease_config.orphan);
    Ok(Some(LeaseConfig { look: look.min(lease_config.beat), orphan, ..lease_config }))
}
