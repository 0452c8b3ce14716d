//! [`start`]: a new sub-worker.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix,
    },
    sync::atomic::Ordering,
};

use lithops_core::{
    error::{Error, Result},
    process,
    protocol::{self, FrameReader, Hello, Incoming, Outbox, Program, Role},
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::{net::UnixStream, sync::mpsc};
use uuid::Uuid;

use super::{
    events::{self, SlotEvent},
    log_pipe::LogPipe,
    offspring,
    slot::{Slot, pid_of},
};
use crate::pool::Ledger;

/// Starts a sub-worker. It may be given calls at once, and reads them when it is up.
pub(in crate::pool) fn start(
    number: u64,
    program: &Program,
    secrets: &[u8],
    events: mpsc::UnboundedSender<SlotEvent>,
) -> Result<Slot> {
    let mut mark = Uuid::new_v4().into_bytes();
    // A byte that no UTF-8 text has: so the last byte of a text is never taken for the beginning of a mark.
    mark[0] = 0xff;
    let (ledger, memory) = Ledger::create().map_err(os)?;
    let (log, output) = LogPipe::create(mark).map_err(os)?;
    let (nested, theirs) = unix::net::UnixStream::pair()?;
    nested.set_nonblocking(true)?;
    let nested = UnixStream::from_std(nested)?;
    // Not the secret of the log: all processes that a call starts can read this one.
    let name = Uuid::new_v4().to_string();
    let (mut child, channel) = process::spawn_marked(program, output, &name)?;
    let (frames, outbox) = match greet(channel, mark, [memory.as_fd(), theirs.as_fd()]) {
        Ok(both) => both,
        Err(error) => {
            // Both fail only when the process has ended already, and then there is nothing to do.
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    let pid = child.id();
    if let Some(pid) = pid_of(pid) {
        offspring::started(pid, &name);
    }
    // The program is this one, or one of the same protocol, and is on this machine: values can be lent to it.
    outbox.sharing().store(true, Ordering::Relaxed);
    if !secrets.is_empty() {
        outbox.send(secrets);
    }
    tokio::spawn(events::listen(number, nested, events.clone()));
    tokio::spawn(events::watch(number, child, frames, events));
    Ok(Slot::new(pid, ledger, log, outbox))
}

/// Says hello, with the descriptors that a sub-worker needs.
fn greet(
    channel: unix::net::UnixStream,
    mark: [u8; 16],
    descriptors: [BorrowedFd<'_>; 2],
) -> Result<(FrameReader<Incoming>, Outbox)> {
    let mut hello = Vec::new();
    Hello::of(Role::Worker).with_log_mark(mark).write(&mut hello)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    // The buffer of a new socket is empty, and takes a few hundred bytes at once.
    sendmsg(&channel, &[IoSlice::new(&hello)], &mut control, SendFlags::NOSIGNAL).map_err(os)?;
    protocol::channel(channel)
}

fn os(error: rustix::io::Errno) -> Error {
    std::io::Error::from(error).into()
}
