//! Ending calls, workers and the job.

use std::sync::Arc;

use super::run::Driver;
use crate::{
    compute::{CancelLevel, FeedCommand, InvocationId},
    error::{CallError, CallErrorKind},
    executor::job::{JobEvent, interrupt},
    protocol::Cancel,
    tracker::Tracking,
};

impl<T: Tracking> Driver<T> {
    /// Ends the job: what has no outcome gets `Cancelled`, what runs is ended.
    pub(super) fn cancel(&mut self) {
        let known = self.job.progress().known;
        self.stop_inputs();
        self.job.set_known(known, true);
        self.tracker.set_total(known);
        let open = self.tracker.cancel(known);
        let on = self.tell_what_runs_on();
        self.abandon();
        let words = cancelled(&format!("the job was cancelled{on}"));
        self.commit_failed(open, &words);
    }

    /// Ends calls: those that have no outcome get `Cancelled`; those that run are ended where that can be done.
    pub(super) fn cancel_calls(&mut self, first: u64, end: u64) {
        self.settle(first, end, &cancelled("the call was cancelled"));
        if self.can_end_calls() {
            self.cancelled.push((first, end));
            let cancel = Cancel { job: self.spec.job, calls: vec![(first, end)] };
            self.workers.feeds().for_each(|feed| feed.send(FeedCommand::CancelCalls(cancel.clone())));
            // What a worker had not begun it drops without a word: there is room for other calls.
            self.workers.reported_by_any((first, end));
        }
    }

    /// What cannot be ended is said to go on, in words for people too.
    fn tell_what_runs_on(&self) -> String {
        let (capabilities, workers) = (self.backend.capabilities(), self.workers.len());
        if capabilities.cancel != CancelLevel::None || workers == 0 {
            return String::new();
        }
        let at_most = capabilities.timeout_limit;
        self.job.tell(|| JobEvent::RunsOn { job: self.job.id(), workers, at_most });
        let most = at_most.map_or_else(String::new, |limit| format!(", for {limit:?} at most"));
        format!("; what its {workers} workers have begun cannot be ended and runs on{most}")
    }

    /// Ends what runs.
    pub(super) fn abandon(&self) {
        let cancel = Cancel { job: self.spec.job, calls: vec![(0, u64::MAX)] };
        self.workers.feeds().for_each(|feed| feed.send(FeedCommand::CancelCalls(cancel.clone())));
        if !self.backend.capabilities().feed {
            self.workers.invocations().cloned().for_each(|id| self.end_invocation(id));
        }
    }

    /// Tells the workers that nothing more will come of this job.
    pub(super) fn release(self) {
        self.workers.feeds().for_each(|feed| feed.send(FeedCommand::Drain));
    }

    /// Ends a worker whose reports do not count, whatever else it serves.
    pub(super) fn discard(&self, id: InvocationId) {
        let backend = Arc::clone(&self.backend);
        interrupt::end(async move {
            // As below.
            let _ = backend.discard(&id).await;
        });
    }

    pub(super) fn end_invocation(&self, id: InvocationId) {
        let backend = Arc::clone(&self.backend);
        interrupt::end(async move {
            // Its calls are no longer waited for, so that it does not matter whether it could be ended.
            let _ = backend.cancel(&id).await;
        });
    }
}

fn cancelled(message: &str) -> Vec<u8> {
    CallError::new(CallErrorKind::Cancelled, message).encode()
}
