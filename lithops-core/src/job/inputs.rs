//! [`InputQueue`]: encoded arguments on their way from the user's iterator to the dispatcher.

use std::{
    mem,
    sync::{Condvar, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    error::{Error, Result},
    protocol::{Payloads, PayloadsBuilder},
};

/// The producer waits when this many calls are queued, so that inputs stay lazy.
const MAX_CALLS: usize = 16 << 10;
/// The producer waits when this many bytes are queued.
const MAX_BYTES: usize = 8 << 20;

/// A bounded queue of encoded arguments. The producer is a thread of its own, because a user's iterator may block;
/// the dispatcher takes whatever is there, so that an argument never waits for the next one.
#[derive(Debug, Default)]
pub struct InputQueue {
    state: Mutex<State>,
    space: Condvar,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    builder: PayloadsBuilder,
    ended: bool,
    closed: bool,
    error: Option<Error>,
}

impl InputQueue {
    /// Appends one encoded argument, waiting for space. Returns `false` when nobody wants it any more.
    pub fn push(&self, argument: &[u8]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed && (state.builder.len() >= MAX_CALLS || state.builder.bytes() >= MAX_BYTES) {
            state = self.space.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.builder.data().extend_from_slice(argument);
        state.builder.end_value();
        let first = state.builder.len() == 1;
        drop(state);
        if first {
            self.ready.notify_one();
        }
        true
    }

    /// Says that no further argument comes, because of an error or because that was all.
    pub fn end(&self, error: Option<Error>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        state.error = error;
        drop(state);
        self.ready.notify_one();
    }

    /// Says that nobody wants further arguments.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.space.notify_all();
    }

    /// Everything that is queued, and whether that was the last.
    ///
    /// # Errors
    /// That of the producer.
    pub fn take(&self) -> Result<(Payloads, bool)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let taken = mem::take(&mut state.builder).finish();
        let ended = state.ended;
        drop(state);
        self.space.notify_all();
        Ok((taken, ended))
    }

    /// Waits until there is something to take.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }
}
