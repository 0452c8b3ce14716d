//! [`InputQueue`]: encoded arguments on their way from the user's iterator to the dispatcher.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    error::{Error, ErrorKind, Result},
    memory::{LONG, Regions},
    protocol::{InputBatch, Payloads, PayloadsBuilder},
};

/// The producer waits when this many calls are queued, so that inputs stay lazy.
const MAX_CALLS: usize = 16 << 10;
/// The producer waits when this many bytes are queued.
const MAX_BYTES: usize = 2 << 20;

/// A bounded queue of encoded arguments. The producer is a thread of its own, because a user's iterator may block;
/// the dispatcher takes whatever is there, so that an argument never waits for the next one.
#[derive(Debug, Default)]
pub struct InputQueue {
    state: Mutex<State>,
    space: Condvar,
    ready: Notify,
    /// As `space`, for a producer that is a task.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    builder: PayloadsBuilder,
    regions: Option<Regions>,
    failed: Vec<(usize, Vec<u8>)>,
    ended: bool,
    closed: bool,
    error: Option<Error>,
    /// How many producers wait for space.
    waiting: usize,
}

impl State {
    fn is_full(&self) -> bool {
        !self.closed && (self.builder.len() >= MAX_CALLS || self.builder.bytes() >= MAX_BYTES)
    }

    /// What was queued. A long column is copied, so that the same room is filled again and again.
    fn take_column(&mut self) -> Payloads {
        if self.builder.bytes() < LONG {
            return mem::take(&mut self.builder).finish();
        }
        let regions = self.regions.get_or_insert_with(Regions::shared);
        match regions.cut(self.builder.bytes()) {
            Ok(region) => self.builder.drain_to(region),
            // It is too long, or too much is on its way: it stays where it is.
            Err(_) => mem::take(&mut self.builder).finish(),
        }
    }

    /// Says no when there is no memory for it, and that is the job's error then.
    fn add(&mut self, argument: &[u8]) -> bool {
        if self.builder.data().try_reserve(argument.len()).is_err() {
            let bytes = argument.len();
            let problem = format!("there is no memory here for an argument of {bytes} bytes");
            self.error = Some(Error::new(ErrorKind::Io, problem).with_hint(
                "raise the limit on memory of this process (`ulimit -v`, or that of its container), or put values into \
                 the storage and pass their names",
            ));
            (self.ended, self.closed) = (true, true);
            return false;
        }
        self.builder.data().extend_from_slice(argument);
        self.builder.end_value();
        true
    }
}

impl InputQueue {
    /// Appends one encoded argument, waiting for space. Returns `false` when nobody wants it any more.
    pub fn push(&self, argument: &[u8]) -> bool {
        self.append(|state| state.add(argument))
    }

    /// Appends a call whose argument there is not: it ends with this encoded error without being run.
    pub fn push_failed(&self, error: Vec<u8>) -> bool {
        self.append(|state| {
            state.failed.push((state.builder.len(), error));
            state.add(&[])
        })
    }

    /// Appends what was taken from another queue, waiting for space as a task does. Returns `false` when nobody wants
    /// it any more.
    pub async fn push_all(&self, taken: &InputBatch) -> bool {
        let arguments = &taken.inputs;
        let mut failed = taken.failed.iter().peekable();
        let mut next = 0;
        while next < arguments.len() {
            let freed = self.freed.notified();
            {
                let mut state = self.lock();
                while next < arguments.len() && !state.is_full() && !state.closed {
                    if let Some((_, error)) = failed.next_if(|(place, _)| *place == next) {
                        let place = state.builder.len();
                        state.failed.push((place, error.clone()));
                    }
                    next += usize::from(state.add(arguments.get(next)));
                }
                if state.closed {
                    drop(state);
                    self.ready.notify_one();
                    return false;
                }
            }
            self.ready.notify_one();
            if next < arguments.len() {
                freed.await;
            }
        }
        true
    }

    /// Says that no further argument comes, because of an error or because that was all.
    pub fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.ended = true;
        state.error = state.error.take().or(error);
        drop(state);
        self.ready.notify_one();
    }

    /// Says that nobody wants further arguments.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake_producers(&state);
        drop(state);
        self.freed.notify_waiters();
    }

    /// Everything that is queued, and whether that was the last.
    ///
    /// # Errors
    /// That of the producer.
    pub fn take(&self) -> Result<InputBatch> {
        let mut state = self.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let inputs = state.take_column();
        let taken = InputBatch { inputs, failed: mem::take(&mut state.failed), ended: state.ended };
        self.wake_producers(&state);
        drop(state);
        self.freed.notify_waiters();
        Ok(taken)
    }

    /// Waits until there is something to take.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Waking nobody is a system call too.
    fn wake_producers(&self, state: &State) {
        if state.waiting > 0 {
            self.space.notify_all();
        }
    }

    fn append(&self, add: impl FnOnce(&mut State) -> bool) -> bool {
        let mut state = self.lock();
        while state.is_full() {
            state.waiting += 1;
            state = self.space.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.closed {
            return false;
        }
        let is_added = add(&mut state);
        let first = state.builder.len() == 1;
        drop(state);
        if first || !is_added {
            self.ready.notify_one();
        }
        is_added
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
