//! Descriptors that the runtime watches for input or for room.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use tokio::io::{Interest, unix::AsyncFd};

/// A value that owns its descriptor, which stays the same until the value is dropped.
pub(crate) trait OwnsDescriptor: AsRawFd {}

impl OwnsDescriptor for UnixStream {}
impl OwnsDescriptor for OwnedFd {}

/// A descriptor that is watched for one interest alone: `AsyncFd::register` would watch it for both.
#[expect(unsafe_code, reason = "a descriptor must not be closed while it is watched")]
pub(crate) fn watched<T: OwnsDescriptor>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the owner's descriptor stays the same until it is dropped.
    unsafe { AsyncFd::register_with_interest(owner, interest) }.map_err(io::Error::from)
}
