//! The `stdio` transport: the client is at the other end of a socket, as on localhost.

use std::{os::unix::net::UnixStream, sync::atomic::Ordering};

use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{self, FrameKind, FrameReader, Hello, Incoming, Outbox, Role, Setup, frame_header},
};

use super::pull::{Lifeline, pull};
use crate::{
    exit::complain,
    pool::{self, Pool},
};

/// The exit code of a worker that cannot serve this client, and has written the reason to stderr: the client does not
/// start another.
const EXIT_REFUSED: i32 = 88;

/// The exit code of a worker that could not go on, though another may: the client starts one.
const EXIT_LOST: i32 = 1;

/// Serves the client at the other end of `channel` until the client closes it; returns the exit code of the process.
#[must_use]
pub fn stdio(channel: UnixStream) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(Error::from).and_then(|runtime| {
        // As a task of its own: each wake-up of the future that `block_on` drives costs a write to the event poll, and
        // one of a task does not.
        let served = runtime.block_on(runtime.spawn(serve(channel)));
        served.map_err(|error| Error::new(ErrorKind::Unexpected, format!("the worker panicked: {error}")))?
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            complain(&error.to_string());
            // An error that may pass says something about this worker only, not about the next one.
            if error.retry() == Retry::Later { EXIT_LOST } else { EXIT_REFUSED }
        }
    }
}

/// Serves the client at the other end of `channel` until the client closes it.
pub(super) async fn serve(channel: UnixStream) -> Result<()> {
    let socket = channel.try_clone()?;
    let Some((frames, outbox, mut setup)) = greeted(channel).await? else { return Ok(()) };
    match setup.launch.take() {
        Some(launch) => pull(setup, launch, Lifeline { frames, socket }).await,
        None => {
            drop(socket);
            pool::run(Pool::new(setup, outbox), frames).await
        }
    }
}

/// Greets the client at the other end of `channel`: the way from it, the way to it, and what it has set. `None` when it has
/// gone already.
pub(super) async fn greeted(channel: UnixStream) -> Result<Option<(FrameReader<Incoming>, Outbox, Setup)>> {
    let (mut frames, outbox) = protocol::channel(channel)?;

    // The hello goes out first and in any case, so that the client can tell what is wrong with the versions.
    let mut hello = Vec::new();
    Hello::of(Role::Worker).write(&mut hello)?;
    outbox.send(&hello);
    let Some(frame) = frames.next().await? else { return Ok(None) };
    Hello::read(&frame)?;
    if frames.take_arrived() > 0 {
        outbox.sharing().store(true, Ordering::Relaxed);
        outbox.send(&frame_header(FrameKind::Shares, 0));
    }
    let setup: Setup = match frames.next().await? {
        Some(frame) if frame.kind == FrameKind::Setup => frame.decode()?,
        Some(frame) => {
            return Err(Error::new(
                ErrorKind::Unexpected,
                format!("the client sent {:?} before its setup", frame.kind),
            ));
        }
        None => return Ok(None),
    };
    Ok(Some((frames, outbox, setup)))
}
