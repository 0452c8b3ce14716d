//! [`Capabilities`]: what a backend can do, the only thing planner and executor know of it.

use std::time::Duration;

/// What a backend can do, and its limits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What one worker is.
    pub granularity: Granularity,
    /// The CPUs of one worker.
    pub worker_cpus: f64,
    /// Sub-workers in one worker, when nothing is configured.
    pub default_worker_processes: usize,
    /// The most sub-workers in one worker.
    pub max_worker_processes: usize,
    /// Live workers at once, when nothing is configured.
    pub default_max_workers: usize,
    /// The most live workers at once.
    pub max_workers: usize,
    /// Activations that one invoke may carry.
    pub workers_per_invoke: usize,
    /// The longest encoded chunk that may ride in an invoke.
    pub payload_limit: Option<u64>,
    /// How long one activation may last.
    pub timeout_limit: Option<Duration>,
    /// Whether a live worker can be given further chunks.
    pub feed: bool,
    /// How outcomes come back.
    pub reports: Reports,
    /// How the loss of a worker is noticed.
    pub liveness: Liveness,
    /// What can be cancelled.
    pub cancel: CancelLevel,
    /// How long a worker takes to start.
    pub startup: Startup,
    /// What it costs.
    pub price: Price,
}

impl Capabilities {
    /// The capabilities of this machine with `cpus` CPUs: fed workers, streamed reports, no price.
    #[must_use]
    pub fn local(cpus: usize) -> Self {
        Self {
            granularity: Granularity::Local,
            worker_cpus: cpus as f64,
            default_worker_processes: cpus,
            max_worker_processes: 4096,
            default_max_workers: 1,
            max_workers: 4096,
            workers_per_invoke: 1,
            payload_limit: None,
            timeout_limit: None,
            feed: true,
            reports: Reports::Streamed,
            liveness: Liveness::Platform,
            cancel: CancelLevel::Call,
            startup: Startup { cold: Duration::from_millis(5), warm: Duration::from_micros(100) },
            price: Price::Free,
        }
    }
}

/// What one worker is, which decides the default granularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reports {
    /// As calls end, over a channel.
    Streamed,
    /// All at once, when the activation ends.
    Buffered,
    /// Through storage.
    Stored,
}

/// How the loss of a worker is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// The worker sends heartbeats with this period.
    Heartbeat(Duration),
    /// The platform says so at once.
    Platform,
    /// Only the response, or its absence, says so.
    ResponseOnly,
}

/// What can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelLevel {
    /// Nothing that runs.
    None,
    /// A whole activation.
    Activation,
    /// A single call.
    Call,
}

/// How long a worker takes to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Startup {
    /// When nothing is there yet.
    pub cold: Duration,
    /// When a warm worker is there.
    pub warm: Duration,
}

/// What a backend costs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Price {
    /// Nothing beyond the machine.
    Free,
}
