//! `lithops backends`: lists the backends of this program.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use lithops::{
    Registry,
    config::{Config, Environment, Sources},
};
use serde::Serialize;

use crate::print;

/// Lists the backends this program has, with their granularity.
///
/// The numbers are the defaults; the section of the configuration with the backend's name changes them.
#[derive(Debug, Args)]
pub(crate) struct Backends {
    /// The configuration file, if not the one that is found; it may name plugins.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// One backend in the JSON output.
#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    summary: &'static str,
    /// `built in`, `crate`, or `plugin` with the plugin's file.
    source: String,
    granularity: String,
    worker_processes: usize,
    max_workers: usize,
    feed: bool,
}

impl Backends {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let sources = Sources { file: self.config, yaml: None };
        let config = Config::load(&sources, &Environment::from_process())?;
        // Sections of backends that are not selected may be wrong, so the defaults are listed.
        let registry = Registry::of(&config)?;
        let defaults = Config::default();
        let listed = registry.iter().map(|backend| listed(backend, &defaults));
        let listed = listed.collect::<lithops::Result<Vec<_>>>()?;
        if self.json {
            print::json(&listed)?;
            return Ok(ExitCode::SUCCESS);
        }
        for backend in &listed {
            let Listed { name, version, package, source, .. } = backend;
            print::line(format_args!("{name} {version} ({package}, {source})"))?;
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

fn listed(backend: lithops_core::registry::Backend, config: &Config) -> lithops::Result<Listed> {
    let capabilities = backend.capabilities(config)?;
    Ok(Listed {
        name: backend.scheme,
        version: backend.version,
        package: backend.package,
        summary: backend.summary,
        source: backend.source().to_string(),
        granularity: capabilities.granularity.to_string(),
        worker_processes: capabilities.default_worker_processes,
        max_workers: capabilities.default_max_workers,
        feed: capabilities.feed,
    })
}
