//! How a worker of a fleet serves: its pool, and the search that feeds it.

use std::{
    os::unix::net::UnixStream as StdStream,
    sync::atomic::{AtomicBool, Ordering},
};

use lithops_core::{
    error::Result,
    protocol::{Frame, FrameKind, FrameReader, Incoming, Launch, Outbox, Setup, channel},
};

use super::{lifeline, search::search};
use crate::pool::{self, Pool};

/// The way to the pool of this process.
#[derive(Debug)]
pub(in crate::door) struct ToPool {
    pub(in crate::door) outbox: Outbox,
    pub(in crate::door) frames: FrameReader<Incoming>,
}

/// The way to whoever has launched this worker.
#[derive(Debug)]
pub(in crate::door) struct Lifeline {
    /// All that comes over it.
    pub(in crate::door) frames: FrameReader<Incoming>,
    /// The socket itself.
    pub(in crate::door) socket: StdStream,
}

/// Serves the jobs of a fleet until there are none for too long, or the other end of the lifeline is gone.
pub(in crate::door) async fn pull(setup: Setup, launch: Launch, lifeline: Lifeline) -> Result<()> {
    let Lifeline { frames: mut orders, socket } = lifeline;
    lifeline::watch(socket)?;
    let (ours, theirs) = StdStream::pair()?;
    let (frames, outbox) = channel(ours)?;
    let (commands, reports) = channel(theirs)?;
    if let Some(secrets) = &launch.secrets {
        let mut frame = Vec::new();
        Frame::write(FrameKind::Secrets, secrets, &mut frame)?;
        outbox.send(&frame);
        lithops_core::storage::give(&secrets.storage, secrets.secrets.iter().cloned().collect());
    }
    let pool = Pool::new(setup, reports);
    let leaves = AtomicBool::new(false);
    tokio::select! {
        ended = pool::run(pool, commands) => ended,
        ended = search(&launch, ToPool { outbox, frames }, &leaves) => ended,
        gone = gone(&mut orders, &leaves) => gone,
    }
}

/// Waits until nobody holds the other end any more; all that may come from there is that the worker is to leave.
async fn gone(lifeline: &mut FrameReader<Incoming>, leaves: &AtomicBool) -> Result<()> {
    while let Some(frame) = lifeline.next().await? {
        leaves.fetch_or(frame.kind == FrameKind::Leave, Ordering::Relaxed);
    }
    Ok(())
}
