//! `lithops clean`: removes the stored data of jobs whose programs have crashed, unused programs and histories, and what
//! platforms still run for clients that are gone.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use lithops::jobs::{Cleaning, UnusedKind};

use crate::{failure, job::Listed, leftovers::AtPlatform, place::Place, print};

/// Removes stored jobs that are no longer of use, and what the platform still runs for clients that are gone.
///
/// Removes only jobs that you have started on this machine, that no client drives or reads, and whose data
/// was not written to for a day, or for the duration of --older-than, by the clock of the storage. Where the
/// end of a process cannot be verified, the storage is watched for 12 seconds for writes. Each job is printed
/// before it is removed. A job that cannot be read is reported and stays; the others are removed all the
/// same.
///
/// Also removes stored worker programs, the recorded durations of earlier calls, and what is left of fleets
/// whose client has crashed, that nothing has used for 30 days. A job that needs such a program again stores it again.
///
/// Also ends what the backend still runs, or would still start, of fleets whose client is gone, and prints what it costs
/// an hour. A client that does not say that it has ended is watched for 30 seconds: it says in the storage that it lives.
/// Also removes services whose workers are kept without requests (`min_workers`), when no client has used them for two hours.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lithops clean --dry-run              what would be removed?
  lithops clean --older-than 2h        also what has been left alone for two hours only
  lithops clean --unused-for 7d        also programs that no job has used for a week
  lithops clean --backend k8s          also the pods of clients that are gone")]
pub(crate) struct Clean {
    /// How long the data of a job must not have been written to: 90s, 30m, 12h, 7d.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration)]
    older_than: Duration,

    /// How long no job must have used a stored program, or the recorded durations of a function.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    unused_for: Duration,

    /// Prints what would be removed, and removes nothing.
    #[arg(long)]
    dry_run: bool,

    /// The backend whose platform is looked at, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    #[command(flatten)]
    place: Place,
}

impl Clean {
    pub(crate) fn run(self, verbose: bool) -> lithops::Result<ExitCode> {
        let Place { storage, config } = self.place.clone();
        let jobs = self.place.jobs()?;
        let Cleaning { expired, unfinished, mut unreadable, .. } = jobs.expired(self.older_than)?;
        let unused = jobs.unused(self.unused_for).unwrap_or_else(|error| {
            unreadable.push(error);
            Vec::new()
        });
        let verb = if self.dry_run { "would remove" } else { "removing" };
        let nothing = expired.is_empty() && unfinished.is_empty() && unused.is_empty();
        for job in &expired {
            let what = job.stored.as_ref().map_or_else(
                || format!("{}  what is left of a job that is not stored whole", job.job),
                |stored| Listed::from(stored).line(),
            );
            print::line(format_args!("{verb} {what}"))?;
            if !self.dry_run {
                unreadable.extend(job.remove().err());
            }
        }
        for file in &unfinished {
            print::line(format_args!("{verb} {}  what a put has left that was not finished", file.name))?;
            if !self.dry_run {
                unreadable.extend(file.remove().err());
            }
        }
        for kept in &unused {
            let what = match kept.kind {
                UnusedKind::Program => "a program",
                UnusedKind::History => "how long calls took",
                _ => "a fleet",
            };
            let days = kept.since.as_secs() / (24 * 3600);
            print::line(format_args!("{verb} {}  {what}, not used for {days} days", kept.name))?;
            if !self.dry_run {
                unreadable.extend(kept.remove().err());
            }
        }
        // Manifests of detached jobs are gone by now, and with them what their workers were kept for.
        let at_platform = AtPlatform::find(config, self.backend, storage);
        let is_clean = at_platform.as_ref().is_ok_and(AtPlatform::is_empty);
        match at_platform {
            Ok(at_platform) => unreadable.extend(at_platform.remove(verb, self.dry_run)?),
            Err(error) => unreadable.push(error),
        }
        if nothing && is_clean {
            print::remark("nothing to remove");
        }
        Ok(failure::report_all(&unreadable, verbose))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write 90s, 30m, 12h or 7d");
    lithops_core::config::duration::parse(text).ok_or_else(wrong)
}
