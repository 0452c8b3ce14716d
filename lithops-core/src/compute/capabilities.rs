//! [`Capabilities`]: what a backend can do, the only thing planner and executor know of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Price;
use crate::board::LeaseConfig;

/// What a backend can do, and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// What one worker is.
    pub granularity: Granularity,
    /// The vCPUs of one worker.
    pub worker_cpus: f64,
    /// The memory of one worker, in MiB, where the platform sells it; 0 elsewhere.
    pub worker_memory: u64,
    /// Sub-workers in one worker, when nothing is configured.
    pub default_worker_processes: usize,
    /// The most sub-workers in one worker.
    pub max_worker_processes: usize,
    /// Live workers at once, when nothing is configured.
    pub default_max_workers: usize,
    /// The most live workers at once.
    pub max_workers: usize,
    /// The longest encoded chunk that may ride in an invoke.
    pub payload_limit: Option<u64>,
    /// How long one activation may last.
    pub timeout_limit: Option<Duration>,
    /// Whether a live worker can be given further chunks.
    pub feed: bool,
    /// Whether workers are a fleet that fetches its chunks from a board, and on which terms; else they are
    /// handed them.
    pub pull: Option<LeaseConfig>,
    /// How outcomes come back. Those of a fleet are on its board.
    pub reports: Reports,
    /// How the loss of a worker is noticed.
    pub liveness: Liveness,
    /// What can be cancelled.
    pub cancel: CancelLevel,
    /// The storages that workers can open by themselves, by what the platform gives them; where none is
    /// named, they can open every one.
    pub storages: Vec<String>,
    /// Whether workers start only where a runtime was deployed.
    pub runtimes: bool,
    /// How long a worker takes to start.
    pub startup: Startup,
    /// The time of a CPU that a call costs beside itself.
    pub call_overhead: Duration,
    /// What it costs.
    pub price: Price,
}

impl Granularity {}

impl Capabilities {
    /// Whether workers can open a storage.
    #[must_use]
    pub fn opens(&self, storage: &str) -> bool {
        self.storages.is_empty() || self.storages.iter().any(|known| known == storage)
    }

    /// Whether a worker is billed for as long as it lives, rather than activation by activation.
    #[must_use]
    pub fn bills_lifetime(&self) -> bool {
        self.feed || self.granularity == Granularity::Vm
    }

    /// The capabilities of this machine with `cpus` CPUs: fed workers, streamed reports, no price.
    #[must_use]
    pub fn local(cpus: usize) -> Self {
        Self {
            granularity: Granularity::Local,
            worker_cpus: cpus as f64,
            worker_memory: 0,
            default_worker_processes: cpus,
            max_worker_processes: 4096,
            default_max_workers: 1,
            max_workers: 4096,
            payload_limit: None,
            timeout_limit: None,
            feed: true,
            pull: None,
            reports: Reports::Streamed,
            liveness: Liveness::Platform,
            cancel: CancelLevel::Call,
            storages: Vec::new(),
            runtimes: false,
            startup: Startup {
                cold: Duration::from_millis(2),
                warm: Duration::from_micros(100),
                sub_worker: Duration::from_micros(1500),
                per_second: None,
            },
            call_overhead: Duration::from_micros(40),
            price: Price::default(),
        }
    }
}

/// What one worker is, which decides the default granularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// A function instance: one sub-worker.
    Faas,
    /// A container: as many sub-workers as it has CPUs.
    Caas,
    /// A virtual machine: as many sub-workers as it has CPUs.
    Vm,
    /// A process on this machine: as many sub-workers as the machine has CPUs.
    Local,
}

/// How outcomes come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reports {
    /// As calls end, over a channel.
    Streamed,
    /// All at once, when the activation ends.
    Buffered,
}

/// How the loss of a worker is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Liveness {
    /// The platform says so at once.
    Platform,
    /// Only the response, or its absence, says so.
    ResponseOnly,
}

/// What can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CancelLevel {
    /// Nothing that runs.
    None,
    /// A whole activation.
    Activation,
    /// A single call.
    Call,
}

/// How long a worker takes to start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Startup {
    /// When nothing is there yet.
    pub cold: Duration,
    /// When a warm worker is there.
    pub warm: Duration,
    /// The time of a CPU that one sub-worker takes to start.
    pub sub_worker: Duration,
    /// How many workers the platform starts in a second, where it is known to limit that.
    pub per_second: Option<f64>,
}

impl std::fmt::Display for Granularity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Faas => "faas",
            Self::Caas => "caas",
            Self::Vm => "vm",
            Self::Local => "local",
        })
    }
}
