//! The failed calls of a job, and how they are run again.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::job_state::JobState;
use crate::{
    error::{CallErrorKind, Result},
    executor::job::Repeat,
    protocol::Tag,
};

impl JobState {
    /// Sets how the job's failed calls are run again.
    pub(crate) fn set_repeat(&self, repeat: Repeat<Self>) {
        *self.repeat() = repeat;
    }

    /// How the job's failed calls are run again.
    pub(crate) fn repeat(&self) -> MutexGuard<'_, Repeat<Self>> {
        self.repeat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the job's end, and runs its failed calls again, as a new job. Calls that never ran are not
    /// among them.
    pub(crate) async fn retry_failed(&self) -> Result<Arc<Self>> {
        self.wait_for(|_, progress| progress.is_finished()).await?;
        let mut failed = self.failed();
        failed.retain(|call| self.has_run(*call));
        let sources = self.sources.get().cloned().unwrap_or_default();
        let (start, failed) = self.repeat().prepare(failed, sources)?;
        start(failed).await
    }

    /// Whether a failed call was not just cancelled.
    fn has_run(&self, call: u64) -> bool {
        let Some(report) = self.report_of(call) else { return false };
        self.read(|outcomes| *self.call_error(outcomes, &report, 0).kind() != CallErrorKind::Cancelled)
    }

    /// The numbers of the calls that have failed so far. Announced calls whose inputs were never produced are
    /// not among them.
    pub(crate) fn failed(&self) -> Vec<u64> {
        self.read(|outcomes| {
            let calls = outcomes.reports().flat_map(|report| {
                let failed = (0..report.len()).filter(|index| report.tag(*index) != Tag::Ok);
                failed.map(|index| report.header.run.first + index as u64)
            });
            calls.collect()
        })
    }
}
