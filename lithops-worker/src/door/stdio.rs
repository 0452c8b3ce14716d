//! The `stdio` door: the client is at the other end of a socket, as on localhost.

use std::{os::unix::net::UnixStream, sync::atomic::Ordering};

use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{self, FrameKind, Hello, Role, Setup, frame_header},
};

use super::pull::{Lifeline, pull};
use crate::{
    entry::complain,
    pool::{self, Pool},
};

/// The exit code of a worker that could not serve its client, and said why on stderr.
const EXIT_REFUSED: i32 = 88;

/// The code of one that could not go on.
const EXIT_LOST: i32 = 1;

/// Serves the client at the other end of `channel` until it goes; returns the process's exit code.
#[must_use]
pub fn stdio(channel: UnixStream) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(Error::from).and_then(|runtime| {
        // As a task, because what wakes the outermost future interrupts the wait for events too.
        let served = runtime.block_on(runtime.spawn(serve(channel)));
        served.map_err(|error| Error::new(ErrorKind::Unexpected, format!("the worker panicked: {error}")))?
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            complain(&error.to_string());
            // What may go better elsewhere, or later, is the loss of this worker, and no verdict on the next.
            if error.retry() == Retry::Later { EXIT_LOST } else { EXIT_REFUSED }
        }
    }
}

/// Serves the client at the other end of `channel` until it goes.
pub(super) async fn serve(channel: UnixStream) -> Result<()> {
    let socket = channel.try_clone()?;
    let (mut frames, outbox) = protocol::channel(channel)?;

    // The hello goes out first and in any case, so that the client can tell what is wrong with the versions.
    let mut hello = Vec::new();
    Hello::of(Role::Worker).write(&mut hello)?;
    outbox.send(&hello);
    let Some(frame) = frames.next().await? else { return Ok(()) };
    Hello::read(&frame)?;
    if frames.take_arrived() > 0 {
        outbox.sharing().store(true, Ordering::Relaxed);
        outbox.send(&frame_header(FrameKind::Shares, 0));
    }
    let mut setup: Setup = match frames.next().await? {
        Some(frame) if frame.kind == FrameKind::Setup => frame.decode()?,
        Some(frame) => {
            return Err(Error::new(
                ErrorKind::Unexpected,
                format!("the client sent {:?} before its setup", frame.kind),
            ));
        }
        None => return Ok(()),
    };
    match setup.launch.take() {
        Some(launch) => pull(setup, launch, Lifeline { frames, socket }).await,
        None => {
            drop(socket);
            pool::run(Pool::new(setup, outbox), frames).await
        }
    }
}
