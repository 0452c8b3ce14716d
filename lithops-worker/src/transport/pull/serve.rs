//! How a worker of a fleet serves: it polls for jobs until it is not wanted any more.

use lithops_core::{
    error::Result,
    protocol::{FrameKind, FrameReader, Incoming, Launch, Setup},
};
use tokio::sync::watch;

use super::{
    leave::{Leave, Leaving, leave, on_sigterm},
    lifeline::{self, Lifeline},
    poll_jobs::poll_jobs,
    running_pool::RunningPool,
};

/// Serves the jobs of a fleet until there have been none for too long, or the other end of the lifeline is gone.
pub(in crate::transport) async fn pull(setup: Setup, launch: Launch, lifeline: Lifeline) -> Result<()> {
    let Lifeline { frames: mut orders, socket } = lifeline;
    lifeline::watch(socket)?;
    let (leaving, _) = watch::channel(Leave::Stays);
    // The launcher has said what the sub-workers execute.
    let pool = RunningPool::new(setup, true);
    tokio::select! {
        served = poll_jobs(&launch, pool, &leaving) => served,
        gone = gone(&mut orders, &leaving) => gone,
        failed = on_sigterm(&leaving, launch.grace) => failed,
    }
}

/// Serves the jobs of a fleet on a machine of its own: until there have been none for too long, the client is gone, or the
/// platform tells the worker to leave. `is_program` says whether this program has functions of its own. Returns whether it
/// was the platform.
pub(super) async fn by_itself(setup: Setup, launch: &Launch, is_program: bool) -> Result<bool> {
    let (leaving, told) = watch::channel(Leave::Stays);
    let pool = RunningPool::new(setup, is_program);
    tokio::select! {
        served = poll_jobs(launch, pool, &leaving) => served,
        failed = on_sigterm(&leaving, launch.grace) => failed,
    }?;
    Ok(matches!(*told.borrow(), Leave::By(_)))
}

/// Waits until the other end of the lifeline is closed. The only order that comes over it is that the worker is to
/// leave when it has finished the job it is at.
async fn gone(lifeline: &mut FrameReader<Incoming>, leaving: &Leaving) -> Result<()> {
    while let Some(frame) = lifeline.next().await? {
        if frame.kind == FrameKind::Leave {
            leave(leaving, Leave::WhenIdle);
        }
    }
    Ok(())
}
