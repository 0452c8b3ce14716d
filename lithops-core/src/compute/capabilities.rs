//! [`Capabilities`]: what a backend can do. Planner and executor know nothing else of a backend.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Price;
use crate::board::LeaseConfig;

/// What a backend can do, and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// What one worker is: a function instance, a container, a virtual machine or a local process.
    pub granularity: Granularity,
    /// The number of vCPUs of one worker.
    pub worker_cpus: f64,
    /// The memory of one worker, in MiB, where the platform sells it; 0 elsewhere.
    pub worker_memory: u64,
    /// The number of sub-workers in one worker, when nothing is configured.
    pub default_worker_processes: usize,
    /// The largest number of sub-workers in one worker.
    pub max_worker_processes: usize,
    /// The number of live workers at once, when nothing is configured.
    pub default_max_workers: usize,
    /// The largest number of live workers at once.
    pub max_workers: usize,
    /// The most bytes of payload in one message; longer payloads become blobs. No limit when it is `None`.
    pub payload_limit: Option<u64>,
    /// How long one activation may last; no limit when it is `None`.
    pub timeout_limit: Option<Duration>,
    /// Whether a live worker can be given further chunks.
    pub feed: bool,
    /// The lease configuration of the fleet, where workers fetch their chunks from a board. `None` where
    /// workers are handed their chunks. Where workers can be fed too ([`feed`](Self::feed)), only the workers of durable
    /// jobs fetch theirs.
    pub pull: Option<LeaseConfig>,
    /// How outcomes come back. It has no effect on a fleet, whose outcomes come through the storage.
    pub reports: Reports,
    /// How the loss of a worker is noticed.
    pub liveness: Liveness,
    /// What can be cancelled: nothing, an activation or a single call.
    pub cancel: CancelLevel,
    /// The storages that workers can open with what the platform gives them, such as a role. When it is
    /// empty, workers can open every storage.
    pub storages: Vec<String>,
    /// Whether workers start only where a runtime was deployed.
    pub runtimes: bool,
    /// How long a worker takes to start.
    pub startup: Startup,
    /// The CPU time that a call costs beside its own.
    pub call_overhead: Duration,
    /// The price of workers, as the platform bills them.
    pub price: Price,
    /// Where workers are cheaper because the platform may take them away; else `None`.
    #[serde(default)]
    pub spot: Option<Spot>,
}

impl Granularity {}

impl Capabilities {
    /// Whether every job is durable, because workers can only fetch their chunks.
    #[must_use]
    pub fn only_pulls(&self) -> bool {
        self.pull.is_some() && !self.does_both()
    }

    /// Whether workers are fed, and those of durable jobs fetch their chunks. On this machine the configuration chooses
    /// one of the two for all jobs.
    fn does_both(&self) -> bool {
        self.feed && self.pull.is_some() && self.granularity != Granularity::Local
    }

    /// The capabilities for durable jobs, whose workers fetch their chunks wherever they can.
    #[must_use]
    pub fn of_durable_jobs(&self) -> Self {
        if !self.does_both() {
            return self.clone();
        }
        Self { feed: false, reports: Reports::Buffered, cancel: CancelLevel::Activation, ..self.clone() }
    }

    /// Whether workers can open the storage with this name.
    #[must_use]
    pub fn opens(&self, storage: &str) -> bool {
        self.storages.is_empty() || self.storages.iter().any(|known| known == storage)
    }

    /// Whether a worker is billed for as long as it lives, its start and its end included; otherwise each activation is
    /// billed.
    #[must_use]
    pub fn bills_lifetime(&self) -> bool {
        self.feed || self.pull.is_some() || self.granularity == Granularity::Vm
    }

    /// US dollars for one billed second of a worker, with its address and its disks.
    #[must_use]
    pub fn second_usd(&self) -> f64 {
        let discount = self.spot.map_or(0.0, |spot| spot.discount);
        self.price.second_usd(self.worker_memory, self.worker_cpus) * (1.0 - discount)
            + self.price.extras_hour_usd() / 3600.0
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
            spot: None,
        }
    }
}

/// Workers that the platform may take away at any time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    /// The part of the price that is saved, from 0 to 1.
    pub discount: f64,
    /// How often a worker is taken away in an hour, on the average.
    pub interrupted_per_hour: f64,
}

impl Spot {
    /// How many times as long everything takes, if half of a chunk of this many seconds is run again at each interruption,
    /// after the start of another worker.
    #[must_use]
    pub fn stretch(&self, chunk: f64, start: f64) -> f64 {
        1.0 + self.interrupted_per_hour / 3600.0 * (chunk / 2.0 + start)
    }
}

/// What one worker is; it decides the default granularity.
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

/// When outcomes come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reports {
    /// Outcomes come as calls end, over a channel.
    Streamed,
    /// All outcomes come when the activation ends.
    Buffered,
}

/// How the loss of a worker is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Liveness {
    /// The platform reports the end of a worker at once.
    Platform,
    /// Only the response, or its absence, shows it.
    ResponseOnly,
}

/// The smallest unit that can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CancelLevel {
    /// Running calls cannot be cancelled.
    None,
    /// A whole activation can be cancelled.
    Activation,
    /// A single call can be cancelled.
    Call,
}

/// How long workers and sub-workers take to start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Startup {
    /// The time to start a worker when none is idle.
    pub cold: Duration,
    /// The time to start an activation when a worker is idle.
    pub warm: Duration,
    /// The CPU time that the start of one sub-worker takes.
    pub sub_worker: Duration,
    /// How many workers the platform starts in a second; `None` where no limit is known.
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
