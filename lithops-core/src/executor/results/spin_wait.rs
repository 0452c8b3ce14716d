//! Waiting for a single short call: a moment awake costs less than to sleep and to be woken.

use std::{
    future::Future,
    hint,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::executor::job::{JobState, interrupt};

/// A call that takes longer is slept for.
const SHORT: Duration = Duration::from_micros(400);
/// A shorter moment is none.
const LEAST: Duration = Duration::from_micros(10);

/// For how long the next call is waited for awake, in nanoseconds: `SHORT` while calls are short, and ever less while
/// they are not.
static PATIENCE: AtomicU64 = AtomicU64::new(SHORT.as_nanos() as u64);

/// Waits for `ended`, a moment of it awake where the job is a single short call and no other job goes on.
pub(crate) async fn wait<T>(job: &JobState, ended: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    if is_alone(job) {
        stay_awake(job, begun);
    }
    let ended = ended.await;
    if begun.elapsed() < SHORT {
        PATIENCE.store(nanos(SHORT), Ordering::Relaxed);
    }
    ended
}

/// Whether nothing else needs this CPU, as far as is known.
fn is_alone(job: &JobState) -> bool {
    static CPUS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *CPUS > 1 && !job.is_over() && interrupt::at_work() == 1 && job.progress().known == 1
}

fn stay_awake(job: &JobState, begun: Instant) {
    let patience = Duration::from_nanos(PATIENCE.load(Ordering::Relaxed));
    if patience < LEAST {
        return;
    }
    while begun.elapsed() < patience {
        for _ in 0..32 {
            if job.is_over() {
                return;
            }
            hint::spin_loop();
        }
    }
    PATIENCE.store(nanos(patience / 2), Ordering::Relaxed);
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
