//! What a job tells those who look on: events, and what its calls have printed.

use std::sync::PoisonError;

use super::job_state::JobState;
use crate::{
    executor::{job::JobEvent, terminal::status_line},
    protocol::Logs,
};

impl JobState {
    /// Sends an event to the observers. The event is only made if there are any.
    pub(crate) fn tell(&self, event: impl FnOnce() -> JobEvent) {
        if let Some(observers) = self.observers.as_ref().filter(|observers| observers.receiver_count() > 0) {
            // The last observer may have gone meanwhile, which is no error.
            let _ = observers.send(event());
        }
    }

    /// Says what `workers` workers wait for, or with no words that none waits any more.
    pub fn say_waiting(&self, workers: usize, why: &str) {
        if !why.is_empty() {
            tracing::warn!(job = %self.id, workers, "workers wait: {why}");
            if status_line::is_watched() {
                let why = why.escape_debug();
                status_line::print_above(&format!("lithops: {workers} workers wait: {why}\n"));
            }
        }
        self.tell(|| JobEvent::Waiting { job: self.id, workers, why: why.to_owned() });
    }

    /// Adds the output of calls, which may still run: further output of a call replaces the earlier one, and
    /// begins with it. `worker` is the number of the worker that ran them; `None` where that is not known.
    pub fn add_logs(&self, logs: Logs, worker: Option<u64>) {
        if let Some(shown) = &self.shown_logs {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let lines: String = logs.entries.iter().map(|entry| shown.next(entry, worker)).collect();
            status_line::print_above(&lines);
        }
        let mut inner = self.lock();
        logs.entries.into_iter().for_each(|entry| inner.outcomes.insert_log(entry));
    }

    /// Shows what is left of the output of calls that have got their outcome.
    pub(super) fn show_rest_of_logs(&self) {
        let Some(shown) = &self.shown_logs else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<u64> = shown.open().collect();
        let lines: String = self.read(|outcomes| {
            let ended = open.into_iter().filter(|call| outcomes.done().contains(*call));
            ended.map(|call| shown.rest(call, outcomes.log(call))).collect()
        });
        status_line::print_above(&lines);
    }
}
