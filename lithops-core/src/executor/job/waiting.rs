//! What workers wait for, as it is said to the user.

use super::{JobEvent, JobState};
use crate::executor::terminal::status_line;

/// Says what workers of a job wait for, or with no words that none waits any more.
pub(in crate::executor) fn say_waiting(job: &JobState, workers: usize, why: &str) {
    let id = job.id();
    if !why.is_empty() {
        tracing::warn!(job = %id, workers, "workers wait: {why}");
        if status_line::is_watched() {
            let why = why.escape_debug();
            status_line::print_above(&format!("lithops: {workers} workers wait: {why}\n"));
        }
    }
    job.tell(|| JobEvent::Waiting { job: id, workers, why: why.to_owned() });
}
