//! How a worker of a fleet serves: its pool, and the polling for jobs that feeds the pool.

use std::{
    os::unix::net::UnixStream as StdStream,
    sync::atomic::{AtomicBool, Ordering},
};

use lithops_core::{
    error::Result,
    protocol::{Frame, FrameKind, FrameReader, Incoming, Launch, Setup, channel},
};

use super::{
    lifeline::{self, Lifeline},
    poll_jobs::poll_jobs,
    to_pool::ToPool,
};
use crate::pool::{self, Pool};

/// Serves the jobs of a fleet until there have been none for too long, or the other end of the lifeline is gone.
pub(in crate::transport) async fn pull(setup: Setup, launch: Launch, lifeline: Lifeline) -> Result<()> {
    let Lifeline { frames: mut orders, socket } = lifeline;
    lifeline::watch(socket)?;
    let (ours, theirs) = StdStream::pair()?;
    let (frames, outbox) = channel(ours)?;
    let (commands, reports) = channel(theirs)?;
    if let Some(secrets) = &launch.secrets {
        // The sub-workers open the storage too, and get the secrets from the pool.
        let mut frame = Vec::new();
        Frame::write(FrameKind::Secrets, secrets, &mut frame)?;
        outbox.send(&frame);
        lithops_core::storage::give(&secrets.storage, secrets.secrets.iter().cloned().collect());
    }
    let pool = Pool::new(setup, reports);
    let leaves = AtomicBool::new(false);
    tokio::select! {
        ended = pool::run(pool, commands) => ended,
        ended = poll_jobs(&launch, ToPool { outbox, frames }, &leaves) => ended,
        gone = gone(&mut orders, &leaves) => gone,
    }
}

/// Waits until the other end of the lifeline is closed. The only order that comes over it is that the worker is to
/// leave when it has finished the job it is at.
async fn gone(lifeline: &mut FrameReader<Incoming>, leaves: &AtomicBool) -> Result<()> {
    while let Some(frame) = lifeline.next().await? {
        leaves.fetch_or(frame.kind == FrameKind::Leave, Ordering::Relaxed);
    }
    Ok(())
}
