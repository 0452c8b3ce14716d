//! [`PlanRequest`]: the input of the planner.

use std::sync::Arc;

use super::{Chosen, Count, Objective, Plan, Workload, auto::Choice, granularity::Numbers, model::Shape};
use crate::{
    compute::Capabilities,
    config::{Config, Section},
    error::{Error, ErrorKind, Result},
};

/// The input of the planner.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest<'a> {
    /// How many calls the job has.
    pub calls: u64,
    /// The number of sub-workers in one worker; `None` means the backend's default.
    pub worker_processes: Option<Count>,
    /// How many calls one worker is given at a time; `None` means `worker_processes`.
    pub chunksize: Option<Count>,
    /// The most workers that live at once; `None` means the backend's default.
    pub max_workers: Option<usize>,
    /// The capabilities of the backend.
    pub capabilities: &'a Capabilities,
    /// What is known of the calls. Without it nothing is predicted, and `Auto` means the default until calls
    /// are measured.
    pub workload: Option<&'a Workload>,
    /// The average length of the encoded argument of a call, in bytes; `None` when it is unknown.
    pub payload: Option<u64>,
    /// What `Auto` minimises.
    pub objective: Objective,
}

impl<'a> PlanRequest<'a> {
    /// A request with the number of calls alone; everything else has its default.
    #[must_use]
    pub fn new(calls: u64, capabilities: &'a Capabilities) -> Self {
        Self {
            calls,
            worker_processes: None,
            chunksize: None,
            max_workers: None,
            capabilities,
            workload: None,
            payload: None,
            objective: Objective::default(),
        }
    }

    /// Takes granularity and objective from the configuration: the section of the backend, and `lithops`.
    ///
    /// # Errors
    /// When a value has the wrong type or is out of range.
    pub fn with_config(mut self, config: &Config, backend: Section<'_>) -> Result<Self> {
        let lithops = config.section("lithops");
        self.worker_processes = backend.count_or_auto("worker_processes")?.map(Count::from);
        self.chunksize = lithops.count_or_auto("chunksize")?.map(Count::from);
        self.max_workers = backend.positive("max_workers")?;
        self.objective = lithops
            .one_of("objective", &["time", "cost", "balanced"])?
            .map(str::parse)
            .transpose()?
            .unwrap_or_default();
        Ok(self)
    }

    /// Makes the plan that this request asks for.
    ///
    /// # Errors
    /// `InvalidInput` that names the value and says what to write instead.
    pub fn plan(&self) -> Result<Plan> {
        let capabilities = self.capabilities;
        let max_workers = self.max_workers.unwrap_or(capabilities.default_max_workers);
        bounded("max_workers", max_workers, capabilities.max_workers, "how many workers may live at once")?;
        let given = |count: Option<Count>| count.and_then(Count::exact);
        if let Some(worker_processes) = given(self.worker_processes) {
            let limit = capabilities.max_worker_processes;
            bounded("worker_processes", worker_processes, limit, "the number of CPUs of a worker")?;
        }
        if let Some(chunksize) = given(self.chunksize) {
            let meaning = "how many calls each worker is given, by default worker_processes";
            bounded("chunksize", chunksize, u32::MAX as usize, meaning)?;
        }
        let choice = Choice {
            calls: self.calls,
            worker_processes: given(self.worker_processes),
            chunksize: given(self.chunksize),
            auto: (self.worker_processes == Some(Count::Auto), self.chunksize == Some(Count::Auto)),
            max_workers,
            objective: self.objective,
            payload: self.payload,
        };
        let chosen = |count: Option<Count>| match count {
            Some(Count::Exactly(_)) => Chosen::Given,
            Some(Count::Auto) => Chosen::Auto,
            None => Chosen::Default,
        };
        let Shape { worker_processes, chunksize, .. } = choice.made(capabilities, self.workload);
        Ok(Plan::new(Numbers {
            calls: self.calls,
            worker_processes,
            chunksize,
            max_workers,
            chosen: (chosen(self.worker_processes), chosen(self.chunksize)),
            capabilities: Arc::new(capabilities.clone()),
            workload: self.workload.cloned().map(Arc::new),
            payload: self.payload,
            objective: self.objective,
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
