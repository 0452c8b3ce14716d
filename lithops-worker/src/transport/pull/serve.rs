//! How a worker of a fleet serves: its pool, and the polling for jobs that feeds the pool.

use std::os::unix::net::UnixStream as StdStream;

use lithops_core::{
    error::Result,
    protocol::{Frame, FrameKind, FrameReader, Incoming, Launch, Setup, channel},
};

use tokio::sync::watch;

use super::{
    leave::{Leave, Leaving, leave, on_sigterm},
    lifeline::{self, Lifeline},
    poll_jobs::poll_jobs,
    to_pool::ToPool,
};
use crate::pool::{self, Pool};

/// Serves the jobs of a fleet until there have been none for too long, or the other end of the lifeline is gone.
pub(in crate::transport) async fn pull(setup: Setup, launch: Launch, lifeline: Lifeline) -> Result<()> {
    let Lifeline { frames: mut orders, socket } = lifeline;
    lifeline::watch(socket)?;
    let (leaving, _) = watch::channel(Leave::Stays);
    tokio::select! {
        served = serve(setup, &launch, &leaving) => served,
        gone = gone(&mut orders, &leaving) => gone,
    }
}

/// Serves the jobs of a fleet on a machine of its own: until there have been none for too long, the client is gone, or the
/// platform tells the worker to leave.
pub(super) async fn by_itself(setup: Setup, launch: &Launch) -> Result<()> {
    let (leaving, _) = watch::channel(Leave::Stays);
    tokio::select! {
        served = serve(setup, launch, &leaving) => served,
        failed = on_sigterm(&leaving, launch.grace) => failed,
    }
}

/// The pool of this process, and the polling for jobs that feeds it.
async fn serve(mut setup: Setup, launch: &Launch, leaving: &Leaving) -> Result<()> {
    let (ours, theirs) = StdStream::pair()?;
    let (frames, outbox) = channel(ours)?;
    let (commands, reports) = channel(theirs)?;
    if let Some(secrets) = setup.secrets.take() {
        // The sub-workers open the storage too, and get the secrets from the pool.
        let mut frame = Vec::new();
        Frame::write(FrameKind::Secrets, &secrets, &mut frame)?;
        outbox.send(&frame);
        lithops_core::storage::give(&secrets.storage, secrets.secrets.iter().cloned().collect());
    }
    let pool = Pool::new(setup, reports);
    tokio::select! {
        ended = pool::run(pool, commands) => ended,
        ended = poll_jobs(launch, ToPool { outbox, frames }, leaving) => ended,
    }
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
