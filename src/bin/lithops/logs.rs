//! `lithops logs`: what the calls of a durable job have printed.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use lithops::{Error, ErrorKind, JobId};

use crate::{place::Place, print};

/// Prints what the calls of a durable job have printed, a line at a time, with the call in front.
///
/// The output of a call is stored with its outcome, when its chunk has ended.
#[derive(Debug, Args)]
pub(crate) struct ShowLogs {
    /// The job, as `futures.job_id()` and `lithops job list` print it.
    job: JobId,

    /// Goes on until the job is finished.
    #[arg(short, long)]
    follow: bool,

    /// Prints the output of this call alone, as it is.
    #[arg(long, value_name = "NUMBER")]
    call: Option<u64>,

    /// Prints a line of JSON for each call.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Place,
}

impl ShowLogs {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let Self { job, follow, call: wanted, json, place } = self;
        let jobs = place.jobs()?;
        if let Some(wanted) = wanted {
            let calls = jobs.find(job)?.record.calls;
            if wanted >= calls {
                let hint = format!("its calls are numbered 0 to {}", calls.saturating_sub(1));
                return Err(
                    Error::new(ErrorKind::NotFound, format!("the job has no call {wanted}")).with_hint(hint)
                );
            }
        }
        let mut is_silent = true;
        jobs.logs(job, follow, |call, text| {
            if wanted.is_some_and(|wanted| wanted != call) {
                return Ok(());
            }
            is_silent = false;
            if json {
                return print::line(serde_json::json!({ "call": call, "log": text }));
            }
            if wanted.is_some() {
                return Ok(io::stdout().lock().write_all(text.as_bytes())?);
            }
            text.lines().try_for_each(|line| print::line(format_args!("[call {call}] {line}")))
        })?;
        if is_silent {
            print::remark(
                "nothing is stored of what was printed: a call prints nothing, or has not ended with its chunk",
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
