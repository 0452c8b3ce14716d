//! [`BackgroundTasks`]: what still goes on in the storage after a job's last result, and an executor waits for when it goes.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// An executor that goes waits this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks whether a finished job has let go meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// What goes on in the storage when nobody waits for it: what is left of jobs is removed, and what they took is noted
/// for later ones.
#[derive(Default)]
pub(crate) struct BackgroundTasks {
    going_on: Mutex<usize>,
    ended: Condvar,
    /// Jobs that a task follows, by a number of its own: once they are finished it has only little left to do.
    followed: Mutex<HashMap<u64, Weak<dyn MayFinish>>>,
    next: AtomicU64,
}

impl BackgroundTasks {
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
    pub(crate) fn follow<J: MayFinish>(self: &Arc<Self>, job: &Arc<J>) -> Followed {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let job: Weak<J> = Arc::downgrade(job);
        followed.insert(number, job);
        Followed { pending: Arc::clone(self), number }
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

    /// The same, as a task.
    pub(crate) async fn ended(&self) {
        let until = Instant::now() + PATIENCE;
        while (self.is_finishing() || self.is_going_on()) && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
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
        followed.iter().any(|job| job.is_finished())
    }
}

/// A job as its background tasks see it.
pub(crate) trait MayFinish: Send + Sync + 'static {
    /// Whether every call has an outcome, or the job was given up.
    fn is_finished(&self) -> bool;
}

/// A task follows a job as long as this is there.
#[derive(Debug)]
pub(crate) struct Followed {
    pending: Arc<BackgroundTasks>,
    number: u64,
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut followed = self.pending.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.remove(&self.number);
        drop(followed);
        self.pending.ended.notify_all();
    }
}

impl fmt::Debug for BackgroundTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundTasks").finish_non_exhaustive()
    }
}
