//! Ending calls, workers and the whole job.

use std::{mem, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::timeout;

use super::{payload_store::PayloadStore, run::Driver};
use crate::{
    compute::{CancelLevel, FeedCommand, InvocationId},
    error::{CallError, CallErrorKind},
    executor::job::{JobEvent, interrupt},
    protocol::Cancel,
    tracker::Tracking,
};

/// Workers that cannot be told to end look this often, at least, for the mark that says so.
const LOOK_FOR_STOP: Duration = Duration::from_secs(15);

impl<T: Tracking> Driver<T> {
    /// Cancels the job: calls without an outcome get `Cancelled`, and running workers are ended where the
    /// backend can do that.
    pub(super) fn cancel(&mut self) {
        let known = self.job.progress().known;
        self.stop_inputs();
        self.job.set_known(known, true);
        self.tracker.set_total(known);
        let open = self.tracker.cancel(known);
        let on = self.tell_what_runs_on();
        self.abandon(true);
        let words = cancelled(&format!("the job was cancelled{on}"));
        self.commit_failed(open, &words);
    }

    /// Cancels calls `first..end`: calls without an outcome get `Cancelled`, and running calls are ended
    /// where the backend can do that.
    pub(super) fn cancel_calls(&mut self, first: u64, end: u64) {
        self.settle(first, end, &cancelled("the call was cancelled"));
        if self.can_end_calls() {
            self.cancelled.push((first, end));
            let cancel = Cancel { job: self.spec.job, calls: vec![(first, end)] };
            self.workers.feeds().for_each(|feed| feed.send(FeedCommand::CancelCalls(cancel.clone())));
            // Workers do not report cancelled calls that they had not begun, so the room is freed here.
            self.workers.reported_by_any((first, end));
        }
    }

    /// Tells the observers about workers that cannot be ended and run on. Returns the same as text for the
    /// error message; the text is empty if nothing runs on.
    fn tell_what_runs_on(&self) -> String {
        let (capabilities, workers) = (self.backend.capabilities(), self.workers.len());
        if capabilities.cancel != CancelLevel::None || workers == 0 {
            return String::new();
        }
        let limit = capabilities.timeout_limit;
        let looks = self.payload_store.as_ref().is_some_and(PayloadStore::is_shared);
        let at_most =
            if looks { Some(limit.map_or(LOOK_FOR_STOP, |limit| limit.min(LOOK_FOR_STOP))) } else { limit };
        self.job.tell(|| JobEvent::RunsOn { job: self.job.id(), workers, at_most });
        let most = at_most.map_or_else(String::new, |limit| format!(", for {limit:?} at most"));
        format!("; what its {workers} workers have begun cannot be ended at once and runs on{most}")
    }

    /// Ends all running calls of the job: through the feeds, or by ending the invocations on backends without
    /// feeds. Where the platform cannot end them, `is_unwanted` says whether workers are told by a mark that no client
    /// wants the job's calls any more.
    pub(super) fn abandon(&mut self, is_unwanted: bool) {
        let cancel = Cancel { job: self.spec.job, calls: vec![(0, u64::MAX)] };
        self.workers.feeds().for_each(|feed| feed.send(FeedCommand::CancelCalls(cancel.clone())));
        if is_unwanted && self.put_stop() {
            return;
        }
        if !self.backend.capabilities().feed {
            self.workers.invocations().cloned().for_each(|id| self.end_invocation(id));
        }
    }

    /// Where the platform cannot end what runs, puts a mark that workers look for while calls run. Their invocations go on,
    /// because they tell when all have ended: then the mark is removed, or when the platform must have ended them. A program
    /// that ends before leaves it to `lithops clean`. Returns whether there is such a mark.
    fn put_stop(&mut self) -> bool {
        let capabilities = self.backend.capabilities();
        if capabilities.cancel != CancelLevel::None || self.workers.len() == 0 {
            return false;
        }
        let Some(payload_store) = self.payload_store.clone().filter(PayloadStore::is_shared) else {
            return false;
        };
        let mut events = mem::take(&mut self.events);
        let limit = capabilities.timeout_limit.unwrap_or(LOOK_FOR_STOP) + LOOK_FOR_STOP;
        let is_durable = self.commit_buffer.is_some();
        let stop = payload_store.put_stop(is_durable);
        interrupt::end(async move {
            let Some(stop) = stop.await else { return };
            tokio::spawn(async move {
                // Their outcomes are not wanted any more, and only that they have ended counts.
                let _ = timeout(limit, async { while events.next().await.is_some() {} }).await;
                stop.remove().await;
            });
        });
        true
    }

    /// Tells the workers that this job sends no further calls.
    pub(super) fn release(self) {
        self.workers.feeds().for_each(|feed| feed.send(FeedCommand::Drain));
    }

    /// Ends a worker that broke the protocol, even if it also serves other jobs.
    pub(super) fn discard(&self, id: InvocationId) {
        let backend = Arc::clone(&self.backend);
        interrupt::end(async move {
            // The job no longer depends on this worker, so that a failure to end it does not matter.
            let _ = backend.discard(&id).await;
        });
    }

    /// Ends an invocation in the background. An interruption of the program waits for that.
    pub(super) fn end_invocation(&self, id: InvocationId) {
        let backend = Arc::clone(&self.backend);
        interrupt::end(async move {
            // The job no longer waits for its calls, so that a failure to end the invocation does not matter.
            let _ = backend.cancel(&id).await;
        });
    }
}

fn cancelled(message: &str) -> Vec<u8> {
    CallError::new(CallErrorKind::Cancelled, message).encode()
}
