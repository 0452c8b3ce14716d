//! [`JobCleanup`]: what is stored of a job, removed once the job is finished and its last handle is gone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::background::BackgroundTasks;
use crate::{fork, journal::Journal, runtime};

/// What is stored of a job. Whoever drops the last reference to one that may go removes it.
#[derive(Debug)]
pub struct JobCleanup {
    journal: Journal,
    may_go: AtomicBool,
    stays: AtomicBool,
    pending: Arc<BackgroundTasks>,
}

impl JobCleanup {
    pub(crate) fn new(journal: Journal, pending: Arc<BackgroundTasks>) -> Self {
        Self { journal, may_go: AtomicBool::new(false), stays: AtomicBool::new(false), pending }
    }

    /// The job is finished: nothing of it is needed beyond its handles.
    pub(crate) fn may_go(&self) {
        self.may_go.store(true, Ordering::Release);
    }

    /// Somebody else will want it.
    pub(crate) fn stays(&self) {
        self.stays.store(true, Ordering::Release);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.stays.load(Ordering::Acquire)
    }
}

impl Drop for JobCleanup {
    fn drop(&mut self) {
        if !*self.may_go.get_mut() || *self.stays.get_mut() || fork::is_copy() {
            return;
        }
        let (journal, pending) = (self.journal.clone(), Arc::clone(&self.pending));
        pending.begin();
        runtime::driver().spawn(async move {
            let job = journal.job();
            let removed = match journal.is_read().await {
                // The last to read it removes it.
                Ok(true) => Ok(()),
                Ok(false) => journal.delete().await,
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(%job, %error, "cannot remove what is stored of a finished job: `lithops clean` does");
            }
            pending.end();
        });
    }
}
