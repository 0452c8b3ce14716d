//! `PlanJob`: what a job would start, take and cost, before it is started.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use clap::Args;
use lithops::{
    Auto, Capabilities, Count, Durations, Error, ErrorKind, Objective, Plan, PlanRequest, Platform, Registry,
    WorkerWish, Workload,
    config::{Config, Environment, FindingSeverity, Origin, Sources, Value},
    simulate, svg,
};

use super::Planned;
use crate::print;

/// A description of a platform is written by hand. A file with more bytes than this was named by mistake, and
/// is not read.
const LARGEST_DESCRIPTION: u64 = 1 << 20;

/// Prints what a job would start, take and cost: workers, sub-workers, chunks, waves, time, money.
///
/// Nothing is started. What is not given is taken from the configuration, else from the backend's defaults;
/// chunksize is worker_processes when it is not set. Time and money are predicted where it is known how long
/// a call takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lithops plan --tasks 200 --worker-processes 4 --chunksize 8
  lithops plan --tasks 100 --worker-processes 4             25 workers, because chunksize is worker_processes
  lithops plan --tasks 10000 --task-seconds 0.5 --chunksize auto --explain
  lithops plan --tasks 1000 --capabilities my_cloud.yaml --durations exponential:20ms --simulate
  lithops plan --tasks 1000 --program app --function app::f    as long as earlier calls of it took")]
pub(crate) struct PlanJob {
    /// How many calls the job has.
    #[arg(long, value_name = "N", value_parser = calls, allow_negative_numbers = true)]
    tasks: u64,

    /// How many calls may run at once in one worker, or auto.
    #[arg(long, value_name = "N|auto", value_parser = count, allow_negative_numbers = true)]
    worker_processes: Option<Count>,

    /// How many calls each worker is given at a time, or auto.
    #[arg(long, value_name = "N|auto", value_parser = count, allow_negative_numbers = true)]
    chunksize: Option<Count>,

    /// How many workers may live at once.
    #[arg(long, value_name = "N", value_parser = number, allow_negative_numbers = true)]
    max_workers: Option<usize>,

    /// What auto minimizes: time, cost or balanced.
    #[arg(long, value_name = "WHAT")]
    objective: Option<Objective>,

    /// How many seconds a call takes.
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true, conflicts_with_all = ["durations", "function"])]
    task_seconds: Option<Durations>,

    /// How long calls take: 20ms, exponential:20ms, uniform:5ms,35ms, bimodal:2ms,200ms,0.1.
    #[arg(long, value_name = "SHAPE", conflicts_with = "function")]
    durations: Option<Durations>,

    /// The share of its time in which a call needs a CPU: 1 computes, 0 waits.
    #[arg(long, value_name = "PART", value_parser = share, allow_negative_numbers = true)]
    cpu_share: Option<f64>,

    /// Takes the durations of earlier calls of this function (`module::name`) of `--program`.
    #[arg(long, value_name = "NAME", requires = "program")]
    function: Option<String>,

    /// The program whose function `--function` names.
    #[arg(long, value_name = "NAME", requires = "function")]
    program: Option<String>,

    /// How many bytes the encoded argument of a call has.
    #[arg(long, value_name = "BYTES")]
    payload: Option<u64>,

    /// The memory of a worker in MB, where it is sold.
    #[arg(long, value_name = "MB", value_parser = number, allow_negative_numbers = true)]
    memory: Option<usize>,

    /// The vCPUs of a worker, where they are sold.
    #[arg(long, value_name = "N", value_parser = cpus, allow_negative_numbers = true)]
    cpus: Option<f64>,

    /// Refuses a plan that costs more than this many US dollars (exit code 6).
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true)]
    max_cost: Option<f64>,

    /// The backend, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    /// Plans for the platform that this file describes, in the form of a backend's capabilities.yaml.
    #[arg(long, value_name = "FILE", conflicts_with = "backend")]
    capabilities: Option<PathBuf>,

    /// One of the variants that the file describes, such as an architecture or a type of instance.
    #[arg(long, value_name = "NAME", requires = "capabilities")]
    variant: Option<String>,

    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Says why this plan was chosen, and lists the alternatives with their time and cost.
    #[arg(long)]
    explain: bool,

    /// Simulates the plan event by event, this many times.
    #[arg(long, value_name = "RUNS", num_args = 0..=1, default_missing_value = "15")]
    simulate: Option<u32>,

    /// Draws time and cost of the alternatives into an SVG file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl PlanJob {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let sources = Sources { file: self.config.clone(), yaml: None };
        let mut config = Config::load(&sources, &Environment::from_process())?;
        let (name, capabilities) = match &self.capabilities {
            Some(file) => self.described(file)?,
            None => self.configured(&mut config)?,
        };
        let workload = self.workload(&config, &name, &capabilities)?;
        let mut request =
            PlanRequest::new(self.tasks, &capabilities).with_config(&config, config.section(&name))?;
        request.worker_processes = self.worker_processes.or(request.worker_processes);
        request.chunksize = self.chunksize.or(request.chunksize);
        request.max_workers = self.max_workers.or(request.max_workers);
        request.objective = self.objective.unwrap_or(request.objective);
        request.workload = workload.as_ref();
        request.payload = self.payload;
        let plan = request.plan()?;
        self.print(&plan, &name, &capabilities)?;
        match (self.max_cost, plan.cost().usd) {
            (Some(limit), Some(usd)) if usd > limit => Err(Error::new(
                ErrorKind::TooExpensive,
                format!("the job would cost about {}, and `--max-cost` is ${limit}", plan.cost()),
            )
            .with_hint("raise it, or let `--chunksize auto --objective cost` choose")),
            (Some(_), None) => Err(no_durations("--max-cost")),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    /// The name and capabilities of the platform that the file of `--capabilities` describes.
    fn described(&self, file: &Path) -> lithops::Result<(String, Capabilities)> {
        let read = lithops_core::regular::read(file, LARGEST_DESCRIPTION);
        let text = read.and_then(|text| String::from_utf8(text).map_err(std::io::Error::other));
        let text = text.map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("cannot read `{}`: {error}", file.display()))
                .with_hint("name a file in the form of a backend's capabilities.yaml")
        })?;
        let platform = Platform::parse(&text, &file.display().to_string())?;
        let wish = WorkerWish {
            memory: self.memory.map(|memory| memory as u64),
            vcpus: self.cpus,
            variant: self.variant.clone(),
            machine: thread::available_parallelism().map_or(1, usize::from),
            ..WorkerWish::default()
        };
        Ok((platform.name().to_owned(), platform.worker(&wish)?))
    }

    /// The name and capabilities of the configured backend.
    fn configured(&self, config: &mut Config) -> lithops::Result<(String, Capabilities)> {
        if let Some(backend) = &self.backend {
            config.set("lithops", "backend", backend.as_str(), Origin::Argument("--backend"));
        }
        let registry = Registry::of(config)?;
        let backend = registry.find(config.backend())?;
        if let Some(memory) = self.memory {
            config.set(backend.scheme, "runtime_memory", Value::from(memory), Origin::Argument("--memory"));
        }
        if let Some(cpus) = self.cpus {
            config.set(backend.scheme, "runtime_cpu", Value::from(cpus), Origin::Argument("--cpus"));
        }
        let findings = lithops::findings(config, &registry)?;
        if let Some(wrong) = findings.into_iter().find(|finding| finding.severity == FindingSeverity::Error) {
            return Err(wrong.into());
        }
        Ok((backend.scheme.to_owned(), backend.capabilities(config)?))
    }

    /// The workload that the options give; `None` if they say nothing about durations.
    fn workload(
        &self,
        config: &Config,
        backend: &str,
        worker: &Capabilities,
    ) -> lithops::Result<Option<Workload>> {
        let said = self.task_seconds.as_ref().or(self.durations.as_ref()).cloned().map(Workload::given);
        let known = match (said, &self.program, &self.function) {
            (Some(said), ..) => Some(said),
            (None, Some(program), Some(function)) => {
                Some(lithops::remembered(config, program, function, backend, worker.worker_memory)?)
            }
            _ => None,
        };
        match (known, self.cpu_share) {
            (Some(known), Some(share)) => known.with_cpu_share(share).map(Some),
            (None, Some(_)) => Err(no_durations("--cpu-share")),
            (known, None) => Ok(known),
        }
    }

    fn print(&self, plan: &Plan, name: &str, capabilities: &Capabilities) -> lithops::Result<()> {
        let mut planned = Planned::from(plan);
        if self.explain {
            planned = planned.with_alternatives(&plan.alternatives());
        }
        if let Some(runs) = self.simulate {
            let workload = plan.workload().ok_or_else(|| no_durations("--simulate"))?;
            planned = planned.with_simulation(&simulate(plan, capabilities, workload, runs, 1)?);
        }
        if let Some(file) = &self.svg {
            let drawn = svg(plan).ok_or_else(|| no_durations("--svg"))?;
            fs::write(file, drawn)?;
        }
        if self.json {
            return print::json(&planned);
        }
        let mut lines = planned.lines(name);
        if self.explain {
            lines.extend(planned.reasons());
        }
        lines.extend(plan.warnings().iter().map(|warning| format!("warning: {warning}")));
        print::line(lines.join("\n"))
    }
}

fn no_durations(option: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("`{option}` needs to know how long a call takes")).with_hint(
        "add `--task-seconds 0.5`, `--durations exponential:20ms`, or `--program` and `--function`",
    )
}

fn calls(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a whole number of calls from 0 up".to_owned())
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number from 1 up".to_owned())
}

fn count(text: &str) -> Result<Count, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Auto.into());
    }
    text.parse::<usize>().map(Count::from).map_err(|_| "write a whole number from 1 up, or auto".to_owned())
}

fn seconds(text: &str) -> Result<Durations, String> {
    let wrong = || "write a number of seconds above 0, such as 0.5".to_owned();
    text.parse().map_err(|_| wrong()).and_then(|seconds| Durations::fixed(seconds).map_err(|_| wrong()))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 (calls wait) to 1 (calls compute)".to_owned())
}

fn cpus(text: &str) -> Result<f64, String> {
    let cpus = text.parse().ok().filter(|cpus: &f64| cpus.is_finite() && *cpus > 0.0);
    cpus.ok_or_else(|| "write a number of vCPUs above 0, such as 4".to_owned())
}

fn dollars(text: &str) -> Result<f64, String> {
    let usd = text.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0);
    usd.ok_or_else(|| "write US dollars from 0 up, such as 0.5".to_owned())
}
