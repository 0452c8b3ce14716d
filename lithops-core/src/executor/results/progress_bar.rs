//! The progress bar, which is shown at a terminal while a program waits for a job.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use super::progress_text::{Rate, text};
use crate::{
    executor::{job::JobState, terminal::status_line},
    runtime,
};

/// A wait shorter than this shows no bar, which would only flicker.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the bar is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// The present waits, by number.
static WAITS: Mutex<BTreeMap<u64, Wait>> = Mutex::new(BTreeMap::new());
/// Wakes the drawing task when a wait begins.
static BEGUN: Notify = Notify::const_new();

struct Wait {
    job: Arc<JobState>,
    since: Instant,
    rate: Rate,
}

/// A guard: a wait is shown until this is dropped. `None` for a wait that is not shown.
#[derive(Debug)]
pub(crate) struct Shown(Option<u64>);

/// Shows a progress bar for a wait, if the job allows it and stderr is a terminal.
pub(crate) fn show(job: &Arc<JobState>) -> Shown {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    if !job.is_shown() || !status_line::is_watched() {
        return Shown(None);
    }
    start();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let wait = Wait { job: Arc::clone(job), since: Instant::now(), rate: Rate::default() };
    WAITS.lock().unwrap_or_else(PoisonError::into_inner).insert(number, wait);
    BEGUN.notify_one();
    Shown(Some(number))
}

impl Drop for Shown {
    /// Takes the bar away before the wait returns: what the program prints next must find the screen as it was.
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            let ended = {
                let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = waits.remove(&number);
                // Under the lock, so that the task does not draw it once more.
                status_line::erase();
                ended
            };
            // The job is dropped outside of the lock: dropping its last reference may start a cleanup.
            drop(ended);
        }
    }
}

/// Spawns the one task that draws the bar, the first time.
fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        runtime::driver().spawn(async {
            loop {
                if draw() {
                    BEGUN.notified().await;
                }
                sleep(REDRAW).await;
            }
        });
    });
}

/// Draws the oldest wait that is long enough. Returns whether there is no wait at all.
fn draw() -> bool {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let others = waits.len().saturating_sub(1);
    let oldest = waits.values_mut().next().filter(|wait| wait.since.elapsed() > PATIENCE);
    if let Some(wait) = oldest {
        let job = wait.job.stage_shown();
        let (progress, spending) = (job.progress(), job.spending());
        wait.rate.see(job.id(), &progress, Instant::now());
        status_line::draw(|width| text(job.function(), &progress, &spending, &wait.rate, others, width));
    }
    waits.is_empty()
}
