//! What happens to a slot, as it reaches the dispatcher.

use std::{process::Child, time::Duration};

use lithops_core::protocol::{Frame, FrameReader, Incoming, Outbox};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{sync::mpsc, time};

use super::cause::Exit;

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
    /// The sub-worker has ended, and its process group with it.
    Exited(Exit),
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
    // A sub-worker that sends something else than frames is as good as dead.
    while let Ok(Some(frame)) = frames.next().await {
        send(SlotEventKind::Frame(frame));
    }
    let exit = reap(&mut child).await;
    send(SlotEventKind::Exited(exit));
}

/// Waits for the process, ends what it has left behind in its group, and only then lets its number go.
async fn reap(child: &mut Child) -> Exit {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return Exit::Code(-1) };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let mut pause = Duration::from_micros(200);
    let mut waited = Duration::ZERO;
    let exit = loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(Some(status)) => {
                break status
                    .terminating_signal()
                    .map_or_else(|| Exit::Code(status.exit_status().unwrap_or(-1)), Exit::Signal);
            }
            Ok(None) => {}
            Err(_) => break Exit::Code(-1),
        }
        if waited > LAST_MOMENTS {
            // It has closed its channel and goes on: it must not run for ever unseen.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // The group is gone when nothing was left behind.
    let _ = kill_process_group(pid, Signal::KILL);
    // It has ended: this only lets the number go.
    let _ = child.wait();
    exit
}
