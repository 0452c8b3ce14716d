//! The command `lithops`: shows backends, plans, jobs, storage and configuration, and runs a greeting.

mod backends;
mod clean;
mod completions;
mod config;
mod doctor;
mod failure;
mod hello;
mod job;
mod leftovers;
mod logs;
mod place;
mod plan;
mod print;
mod runtime;
mod storage;
mod test;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use lithops::Registry;

/// Runs map and map_reduce of ordinary Rust functions on this machine and on the cloud.
///
/// A program that uses the `lithops` crate starts its own workers. This command shows which backends there
/// are, what the configuration says, and what a job would take and cost before it is started.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
struct Arguments {
    /// Reports an error with its kind, its context and its causes.
    #[arg(short, long, global = true, visible_short_alias = 'd', visible_alias = "debug")]
    verbose: bool,

    /// A library that contains a further backend; may be given several times.
    #[arg(long, global = true, value_name = "FILE")]
    plugin: Vec<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Hello(hello::Hello),
    Test(test::RunTests),
    Plan(Box<plan::PlanJob>),
    Backends(backends::Backends),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Runtime(runtime::Runtime),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Job(job::Job),
    Logs(logs::ShowLogs),
    Clean(clean::Clean),
    #[command(subcommand)]
    Storage(storage::Storage),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// The text below the options of `lithops --help`.
const EXAMPLES: &str = "\
Examples:
  lithops hello                                                    does it work here?
  lithops test -b aws_lambda                                       does everything work there?
  lithops plan --tasks 200 --worker-processes 4 --chunksize 8      25 workers of 4 sub-workers
  lithops backends                                                 where calls can run
  lithops doctor                                                   would jobs run there?
  lithops config check                                             is the configuration right?
  lithops job list                                                 which durable jobs are there?
  lithops logs 0190f5c2-7b1c-7a54-9d3e-2f60c1d8a9b7 --follow       what do its calls print?
  lithops storage list my-bucket                                   what is stored?
  lithops completions bash > ~/.local/share/bash-completion/completions/lithops

Data go to stdout, everything else to stderr.
Exit codes: 0 done, 1 failed, 2 wrong configuration or arguments, 3 not found or unsupported,
4 permission denied, 5 a call failed, 6 too expensive.";

fn main() -> ExitCode {
    // `init` comes first: this program is started again as worker and sub-worker of `hello`, and these
    // processes have no command line to parse.
    lithops::init();
    let arguments = Arguments::parse();
    let loaded = arguments.plugin.iter().try_for_each(|plugin| Registry::load(plugin));
    let done = loaded.and_then(|()| match arguments.command {
        Command::Hello(hello) => hello.run(),
        Command::Test(test) => test.run(),
        Command::Plan(plan) => plan.run(),
        Command::Backends(backends) => backends.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Runtime(runtime) => runtime.run(),
        Command::Config(config) => config.run(),
        Command::Job(job) => job.run(arguments.verbose),
        Command::Logs(logs) => logs.run(),
        Command::Clean(clean) => clean.run(arguments.verbose),
        Command::Storage(storage) => storage.run(),
        Command::Completions(completions) => completions.run(&Arguments::command()),
        Command::Man(man) => man.run(&Arguments::command()),
    });
    done.unwrap_or_else(|error| failure::report(&error, arguments.verbose))
}
