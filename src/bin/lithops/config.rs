//! `lithops config show` and `lithops config check`: prints and checks the configuration.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use lithops::{
    Registry,
    config::{self, ConfigEntry, Environment, Finding, FindingSeverity, Sources},
};
use serde::Serialize;

use crate::print;

/// Shows or checks the configuration.
///
/// The first of these that exists is used: --config, the text in LITHOPS_CONFIG, the file named by
/// LITHOPS_CONFIG_FILE, ./.lithops_config, ~/.lithops/config, /etc/lithops/config. Without any of them,
/// localhost is used.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Prints each value and where it came from; credentials are masked.
    Show(Options),
    /// Looks for keys that are unknown, refused or without effect, and for values that cannot be used.
    ///
    /// Exit code 0 when there are only notes, 2 when there is an error.
    Check(Options),
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The configuration in the JSON output.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    found_in: Option<String>,
    values: Vec<ConfigEntry<'a>>,
}

/// The findings in the JSON output.
#[derive(Debug, Serialize)]
struct Checked {
    found_in: Option<String>,
    findings: Vec<Finding>,
}

impl Config {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        match self {
            Self::Show(options) => options.show(),
            Self::Check(options) => options.check(),
        }
    }
}

impl Options {
    fn show(self) -> lithops::Result<ExitCode> {
        let (json, mut config) = (self.json, self.load()?);
        set_defaults(&mut config);
        let shown = Shown { found_in: found_in(&config), values: config.entries().collect() };
        if json {
            print::json(&shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        print::remark(&match &shown.found_in {
            Some(place) => format!("found in {place}"),
            None => "no configuration was found: these are the defaults".to_owned(),
        });
        for ConfigEntry { section, key, value, origin } in shown.values {
            print::line(format_args!("{section}.{key}: {value}  # {origin}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn check(self) -> lithops::Result<ExitCode> {
        let (json, config) = (self.json, self.load()?);
        let checked = Checked { found_in: found_in(&config), findings: lithops::check_config(&config) };
        let wrong = checked.findings.iter().any(|finding| finding.severity == FindingSeverity::Error);
        if json {
            print::json(&checked)?;
        } else {
            for finding in &checked.findings {
                let severity = if finding.severity == FindingSeverity::Error { "error" } else { "note" };
                let hint = finding.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
                print::line(format_args!("{severity}: {}{hint}", finding.message))?;
            }
            let place = checked.found_in.as_deref().unwrap_or("the defaults, as no configuration was found");
            print::remark(&format!(
                "checked {place}: {}",
                if wrong { "it cannot be used" } else { "it can be used" }
            ));
        }
        Ok(if wrong { ExitCode::from(2) } else { ExitCode::SUCCESS })
    }

    fn load(self) -> lithops::Result<config::Config> {
        config::Config::load(&Sources { file: self.config, yaml: None }, &Environment::from_process())
    }
}

fn found_in(config: &config::Config) -> Option<String> {
    config.found_in().map(ToString::to_string)
}

/// Adds the defaults of keys that are not set. A backend that does not exist has no defaults; `check` reports
/// it.
fn set_defaults(config: &mut config::Config) {
    for key in ["backend", "storage"] {
        config.set_default("lithops", key, "localhost");
    }
    let backend = Registry::of(config).and_then(|registry| registry.find(config.backend()));
    let Ok(backend) = backend else { return };
    if let Ok(capabilities) = backend.capabilities(config) {
        config.set_default(backend.scheme, "worker_processes", capabilities.default_worker_processes);
        config.set_default(backend.scheme, "max_workers", capabilities.default_max_workers);
    }
}
