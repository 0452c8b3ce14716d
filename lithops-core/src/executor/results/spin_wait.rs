//! Waiting for a single short call: to spin for a moment costs less time than to sleep and be woken.

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

/// The longest spin. A call that takes longer is waited for asleep: waking up costs little in comparison.
const SHORT: Duration = Duration::from_micros(400);
/// A spin shorter than this is not worth it.
const LEAST: Duration = Duration::from_micros(10);

/// How long to spin for the next call, in nanoseconds: `SHORT` after a short call, and half of the value
/// before after each spin in vain, so that programs with long calls waste no CPU time.
static PATIENCE: AtomicU64 = AtomicU64::new(SHORT.as_nanos() as u64);

/// Waits for `ended`. If the job has a single call and no other job is at work, the first moment is a spin.
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

/// Whether this call is the only work of the program, so that a spin takes the CPU from no other task.
fn is_alone(job: &JobState) -> bool {
    static CPUS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *CPUS > 1 && !job.is_over() && interrupt::at_work() == 1 && job.progress().known == 1
}

/// Spins until the job's driver has ended, or the spin time is used up.
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
