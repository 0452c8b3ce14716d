//! What happens to a slot, as it reaches the dispatcher: frames of the sub-worker and of executors inside of its calls,
//! and its end.

use std::{io, process::Child, time::Duration};

use lithops_core::{
    error::Error,
    process::until_ended,
    protocol::{self, Frame, FrameReader, Incoming, Outbox},
};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, waitid},
};
use tokio::{net::UnixStream, sync::mpsc, time};

use super::{offspring, usage::Usage};
use crate::{pool::exit_cause::Exit, processes::end_group};

/// Something that happened to a slot.
#[derive(Debug)]
pub(in crate::pool) struct SlotEvent {
    pub(in crate::pool) slot: u64,
    pub(in crate::pool) kind: SlotEventKind,
}

#[derive(Debug)]
pub(in crate::pool) enum SlotEventKind {
    Frame(Frame),
    /// An executor inside of its call has sent something for the first time. Frames for such executors go here.
    NestedOpened(Outbox),
    /// A frame of such an executor.
    NestedFrame(Frame),
    /// The socket of such executors is closed.
    NestedClosed,
    /// The sub-worker has ended, and its process group with it. With an error, it was ended because its channel could
    /// not be read.
    Exited(Exit, Usage, Option<Error>),
}

/// How long a sub-worker that has closed its channel may take to end: user code may run at its exit.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// How often an ending process is asked for, at first and later.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Forwards the frames of a sub-worker, and at last how it ended.
pub(in crate::pool) async fn watch(
    slot: u64,
    child: Child,
    mut frames: FrameReader<Incoming>,
    events: mpsc::UnboundedSender<SlotEvent>,
) {
    let send = |kind| {
        // The dispatcher is gone when the worker ends: then no event matters.
        let _ = events.send(SlotEvent { slot, kind });
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a number");
    // Processes that the sub-worker has left behind may hold its end of the channel open, so that the process itself is
    // watched. Where no descriptor is left for that, the end of the channel must do.
    let mut ended = std::pin::pin!(until_ended(&child));
    let mut has_ended = false;
    let broken = loop {
        tokio::select! {
            biased;
            frame = frames.next() => match frame {
                Ok(Some(frame)) => send(SlotEventKind::Frame(frame)),
                Ok(None) => break None,
                Err(error) => break Some(error).filter(|error| !is_end(error)),
            },
            () = &mut ended, if !has_ended => {
                has_ended = true;
                frames.hang_up();
            }
        }
    };
    // A sub-worker whose channel cannot be read is of no use any more.
    let at_once = broken.is_some() && !has_ended;
    if at_once {
        end_group(pid, Signal::KILL);
    }
    let (exit, usage) = reap(pid).await;
    // The last frame of a process that has died by itself may be cut short: that is no error of its own.
    let broken = broken.filter(|_| at_once && exit == Exit::Signal(Signal::KILL.as_raw()));
    send(SlotEventKind::Exited(exit, usage, broken));
}

/// Forwards the frames of executors inside of a slot's calls. Most calls have none: the buffers are made when the first
/// byte comes.
pub(super) async fn listen(slot: u64, channel: UnixStream, events: mpsc::UnboundedSender<SlotEvent>) {
    if channel.readable().await.is_err() {
        return;
    }
    let send = |kind| {
        // As above.
        let _ = events.send(SlotEvent { slot, kind });
    };
    let Ok((mut frames, outbox)) = channel.into_std().map_err(Error::from).and_then(protocol::channel) else {
        return;
    };
    let Ok(Some(first)) = frames.next().await else { return };
    send(SlotEventKind::NestedOpened(outbox));
    send(SlotEventKind::NestedFrame(first));
    while let Ok(Some(frame)) = frames.next().await {
        send(SlotEventKind::NestedFrame(frame));
    }
    send(SlotEventKind::NestedClosed);
}

/// Whether an error only says that the other side is gone: in the middle of a frame, or with frames unread.
fn is_end(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};

    let source = error.io_error();
    source.is_some_and(|source| matches!(source.kind(), BrokenPipe | ConnectionReset | UnexpectedEof))
}

/// Waits for the process to end, ends what it has left behind, and only then lets the system reuse its number.
async fn reap(pid: Pid) -> (Exit, Usage) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // Most have ended before they are waited for; the others are asked for ever more seldom.
    let mut pause = SHORTEST_PAUSE;
    let mut waited = Duration::ZERO;
    let mut silenced = false;
    let exit = loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(Some(status)) => {
                break match (status.terminating_signal(), status.exit_status()) {
                    (Some(signal), _) if silenced && signal == Signal::KILL.as_raw() => Exit::Silent,
                    (Some(signal), _) => Exit::Signal(signal),
                    (None, Some(code)) => Exit::Code(code),
                    (None, None) => Exit::Unknown,
                };
            }
            Ok(None) | Err(Errno::INTR) => {}
            // Something else in this process has reaped it: the number may be that of another process or group by now.
            Err(_) => {
                offspring::reaped(pid);
                return (Exit::Unknown, Usage::default());
            }
        }
        if waited > LAST_MOMENTS {
            // The process has closed its channel and goes on: it must not run for ever unseen.
            silenced = true;
            offspring::is_to_end(pid);
            end_group(pid, Signal::KILL);
        }
        time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    // The group is gone when nothing was left behind.
    end_group(pid, Signal::KILL);
    offspring::end_left_behind(pid);
    // The process has ended: this only lets the number go.
    let usage = Usage::at_end_of(pid);
    offspring::reaped(pid);
    (exit, usage)
}
