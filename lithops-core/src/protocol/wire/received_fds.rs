//! [`ReceivedFds`]: descriptors that have arrived through a socket.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, Bytes};

use super::{
    MAX_FRAME,
    malformed::{malformed, no_descriptors},
};
use crate::{error::Result, memory::Loan};

/// The descriptors that have come with one message.
#[derive(Debug)]
pub(super) enum Came {
    /// All descriptors of the message.
    Here(Vec<OwnedFd>),
    /// At least one is lost, because this process has too many open files.
    Lost,
}

/// Descriptors that have arrived, in the order of the frames that they belong to.
#[derive(Debug, Clone, Default)]
pub(super) struct ReceivedFds(Arc<Mutex<VecDeque<Came>>>);

impl ReceivedFds {
    /// Takes a loan off the front of a body, and the two descriptors that came with it.
    pub(super) fn loan(&self, body: &mut Bytes) -> Result<Loan> {
        let (Ok(start), Ok(len)) = (body.try_get_u64_le(), body.try_get_u64_le()) else {
            return Err(malformed("a loan is cut short"));
        };
        let fits = usize::try_from(len).ok().filter(|len| body.len() + len.min(&MAX_FRAME) <= MAX_FRAME);
        let len = fits.filter(|len| *len <= MAX_FRAME && start.checked_add(*len as u64).is_some());
        let len = len.ok_or_else(|| malformed("a loan of more bytes than a frame can have"))?;
        match self.lock().pop_front() {
            Some(Came::Here(descriptors)) => match <[OwnedFd; 2]>::try_from(descriptors) {
                Ok(both) => Ok(Loan::of(both, start, len)),
                Err(_) => Err(malformed("a loan came without its two descriptors")),
            },
            Some(Came::Lost) => Err(no_descriptors()),
            None => Err(malformed("what is lent did not come with its loan")),
        }
    }

    /// Drops all descriptors that have arrived, and returns how many there were.
    pub(super) fn take_all(&self) -> usize {
        let count = |came: Came| if let Came::Here(descriptors) = came { descriptors.len() } else { 0 };
        self.lock().drain(..).map(count).sum()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Came>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
