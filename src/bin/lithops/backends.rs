//! `lithops backends`: where calls can run.

use std::process::ExitCode;

use clap::Args;
use lithops::{Registry, config::Config};
use serde::Serialize;

use crate::print;

/// Lists the backends this program has, with their granularity.
///
/// The numbers are the defaults; a section of the configuration that bears the backend's name changes them.
#[derive(Debug, Args)]
pub(crate) struct Backends {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// A backend as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    summary: &'static str,
    granularity: String,
    worker_processes: usize,
    max_workers: usize,
    feed: bool,
}

impl Backends {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let listed = Registry::builtin()?.iter().map(listed).collect::<lithops::Result<Vec<_>>>()?;
        if self.json {
            print::json(&listed)?;
            return Ok(ExitCode::SUCCESS);
        }
        for backend in &listed {
            print::line(format_args!("{} {} ({})", backend.name, backend.version, backend.package))?;
            print::line(format_args!("  {}", backend.summary))?;
            print::line(format_args!(
                "  granularity {}: worker_processes {}, max_workers {}{}",
                backend.granularity,
                backend.worker_processes,
                backend.max_workers,
                if backend.feed { ", a live worker is fed further chunks" } else { "" }
            ))?;
        }
        if listed.is_empty() {
            print::remark(
                "this program was built without backends: enable a feature of `lithops`, such as `localhost`",
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(backend: &'static lithops_core::compute::BackendDescriptor) -> lithops::Result<Listed> {
    let capabilities = (backend.capabilities)(&Config::default())?;
    Ok(Listed {
        name: backend.scheme,
        version: backend.version,
        package: backend.package,
        summary: backend.summary,
        granularity: capabilities.granularity.to_string(),
        worker_processes: capabilities.default_worker_processes,
        max_workers: capabilities.default_max_workers,
        feed: capabilities.feed,
    })
}
