//! `lithops plan`: what a job would start, before anything is started.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use lithops::{
    Plan, PlanRequest, Registry,
    config::{Config, CountValue, Environment, Origin, Severity, Sources},
};
use serde::Serialize;

use crate::print;

/// Prints what a job would start: workers, sub-workers, chunks, waves, cost.
///
/// Nothing is started and nothing is connected to. What is not given is taken from the configuration, else from the
/// backend's defaults; chunksize is worker_processes when nobody sets it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lithops plan --tasks 200 --worker-processes 4 --chunksize 8
  lithops plan --tasks 100 --worker-processes 4             25 workers, because chunksize is worker_processes
  lithops plan --tasks 1000000 --max-workers 8 --json")]
pub(crate) struct PlanJob {
    /// How many calls the job has.
    #[arg(long, value_name = "N")]
    tasks: u64,

    /// How many calls may run at once in one worker.
    #[arg(long, value_name = "N")]
    worker_processes: Option<usize>,

    /// How many calls each worker is given at a time.
    #[arg(long, value_name = "N")]
    chunksize: Option<usize>,

    /// How many workers may live at once.
    #[arg(long, value_name = "N")]
    max_workers: Option<usize>,

    /// The backend, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    /// The configuration file, if not the one that is found.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// A plan as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    calls: u64,
    workers: u64,
    worker_processes: usize,
    chunksize: usize,
    last_chunk: u64,
    sub_workers: usize,
    live_workers: u64,
    waves: u64,
    cost_usd: f64,
    warnings: Vec<String>,
}

impl From<&Plan> for Planned {
    fn from(plan: &Plan) -> Self {
        Self {
            calls: plan.calls(),
            workers: plan.workers(),
            worker_processes: plan.worker_processes(),
            chunksize: plan.chunksize(),
            last_chunk: plan.calls() - plan.workers().saturating_sub(1) * plan.chunksize() as u64,
            sub_workers: plan.sub_workers(),
            live_workers: plan.live_workers(),
            waves: plan.waves(),
            cost_usd: plan.cost().usd,
            warnings: plan.warnings().iter().map(ToString::to_string).collect(),
        }
    }
}

impl PlanJob {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let mut config =
            Config::load(&Sources { file: self.config, yaml: None }, &Environment::from_process())?;
        if let Some(backend) = self.backend {
            config.set("lithops", "backend", backend, Origin::Builder("backend"));
        }
        let registry = Registry::builtin()?;
        let backend = registry.find(config.backend())?;
        let findings = lithops::findings(&config, &registry)?;
        if let Some(wrong) = findings.into_iter().find(|finding| finding.severity == Severity::Error) {
            return Err(wrong.into());
        }
        let section = config.section(backend.scheme);
        let plan = PlanRequest {
            calls: self.tasks,
            worker_processes: self.worker_processes.or(count(section.count_or_auto("worker_processes")?)),
            chunksize: self.chunksize.or(count(config.section("lithops").count_or_auto("chunksize")?)),
            max_workers: self.max_workers.or(section.positive("max_workers")?),
            capabilities: &(backend.capabilities)(&config)?,
        }
        .plan()?;
        if self.json {
            print::json(&Planned::from(&plan))?;
        } else {
            print::line(in_words(&plan, backend.scheme))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn count(value: Option<CountValue>) -> Option<usize> {
    match value {
        Some(CountValue::Count(count)) => Some(count),
        Some(CountValue::Auto) | None => None,
    }
}

fn in_words(plan: &Plan, backend: &str) -> String {
    let Planned {
        calls,
        workers,
        worker_processes,
        chunksize,
        last_chunk,
        sub_workers,
        live_workers,
        waves,
        ..
    } = Planned::from(plan);
    let last = if last_chunk < chunksize as u64 && workers > 1 {
        format!(", the last one {last_chunk}")
    } else {
        String::new()
    };
    let mut lines = vec![
        format!("{calls} calls on `{backend}`, worker_processes {worker_processes}, chunksize {chunksize}"),
        format!("  workers       {workers}, each is given {chunksize} calls{last}"),
        format!("  sub-workers   {sub_workers} in each worker, which run one call at a time"),
        format!("  chunks        {workers}"),
        format!("  live workers  {live_workers} at once"),
        format!("  waves         {waves}"),
        format!("  cost          {}", plan.cost()),
    ];
    lines.extend(plan.warnings().iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}
