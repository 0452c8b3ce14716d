//! The hello of the worker to its sub-worker, which carries two descriptors: the ledger, and the socket for executors
//! inside of calls.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::{HEADER_LEN, Hello, no_descriptors, read_frame},
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::pool::Ledger;

/// Reads the worker's hello, and takes the ledger and the socket for executors inside of calls that come with it.
pub(super) fn greet(channel: &UnixStream) -> Result<(Hello, Ledger, UnixStream)> {
    let mut header = [0; HEADER_LEN];
    let (memory, nested) = receive(channel, &mut header)?;
    let mut frames = io::Read::chain(&header[..], channel);
    let frame = read_frame(&mut frames)?.ok_or_else(|| broken("the worker went before it said hello"))?;
    let hello = Hello::read(&frame)?;
    let ledger = Ledger::map(&memory).map_err(|error| Error::from(io::Error::from(error)))?;
    Ok((hello, ledger, UnixStream::from(nested)))
}

/// Fills `header` and takes the descriptors that are attached to its first byte.
fn receive(channel: &UnixStream, header: &mut [u8; HEADER_LEN]) -> Result<(OwnedFd, OwnedFd)> {
    let mut attached = Vec::new();
    let mut filled = 0;
    while filled < header.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut header[filled..])];
        let received = match recvmsg(channel, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            received => received.map_err(io::Error::from)?,
        };
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(no_descriptors());
        }
        let received = received.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                attached.extend(descriptors);
            }
        }
        if received == 0 {
            return Err(broken("the worker went before it said hello"));
        }
        filled += received;
    }
    let mut attached = attached.into_iter();
    attached
        .next()
        .zip(attached.next())
        .ok_or_else(|| broken("the worker's hello came without its two descriptors"))
}

fn broken(message: &str) -> Error {
    Error::new(ErrorKind::Unexpected, message)
}
