//! [`JobCleanup`]: removes the stored data of a job once the job is finished and its last handle is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::background::BackgroundTasks;
use crate::{fork, journal::Journal, runtime};

/// The stored data of a job. Dropping the last reference removes the data, if the job is finished and was not
/// detached.
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

    /// The job is finished: its stored data may be removed with the last handle.
    pub(crate) fn may_go(&self) {
        self.may_go.store(true, Ordering::Release);
    }

    /// Keeps the stored data when the last handle is dropped: another process will need it.
    pub(crate) fn stays(&self) {
        self.stays.store(true, Ordering::Release);
    }

    /// Whether the stored data is kept when the last handle is dropped.
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
                // Another client reads the job, and will remove the data when it has finished reading. If it has
                // just done so, it may not have seen the mark.
                Ok(true) => match journal.put_removable().await {
                    Ok(()) => journal.remove_if_left().await,
                    Err(error) => Err(error),
                },
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
