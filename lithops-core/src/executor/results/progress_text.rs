//! The text of the progress bar: what is done, what went wrong, how fast it goes and how long it will take.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{
    executor::job::{Progress, Spending},
    id::JobId,
};

/// The bar itself has at most this many columns, and at least the other number.
const WIDEST: usize = 30;
const NARROWEST: usize = 8;

/// How fast a job goes, since it was first looked at.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The job, when it was first looked at, and how many calls were done then.
    begun: Option<(JobId, Instant, u64)>,
    /// Calls per second; 0 when it is not known.
    per_second: f64,
}

impl Rate {
    /// Takes in how far the job is now.
    pub(super) fn see(&mut self, job: JobId, progress: &Progress, now: Instant) {
        match self.begun {
            Some((seen, since, done)) if seen == job => {
                let seconds = now.saturating_duration_since(since).as_secs_f64();
                let calls = progress.done.saturating_sub(done);
                self.per_second = if seconds > 0.0 { calls as f64 / seconds } else { 0.0 };
            }
            _ => *self = Self { begun: Some((job, now, progress.done)), per_second: 0.0 },
        }
    }

    /// How long the rest of the calls will take at this rate; `None` when their number or the rate is unknown.
    fn remaining(&self, progress: &Progress) -> Option<Duration> {
        let left = progress.known.saturating_sub(progress.done);
        let is_known = progress.complete && !progress.open && self.per_second > 0.0;
        is_known.then(|| Duration::try_from_secs_f64(left as f64 / self.per_second).ok()).flatten()
    }
}

/// The line for a job, of at most `width` columns. The numbers come first: the bar and the name get the room
/// that is left.
pub(super) fn text(
    function: &str,
    progress: &Progress,
    spending: &Spending,
    rate: &Rate,
    others: usize,
    width: usize,
) -> String {
    let mut numbers = format!("{}/{}", progress.done, progress.known);
    numbers.push_str(&wrong(progress));
    if rate.per_second > 0.0 {
        let _ = match rate.per_second {
            few if few < 10.0 => write!(numbers, ", {few:.1}/s"),
            many => write!(numbers, ", {many:.0}/s"),
        };
    }
    if let Some(remaining) = rate.remaining(progress) {
        let _ = write!(numbers, ", {} left", clock(remaining));
    }
    if spending.usd > 0.0 {
        let _ = write!(numbers, ", {spending}");
    }
    if others > 0 {
        let _ = write!(numbers, ", {others} more wait");
    }
    let room = width.saturating_sub(columns(&numbers) + 1);
    let bar = bar(progress, room.saturating_sub(columns(function) + 1).clamp(NARROWEST, WIDEST).min(room));
    let name = shortened(function, room.saturating_sub(columns(&bar) + 1));
    let parts = [name, bar, numbers];
    let line = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    cut(&line, width)
}

/// What went wrong so far, and what the numbers do not tell.
fn wrong(progress: &Progress) -> String {
    let mut message = String::new();
    if !progress.complete {
        message.push_str(" so far");
    }
    let counts = [
        (progress.failed, "failed"),
        (progress.retried, "retried"),
        (progress.lost_workers, "workers lost"),
        (progress.throttled, "throttled"),
        (progress.waiting_workers, "workers wait"),
        (progress.speculated, "tried twice"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(message, ", {count} {what}");
    }
    if progress.reading {
        message.push_str(", driven by another client");
    }
    message
}

/// A bar of this many columns; empty when there is no room for it.
fn bar(progress: &Progress, columns: usize) -> String {
    let Some(inside) = columns.checked_sub(2).filter(|inside| *inside > 0) else { return String::new() };
    let done = match progress.known {
        0 => 0,
        known => usize::try_from(u128::from(progress.done) * inside as u128 / u128::from(known)).unwrap_or(0),
    };
    let done = done.min(inside);
    format!("[{}{}]", "#".repeat(done), "-".repeat(inside - done))
}

/// The end of a name, which tells functions apart better than its beginning.
fn shortened(name: &str, room: usize) -> String {
    if columns(name) <= room {
        return name.to_owned();
    }
    let Some(room) = room.checked_sub(2).filter(|room| *room > 2) else { return String::new() };
    let mut kept = Vec::new();
    let mut taken = 0;
    for letter in name.chars().rev() {
        taken += column_of(letter);
        if taken > room {
            break;
        }
        kept.push(letter);
    }
    kept.push('.');
    kept.push('.');
    kept.into_iter().rev().collect()
}

fn cut(line: &str, width: usize) -> String {
    let mut taken = 0;
    let fits = |letter: &char| {
        taken += column_of(*letter);
        taken <= width
    };
    line.chars().take_while(fits).collect()
}

fn columns(text: &str) -> usize {
    text.chars().map(column_of).sum()
}

/// How many columns a letter takes at most: outside of ASCII it may be a wide one.
fn column_of(letter: char) -> usize {
    if letter.is_ascii() { 1 } else { 2 }
}

/// `0:07`, `12:30`, `3:05:00`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compute::Capabilities, executor::job::JobState, plan::PlanRequest};

    fn job() -> JobState {
        let capabilities = Capabilities::local(1);
        let request = PlanRequest::new(4, &capabilities);
        JobState::new(JobId::generate(), "f", request.plan().expect("a plan"), Some(4)).0
    }

    #[test]
    fn it_says_what_went_wrong_and_only_that() {
        let job = job();
        assert_eq!(wrong(&job.progress()), "");
        job.count(|counts| (counts.retried, counts.lost_workers) = (3, 1));
        assert_eq!(wrong(&job.progress()), ", 3 retried, 1 workers lost");
        job.set_reading(true);
        assert!(wrong(&job.progress()).ends_with("driven by another client"));
        let lazy = Progress { complete: false, ..job.progress() };
        assert!(wrong(&lazy).starts_with(" so far"));
    }

    #[test]
    fn it_fits_into_any_width_and_the_numbers_stay() {
        let progress = Progress { known: 1_000, done: 500, failed: 2, ..job().progress() };
        let mut rate = Rate::default();
        let (id, now) = (JobId::generate(), Instant::now());
        rate.see(id, &Progress { done: 0, ..progress }, now);
        rate.see(id, &progress, now + Duration::from_secs(10));
        assert_eq!(
            text("a::function", &progress, &Spending::default(), &rate, 0, 100),
            "a::function [##############--------------] 500/1000, 2 failed, 50/s, 0:10 left"
        );
        let mut spending = Spending::default();
        (spending.workers, spending.hour_usd, spending.usd) = (3, 0.26775, 0.004);
        let line = text("f", &progress, &spending, &rate, 0, 100);
        assert!(line.ends_with("50/s, 0:10 left, 3 workers, $0.2677/h, $0.0040 so far"), "{line}");
        let name = "a_crate::with_a_long_name::{{closure}} at src/\u{6f22}\u{5b57}.rs:12";
        for width in 0..200 {
            let line = text(name, &progress, &Spending::default(), &rate, 3, width);
            assert!(columns(&line) <= width, "{width}: {line}");
            assert!(
                width < 60 || line.contains("500/1000, 2 failed, 50/s, 0:10 left, 3 more wait"),
                "{line}"
            );
        }
        assert_eq!(
            text(name, &progress, &Spending::default(), &Rate::default(), 0, 40),
            "..\u{6f22}\u{5b57}.rs:12 [###---] 500/1000, 2 failed"
        );
    }

    #[test]
    fn the_rest_is_told_only_where_it_is_known() {
        let progress = Progress { known: 10, done: 5, ..job().progress() };
        let (id, now) = (JobId::generate(), Instant::now());
        let mut rate = Rate::default();
        rate.see(id, &progress, now);
        assert_eq!(rate.remaining(&progress), None, "nothing was done since");
        let later = Progress { done: 6, ..progress };
        rate.see(id, &later, now + Duration::from_secs(1000));
        assert_eq!(rate.remaining(&later).map(clock).as_deref(), Some("1:06:40"));
        assert_eq!(rate.remaining(&Progress { complete: false, ..later }), None);
        rate.see(JobId::generate(), &later, now + Duration::from_secs(2000));
        assert_eq!(rate.remaining(&later), None, "another job has another rate");
    }
}
