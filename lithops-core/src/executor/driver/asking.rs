//! Asking for workers where they take long to come, and some may never: no call is bound to a worker that is not there.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Ended, run::Driver};
use crate::{
    compute::{CloseMode, Granularity, InvokeRequest},
    executor::job::interrupt,
    tracker::Tracking,
};

/// How often the platform is asked what workers wait for.
pub(super) const LOOK: Duration = Duration::from_secs(1);

impl<T: Tracking> Driver<T> {
    /// Whether workers are asked for before they are given calls. Workers that are fed and do not start at once are: those
    /// that are there share the calls, and those that come later take part in what is left.
    pub(super) fn asks_first(&self) -> bool {
        let capabilities = self.backend.capabilities();
        capabilities.feed && capabilities.granularity != Granularity::Local
    }

    /// Asks for as many workers as the calls that wait are chunks.
    pub(super) fn ask_for_workers(&mut self, again: bool) {
        let chunk = self.chunk_for_new().max(1);
        let waiting = self.ready_calls as u64 + u64::from(again);
        while (self.starting.len() as u64).saturating_mul(chunk) < waiting && self.ask_for_worker() {}
    }

    /// Asks for one more worker; `false` when no more may live.
    pub(super) fn ask_for_worker(&mut self) -> bool {
        let Some(number) = self.start_worker(false) else { return false };
        if self.starting.is_empty() {
            self.next_waiting = Instant::now() + LOOK;
        }
        let mut request = InvokeRequest::new(Arc::clone(&self.spec), Vec::new());
        request.memory = self.memory();
        let backend = Arc::clone(&self.backend);
        self.starting.push(Box::pin(async move { (number, backend.invoke(request).await) }));
        true
    }

    /// When the platform is asked next what workers wait for.
    pub(super) fn waiting_look(&self) -> Option<Instant> {
        (self.asks_first() && !self.starting.is_empty()).then_some(self.next_waiting)
    }

    /// Says what workers wait for, once for each reason.
    pub(super) fn look_at_waiting(&mut self) {
        if self.waiting_look().is_some_and(|look| look <= Instant::now()) {
            self.next_waiting = Instant::now() + LOOK;
            let waiting = self.backend.awaited();
            self.say_waiting(
                waiting.iter().map(|waiting| waiting.count).sum(),
                &waiting.iter().map(|waiting| waiting.why.as_str()).collect::<Vec<_>>().join("; "),
            );
        } else if self.starting.is_empty() && !self.waits_for.is_empty() {
            self.say_waiting(0, "");
        }
    }

    fn say_waiting(&mut self, workers: usize, why: &str) {
        // No more workers of this job wait than were asked for.
        let workers = workers.min(self.starting.len());
        self.job.count(|counts| counts.waiting_workers = workers as u64);
        if why != self.waits_for {
            why.clone_into(&mut self.waits_for);
            self.job.say_waiting(workers, why);
        }
    }

    /// Lets the platform start no more workers, when the job ends before those have come that it has asked for; after a job
    /// that was interrupted or has failed, workers that no other job needs are ended.
    pub(super) fn withdraw(&mut self, ended: Ended) {
        let is_finished = ended == Ended::Finished;
        if !self.asks_first() || is_finished && self.starting.is_empty() {
            return;
        }
        self.starting.clear();
        let backend = Arc::clone(&self.backend);
        interrupt::end(async move {
            let withdrawn = match is_finished {
                true => backend.withdraw().await,
                false => backend.close(CloseMode::Drain).await,
            };
            if let Err(error) = withdrawn {
                tracing::warn!(%error, "workers that are not needed any more may still be started");
            }
        });
    }
}
