//! [`Warning`]: advice on a plan that works but is not what one would choose.

use std::fmt;

/// Advice on a plan.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Sub-workers will compete for CPUs.
    MoreProcessesThanCpus {
        /// Sub-workers in one worker.
        worker_processes: usize,
        /// CPUs of one worker.
        cpus: f64,
    },
    /// Some sub-workers will have nothing to do.
    ChunkBelowProcesses {
        /// Calls given to one worker.
        chunksize: usize,
        /// Sub-workers in one worker.
        worker_processes: usize,
    },
    /// One worker gets everything although more may live.
    OneWorker {
        /// How many calls.
        calls: u64,
        /// Calls given to one worker.
        chunksize: usize,
        /// Live workers at once.
        max_workers: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreProcessesThanCpus { worker_processes, cpus } => write!(
                f,
                "{worker_processes} sub-workers share {cpus} CPUs of a worker: busy calls will slow each other; \
                 set worker_processes to {} unless calls mostly wait",
                cpus.ceil()
            ),
            Self::ChunkBelowProcesses { chunksize, worker_processes } => write!(
                f,
                "chunksize {chunksize} is below worker_processes {worker_processes}: {} sub-workers of each worker \
                 will have nothing to do; set chunksize to {worker_processes} or more",
                worker_processes - chunksize
            ),
            Self::OneWorker { calls, chunksize, max_workers } => write!(
                f,
                "chunksize {chunksize} gives all {calls} calls to one worker although {max_workers} may live: \
                 set chunksize to {} to use them",
                calls.div_ceil(*max_workers as u64).max(1)
            ),
        }
    }
}
