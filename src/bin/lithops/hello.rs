//! `lithops hello`: runs a greeting through the configured backend, as a first test.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, value_parser};
use lithops::{blocking::FunctionExecutor, prelude::*};
use serde::Serialize;

use crate::{plan::Planned, print};

/// Runs a greeting through the configured backend: does it work, and where do the calls run?
///
/// Prints a line for each call, with the process that ran it. The plan goes to stderr.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lithops hello                       4 calls on the configured backend, else on this machine
  lithops hello -b localhost -m 20    20 calls: see which process runs each")]
pub(crate) struct Hello {
    /// The backend, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    /// The storage, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    storage: Option<String>,

    /// How many calls to make.
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..))]
    maps: u64,

    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The result of a greeting in the JSON output.
#[derive(Debug, Serialize)]
struct Greeted {
    plan: Planned,
    calls: Vec<Greeting>,
}

#[derive(Debug, Serialize)]
struct Greeting {
    call: u64,
    greeting: String,
    pid: Option<u32>,
}

impl Hello {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let mut builder = FunctionExecutor::builder();
        if let Some(backend) = self.backend {
            builder = builder.backend(backend);
        }
        if let Some(storage) = self.storage {
            builder = builder.storage(storage);
        }
        if let Some(config) = self.config {
            builder = builder.config_file(config);
        }
        let fexec = builder.build()?;
        let names = (0..self.maps).map(|_| "world".to_owned());
        let futures = fexec.map(hello, names).run()?;
        let plan = futures.plan();
        print::remark(&plan.to_string());
        plan.warnings().iter().for_each(|warning| print::warning(&warning.to_string()));

        let greetings = futures.get_result()?;
        let calls: Vec<_> = futures
            .iter()
            .zip(greetings)
            .map(|(future, greeting)| Greeting {
                call: future.call_id().into(),
                greeting,
                pid: future.stats().map(|stats| stats.pid),
            })
            .collect();
        fexec.close()?;
        if self.json {
            print::json(&Greeted { plan: Planned::from(&plan), calls })?;
            return Ok(ExitCode::SUCCESS);
        }
        for call in calls {
            let process =
                call.pid.map_or("a process that was not noted".to_owned(), |pid| format!("process {pid}"));
            print::line(format_args!("{} ({process})", call.greeting))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[lithops::function]
fn hello(id: CallId, name: String) -> String {
    format!("Hello {name}, this is call {id}!")
}
