//! What happens to a slot, as it reaches the dispatcher.

use std::{io, os::fd::OwnedFd, process::Child, time::Duration};

use lithops_core::{
    error::Error,
    protocol::{Frame, FrameReader, Incoming, Outbox},
};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
    time,
};

use super::{cause::Exit, offspring};
use crate::processes::end_group;

/// Something that happened to a slot.
#[derive(Debug)]
pub(super) struct SlotEvent {
    pub(super) slot: u64,
    pub(super) kind: SlotEventKind,
}

#[derive(Debug)]
pub(super) enum SlotEventKind {
    Frame(Frame),
    /// An executor inside of its call has spoken for the first time; what it is told goes here.
    NestedOpened(Outbox),
    /// A frame of such an executor.
    NestedFrame(Frame),
    /// Nothing more will come of such executors.
    NestedClosed,
    /// The sub-worker has ended, and its process group with it; it was ended for what came over its channel, if there
    /// is an error.
    Exited(Exit, Option<Error>),
}

/// A sub-worker that has closed its channel is ending; longer than this it may not take.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// Forwards what a sub-worker sends, and at last how it ended.
pub(super) async fn watch(
    slot: u64,
    mut child: Child,
    mut frames: FrameReader<Incoming>,
    events: mpsc::UnboundedSender<SlotEvent>,
) {
    let send = |kind| {
        // The dispatcher is gone when the worker ends; nobody needs to know any more.
        let _ = events.send(SlotEvent { slot, kind });
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a number");
    // Its end of the channel may be open in processes that it has left. Without a descriptor for this, the end of the
    // channel must do.
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok().and_then(|handle| watched(handle).ok());
    let mut has_ended = false;
    let broken = loop {
        tokio::select! {
            biased;
            frame = frames.next() => match frame {
                Ok(Some(frame)) => send(SlotEventKind::Frame(frame)),
                Ok(None) => break None,
                Err(error) => break Some(error).filter(|error| !is_end(error)),
            },
            () = ended(handle.as_ref()), if !has_ended => {
                has_ended = true;
                frames.hang_up();
            }
        }
    };
    // Who cannot be heard any more is as good as dead.
    let at_once = broken.is_some() && !has_ended;
    if at_once {
        end_group(pid, Signal::KILL);
    }
    let exit = reap(pid, &mut child).await;
    // What the dead have sent last may be cut short.
    let broken = broken.filter(|_| at_once && exit == Exit::Signal(Signal::KILL.as_raw()));
    send(SlotEventKind::Exited(exit, broken));
}

/// Whether an error only says that the other side is gone, in the middle of a frame or with frames that it has not
/// read.
fn is_end(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};

    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| matches!(source.kind(), BrokenPipe | ConnectionReset | UnexpectedEof))
}

#[expect(unsafe_code, reason = "a descriptor must not be closed while it is watched")]
fn watched(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it owns its descriptor, which stays the same until it is dropped.
    unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }.map_err(io::Error::from)
}

/// Waits until the process has ended.
async fn ended(handle: Option<&AsyncFd<OwnedFd>>) {
    match handle {
        // It is readable from then on.
        Some(handle) if handle.readable().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Waits for the process, ends what it has left behind, and only then lets its number go.
async fn reap(pid: Pid, child: &mut Child) -> Exit {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let mut pause = Duration::from_micros(200);
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
            // Somebody else has reaped it: its number, and that of its group, may be another's by now.
            Err(_) => {
                offspring::reaped(pid);
                return Exit::Unknown;
            }
        }
        if waited > LAST_MOMENTS {
            // It has closed its channel and goes on: it must not run for ever unseen.
            silenced = true;
            offspring::is_to_end(pid);
            end_group(pid, Signal::KILL);
        }
        time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // The group is gone when nothing was left behind.
    end_group(pid, Signal::KILL);
    offspring::end_left_behind(pid);
    // It has ended: this only lets the number go.
    let _ = child.wait();
    offspring::reaped(pid);
    exit
}
