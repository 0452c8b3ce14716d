//! The progress bar, which is shown at a terminal while a program waits for a job.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr},
    sync::{
        Arc, Mutex, Once, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::{sync::Notify, time::sleep};

use crate::{
    executor::job::{JobState, Progress},
    nesting, runtime,
};

/// A wait shorter than this shows no bar, which would only flicker.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the bars are redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// The present waits, by number.
static WAITS: Mutex<BTreeMap<u64, Wait>> = Mutex::new(BTreeMap::new());
/// Wakes the drawing task when a wait begins.
static BEGUN: Notify = Notify::const_new();

struct Wait {
    job: Arc<JobState>,
    since: Instant,
}

/// A guard: a wait is shown until this is dropped. `None` for a wait that is not shown.
#[derive(Debug)]
pub(crate) struct Shown(Option<u64>);

/// Shows a progress bar for a wait, if the job allows it and stderr is a terminal.
pub(crate) fn show(job: &Arc<JobState>) -> Shown {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    if !job.is_shown() || !is_watched() {
        return Shown(None);
    }
    start();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let wait = Wait { job: Arc::clone(job), since: Instant::now() };
    WAITS.lock().unwrap_or_else(PoisonError::into_inner).insert(number, wait);
    BEGUN.notify_one();
    Shown(Some(number))
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            let ended = WAITS.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            // The job is dropped outside of the lock: dropping its last reference may start a cleanup.
            drop(ended);
        }
    }
}

/// Whether stderr is a terminal; never so in a worker.
fn is_watched() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| stderr().is_terminal() && !nesting::is_nested())
}

/// Spawns the one task that draws all bars, the first time.
fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        runtime::driver().spawn(async {
            let bars = MultiProgress::new();
            let mut shown = BTreeMap::new();
            loop {
                draw(&bars, &mut shown);
                if shown.is_empty() && WAITS.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                    BEGUN.notified().await;
                }
                sleep(REDRAW).await;
            }
        });
    });
}

/// Draws a bar for each wait that is long enough, and removes the bars of waits that have ended.
fn draw(bars: &MultiProgress, shown: &mut BTreeMap<u64, ProgressBar>) {
    let waits: Vec<_> = {
        let waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        let long = waits.iter().filter(|(_, wait)| wait.since.elapsed() > PATIENCE);
        long.map(|(number, wait)| (*number, Arc::clone(&wait.job))).collect()
    };
    shown.retain(|number, bar| {
        let goes_on = waits.iter().any(|(other, _)| other == number);
        if !goes_on {
            bar.finish_and_clear();
        }
        goes_on
    });
    for (number, job) in waits {
        let progress = job.progress();
        let bar =
            shown.entry(number).or_insert_with(|| bars.add(ProgressBar::no_length().with_style(style())));
        bar.set_length(progress.known);
        bar.set_position(progress.done);
        bar.set_prefix(job.function().to_owned());
        bar.set_message(message(&progress));
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}{msg} [{elapsed_precise}]");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The text after the number of finished calls: what went wrong so far.
fn message(progress: &Progress) -> String {
    let mut message = String::new();
    if !progress.complete {
        message.push_str(" so far");
    }
    let counts = [
        (progress.failed, "failed"),
        (progress.retried, "retried"),
        (progress.lost_workers, "workers lost"),
        (progress.throttled, "throttled"),
        (progress.speculated, "tried twice"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        message.push_str(&format!(", {count} {what}"));
    }
    if progress.reading {
        message.push_str(", driven by another client");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compute::Capabilities, id::JobId, plan::PlanRequest};

    #[test]
    fn it_says_what_went_wrong_and_only_that() {
        let capabilities = Capabilities::local(1);
        let request = PlanRequest::new(4, &capabilities);
        let (job, _commands) =
            JobState::new(JobId::generate(), "f", request.plan().expect("a plan"), Some(4));
        assert_eq!(message(&job.progress()), "");
        job.count(|counts| (counts.retried, counts.lost_workers) = (3, 1));
        assert_eq!(message(&job.progress()), ", 3 retried, 1 workers lost");
        job.set_reading(true);
        assert!(message(&job.progress()).ends_with("driven by another client"));
        let lazy = Progress { complete: false, ..job.progress() };
        assert!(message(&lazy).starts_with(" so far"));
    }
}
