//! [`Leave`]: whether a worker of a fleet stays, and until when its calls may run.

use lithops_core::error::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};

/// Whether a worker of a fleet stays. It may only come to leave sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// The worker stays until it has been without a job for too long.
    Stays,
    /// The worker ends when no job is left for it.
    WhenIdle,
    /// The worker claims nothing more, and its calls may run until this time.
    By(Instant),
}

/// Tells a worker to leave. Each part of the worker that waits has a receiver.
pub(super) type Leaving = watch::Sender<Leave>;

/// Lets the worker leave, unless it leaves sooner already.
pub(super) fn leave(leaving: &Leaving, how: Leave) {
    leaving.send_if_modified(|now| {
        let is_sooner = match (&*now, &how) {
            (_, Leave::Stays) | (Leave::By(_), Leave::WhenIdle) => false,
            (Leave::By(before), Leave::By(by)) => by < before,
            (before, how) => before != how,
        };
        if is_sooner {
            *now = how;
        }
        is_sooner
    });
}

/// Tells the worker to leave with each `SIGTERM`: after the first, calls may run on for `grace`, and after the second
/// they are stopped. Returns only when signals cannot be received.
pub(super) async fn on_sigterm(leaving: &Leaving, grace: std::time::Duration) -> Result<()> {
    let mut signals = signal(SignalKind::terminate())?;
    signals.recv().await;
    leave(leaving, Leave::By(Instant::now() + grace));
    loop {
        signals.recv().await;
        leave(leaving, Leave::By(Instant::now()));
    }
}
