//! Sockets that the runtime watches for input or for room.

use std::{io, os::unix::net::UnixStream};

use tokio::io::{Interest, unix::AsyncFd};

/// A socket that is watched for one interest alone: `AsyncFd::new` would watch it for both.
#[expect(unsafe_code, reason = "a descriptor must not be closed while it is watched")]
pub(super) fn watched(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: the stream owns its descriptor, which stays the same until it is dropped.
    unsafe { AsyncFd::register_with_interest(stream, interest) }.map_err(io::Error::from)
}
