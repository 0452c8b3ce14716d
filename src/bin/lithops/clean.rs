//! `lithops clean`: removes what crashed programs have left of their jobs.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use crate::{job::Listed, place::Place, print};

/// Removes stored jobs that nobody will want any more.
///
/// Only jobs that you have started yourself, that nobody drives, and that nothing has been written of for a day, or as
/// long as you say. Each is printed before it is removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lithops clean --dry-run              what would be removed?
  lithops clean --older-than 2h        also what has been left alone for two hours only")]
pub(crate) struct Clean {
    /// How long a job must have been left alone: 90s, 30m, 12h, 7d.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration)]
    older_than: Duration,

    /// Prints what would be removed, and removes nothing.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    place: Place,
}

impl Clean {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let expired = self.place.jobs()?.expired(self.older_than)?;
        let verb = if self.dry_run { "would remove" } else { "removing" };
        for job in &expired {
            let what = job.stored.as_ref().map_or_else(
                || format!("{}  what is left of a job that is not stored whole", job.job),
                |stored| Listed::from(stored).line(),
            );
            print::line(format_args!("{verb} {what}"))?;
            if !self.dry_run {
                job.remove()?;
            }
        }
        if expired.is_empty() {
            print::remark("nothing to remove");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write 90s, 30m, 12h or 7d");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}
