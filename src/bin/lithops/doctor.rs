//! `lithops doctor`: checks whether jobs would run.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use lithops_core::compute::{Check, Severity};

use crate::{print, runtime::connected};

/// Looks at the configured backend and storage: credentials, permissions, quotas, programs.
///
/// Without `--live` the command changes and starts nothing. For a cloud it prints the least permissions that the policies must
/// grant. Exit code 1 when a problem would keep jobs from running.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The backend, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    /// Starts one worker on the platform too, which tries the storage and ends. The platform bills it.
    #[arg(long)]
    live: bool,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let found = lithops_core::runtime::block_on(async {
            let connected = connected(self.config, self.backend).await?;
            let mut found = connected.check().await?;
            if self.live && !is_ill(&found) {
                found.extend(connected.backend.check_live().await);
            }
            Ok::<_, lithops::Error>(found)
        })?;
        if self.json {
            print::json(&found)?;
        } else {
            found.iter().try_for_each(tell)?;
        }
        Ok(if is_ill(&found) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Whether something would keep jobs from running.
fn is_ill(found: &[Check]) -> bool {
    found.iter().any(|check| check.severity == Severity::Error)
}

fn tell(check: &Check) -> lithops::Result<()> {
    let mark = match check.severity {
        Severity::Fine => "ok     ",
        Severity::Warning => "warning",
        Severity::Error => "error  ",
    };
    print::line(format_args!("{mark}  {}", check.finding))?;
    match &check.remedy {
        Some(remedy) => print::line(format_args!("         {remedy}")),
        None => Ok(()),
    }
}
