//! [`BackgroundTasks`]: storage work that goes on after a job's last result; an executor waits for it when
//! dropped.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// An executor that is dropped waits at most this long for the work. `lithops clean` does what is left then.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the wait checks again: a followed job may finish without a signal.
const LOOK: Duration = Duration::from_millis(5);

/// Storage work that no caller waits for: stored data of finished jobs is removed, and durations are recorded
/// for later jobs.
#[derive(Default)]
pub(crate) struct BackgroundTasks {
    going_on: Mutex<usize>,
    ended: Condvar,
    /// Jobs that a task follows, by a number of the task. Once such a job is finished, its task has little
    /// left to do, so that waiting for the task is worth it.
    followed: Mutex<HashMap<u64, Weak<dyn MayFinish>>>,
    next: AtomicU64,
}

impl BackgroundTasks {
    /// Notes that a piece of storage work begins.
    pub(crate) fn begin(&self) {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// Notes that a piece of storage work has ended.
    pub(crate) fn end(&self) {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.ended.notify_all();
    }

    /// Notes that a task follows a job. The task drops the returned guard once it holds nothing of the job
    /// any more.
    pub(crate) fn follow<J: MayFinish>(self: &Arc<Self>, job: &Arc<J>) -> Followed {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let job: Weak<J> = Arc::downgrade(job);
        followed.insert(number, job);
        Followed { pending: Arc::clone(self), number }
    }

    /// Blocks the thread until all work has ended, or 10 s have passed.
    pub(crate) fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        // Work that takes longer is left to `lithops clean`.
        while (self.is_finishing() || self.is_going_on()) && Instant::now() < until {
            let going_on = self.going_on.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.ended.wait_timeout(going_on, LOOK));
        }
    }

    /// Waits until all work has ended, or 10 s have passed, without blocking the thread.
    pub(crate) async fn ended(&self) {
        let until = Instant::now() + PATIENCE;
        while (self.is_finishing() || self.is_going_on()) && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_going_on(&self) -> bool {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }

    /// Whether the task of a job that is finished still has something to do.
    pub(crate) fn is_finishing(&self) -> bool {
        let followed: Vec<_> = {
            let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            followed.values().filter_map(Weak::upgrade).collect()
        };
        // The references are dropped outside of the lock: dropping the last one starts a removal, which
        // locks.
        followed.iter().any(|job| job.is_finished())
    }
}

/// The part of a job that its background tasks need.
pub(crate) trait MayFinish: Send + Sync + 'static {
    /// Whether every call has an outcome.
    fn is_finished(&self) -> bool;
}

/// A guard: while it exists, a task follows a job.
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
