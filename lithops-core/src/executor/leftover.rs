//! [`Leftover`]: what is stored of a job, removed once the job is finished and its last handle is gone.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::runtime;
use crate::{job::JobState, journal::Journal};

/// An executor that goes waits this long for what is being removed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks whether a finished job has let go meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// What is stored of a job. Whoever drops the last reference to one that may go removes it.
#[derive(Debug)]
pub struct Leftover {
    journal: Journal,
    may_go: AtomicBool,
    stays: AtomicBool,
    removals: Arc<Removals>,
}

impl Leftover {
    pub(crate) fn new(journal: Journal, removals: Arc<Removals>) -> Self {
        Self { journal, may_go: AtomicBool::new(false), stays: AtomicBool::new(false), removals }
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

impl Drop for Leftover {
    fn drop(&mut self) {
        if !*self.may_go.get_mut() || *self.stays.get_mut() {
            return;
        }
        let (journal, removals) = (self.journal.clone(), Arc::clone(&self.removals));
        removals.begin();
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
            removals.end();
        });
    }
}

/// What is going on in the storage when nobody waits for it: removals, and those that are about to begin; what is
/// noted for later jobs.
#[derive(Default)]
pub(crate) struct Removals {
    going_on: Mutex<usize>,
    ended: Condvar,
    /// Jobs that a task follows, by a number of its own: once they are finished it has only little left to do.
    followed: Mutex<HashMap<u64, Weak<JobState>>>,
    next: AtomicU64,
}

impl Removals {
    /// Something is about to be done in the storage.
    pub(crate) fn begin(&self) {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// It has been done.
    pub(crate) fn end(&self) {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.ended.notify_all();
    }

    /// A task begins to follow a job. It drops what it gets once it holds nothing of the job any more.
    pub(crate) fn follow(self: &Arc<Self>, job: &Arc<JobState>) -> Followed {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.insert(number, Arc::downgrade(job));
        Followed { removals: Arc::clone(self), number }
    }

    /// Waits until all have ended, but not for ever.
    pub(crate) fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        // After that long `lithops clean` has to do it.
        while (self.is_finishing() || self.is_going_on()) && Instant::now() < until {
            let going_on = self.going_on.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.ended.wait_timeout(going_on, LOOK));
        }
    }

    fn is_going_on(&self) -> bool {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }

    fn is_finishing(&self) -> bool {
        let followed: Vec<_> = {
            let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            followed.values().filter_map(Weak::upgrade).collect()
        };
        // Dropped without a lock: the last reference removes what is stored.
        followed.iter().any(|job| job.progress().is_finished())
    }
}

/// A task follows a job as long as this is there.
#[derive(Debug)]
pub(crate) struct Followed {
    removals: Arc<Removals>,
    number: u64,
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut followed = self.removals.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.remove(&self.number);
        drop(followed);
        self.removals.ended.notify_all();
    }
}

impl fmt::Debug for Removals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removals").finish_non_exhaustive()
    }
}
