//! `lithops job list|status|attach|cancel`: durable jobs, seen from outside of the programs that started
//! them.

use std::{
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use lithops::{
    JobId,
    jobs::{Listing, StoredJob, Waiting},
};
use serde::Serialize;

use crate::{failure, place::Place, print};

/// Lists, watches and cancels durable jobs.
///
/// A job that was started with `.durable()` or `.detach()` is stored, and other programs can see it. The jobs
/// are those in the storage of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Lists the stored jobs, oldest first. A job that cannot be read is reported, and the others are listed.
    List(List),
    /// Prints how far a job is, and which client drives it.
    Status(One),
    /// Waits until a job is finished, and prints the outcome of each call as a line of JSON.
    ///
    /// This command does not have your functions, so it cannot go on with a job that no client drives. A
    /// program that has the function can, with `fexec.attach`. Exit code 5 when a call has failed.
    Attach(One),
    /// Ends a job: calls without an outcome get the outcome "cancelled".
    Cancel(One),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    place: Place,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The job, as `futures.job_id()` and `lithops job list` print it.
    job: JobId,

    #[command(flatten)]
    place: Place,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// A job in the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    job: String,
    function: String,
    backend: String,
    calls: u64,
    stored: u64,
    state: &'static str,
    driven_by: Option<String>,
    waiting: Option<Waiting>,
    started: u64,
}

impl From<&StoredJob> for Listed {
    fn from(job: &StoredJob) -> Self {
        Self {
            job: job.record.job.to_string(),
            function: job.record.function_name.clone(),
            backend: job.record.backend.clone(),
            calls: job.record.calls,
            stored: job.stored,
            state: job.state(),
            driven_by: job.driver.as_ref().map(lithops::jobs::Owner::place),
            waiting: job.waiting.clone(),
            started: job.record.created,
        }
    }
}

impl Listed {
    /// The columns of [`row`](Self::row), each as wide as its values.
    const HEAD: [&str; 6] = [
        "JOB                                 ",
        "STATE      ",
        "BACKEND     ",
        "STARTED             ",
        "CALLS DONE          ",
        "FUNCTION",
    ];

    /// The job as a row of the list.
    fn row(&self) -> String {
        let started = UNIX_EPOCH + Duration::from_secs(self.started);
        let started = humantime::format_rfc3339_seconds(started).to_string();
        let percent = (self.stored * 100).checked_div(self.calls).unwrap_or(100);
        let done = format!("{} of {} ({percent} %)", self.stored, self.calls);
        let driven_by = self.driven_by.as_ref().map(|driver| format!("  by {driver}")).unwrap_or_default();
        format!(
            "{}  {:<11}  {:<12}  {started:<20}  {done:<20}  {}{driven_by}",
            self.job, self.state, self.backend, self.function
        )
    }

    pub(crate) fn line(&self) -> String {
        let Self { job, function, calls, stored, state, driven_by, waiting, .. } = self;
        let driver = driven_by.as_ref().map(|driver| format!(" by {driver}")).unwrap_or_default();
        let waiting = waiting
            .as_ref()
            .map(|Waiting { workers, why }| format!("\n{workers} workers wait: {}", why.escape_debug()));
        format!(
            "{job}  {state}{driver}, {stored} of {calls} calls of `{function}`{}",
            waiting.unwrap_or_default()
        )
    }
}

impl Job {
    pub(crate) fn run(self, verbose: bool) -> lithops::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(verbose),
            Self::Status(one) => one.status(),
            Self::Attach(one) => one.attach(),
            Self::Cancel(one) => one.cancel(),
        }
    }
}

impl List {
    fn run(self, verbose: bool) -> lithops::Result<ExitCode> {
        let Listing { jobs, unreadable, .. } = self.place.jobs()?.list();
        let listed: Vec<_> = jobs.iter().map(Listed::from).collect();
        if self.json {
            print::json(&listed)?;
        } else {
            if !listed.is_empty() {
                print::remark(&Listed::HEAD.join("  "));
            }
            listed.iter().try_for_each(|job| print::line(job.row()))?;
            if listed.is_empty() && unreadable.is_empty() {
                print::remark("no job is stored: only those started with `.durable()` or `.detach()` are");
            }
        }
        Ok(failure::report_all(&unreadable, verbose))
    }
}

impl One {
    fn status(self) -> lithops::Result<ExitCode> {
        let listed = Listed::from(&self.place.jobs()?.find(self.job)?);
        if self.json {
            print::json(&listed)?;
        } else {
            print::line(listed.line())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn attach(self) -> lithops::Result<ExitCode> {
        let mut failed = 0;
        self.place.jobs()?.attach(self.job, |call, outcome| {
            let line = match outcome {
                Ok(value) => serde_json::json!({ "call": call, "value": value }),
                Err(error) => {
                    failed += 1;
                    serde_json::json!({ "call": call, "error": error.to_string() })
                }
            };
            print::line(line)
        })?;
        if failed > 0 {
            print::remark(&format!("{failed} calls have failed"));
        }
        let code = if failed > 0 { lithops::ErrorKind::CallFailed.exit_code() } else { 0 };
        Ok(ExitCode::from(code))
    }

    fn cancel(self) -> lithops::Result<ExitCode> {
        let cancelled = self.place.jobs()?.cancel(self.job)?;
        if self.json {
            print::json(&serde_json::json!({ "job": self.job.to_string(), "cancelled": cancelled }))?;
        } else {
            print::line(match cancelled {
                0 => "nothing was left to cancel".to_owned(),
                calls => format!("{calls} calls were cancelled"),
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
