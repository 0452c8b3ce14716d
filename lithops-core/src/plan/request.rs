//! [`PlanRequest`]: what a plan is made from.

use super::{Plan, Warning, numbers::Numbers};
use crate::{
    compute::Capabilities,
    error::{Error, ErrorKind, Result},
};

/// What a plan is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest<'a> {
    /// How many calls.
    pub calls: u64,
    /// Sub-workers in one worker; the backend's default when not given.
    pub worker_processes: Option<usize>,
    /// Calls given to one worker at a time; `worker_processes` when not given.
    pub chunksize: Option<usize>,
    /// Live workers at once; the backend's default when not given.
    pub max_workers: Option<usize>,
    /// What the backend can do.
    pub capabilities: &'a Capabilities,
}

impl PlanRequest<'_> {
    /// The plan.
    ///
    /// # Errors
    /// `InvalidInput` that names the value and says what to write instead.
    pub fn plan(&self) -> Result<Plan> {
        let capabilities = self.capabilities;
        let worker_processes = self.worker_processes.unwrap_or(capabilities.default_worker_processes);
        let max_workers = self.max_workers.unwrap_or(capabilities.default_max_workers);
        bounded(
            "worker_processes",
            worker_processes,
            capabilities.max_worker_processes,
            "the number of CPUs of a worker",
        )?;
        bounded("max_workers", max_workers, capabilities.max_workers, "how many workers may live at once")?;
        let chunksize = self.chunksize.unwrap_or(worker_processes);
        let limit = u32::MAX as usize;
        bounded(
            "chunksize",
            chunksize,
            limit,
            "how many calls each worker is given, by default worker_processes",
        )?;

        let mut warnings = Vec::new();
        if worker_processes as f64 > capabilities.worker_cpus * 2.0 {
            warnings
                .push(Warning::MoreProcessesThanCpus { worker_processes, cpus: capabilities.worker_cpus });
        }
        if chunksize < worker_processes && !capabilities.feed {
            warnings.push(Warning::ChunkBelowProcesses { chunksize, worker_processes });
        }
        let workers = self.calls.div_ceil(chunksize as u64);
        if !capabilities.feed && workers == 1 && max_workers > 1 && self.calls > worker_processes as u64 {
            warnings.push(Warning::OneWorker { calls: self.calls, chunksize, max_workers });
        }
        Ok(Plan::new(Numbers {
            calls: self.calls,
            worker_processes,
            chunksize,
            max_workers,
            fed: capabilities.feed,
            granularity: capabilities.granularity,
            price: capabilities.price,
            warnings,
        }))
    }
}

fn bounded(name: &'static str, value: usize, limit: usize, meaning: &str) -> Result<()> {
    let problem = if value == 0 {
        format!("`{name}` is 0")
    } else if value > limit {
        format!("`{name}` is {value}, and the limit is {limit}")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, problem)
        .with_hint(format!("write a whole number from 1 to {limit} ({meaning}), or leave it out"))
        .with_context("key", name))
}
