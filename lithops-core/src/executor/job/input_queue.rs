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

/// The producer waits while this many calls are queued. A larger queue would consume lazy inputs earlier than
/// needed.
const MAX_CALLS: usize = 16 << 10;
/// The producer waits while this many bytes are queued, which bounds the memory.
const MAX_BYTES: usize = 2 << 20;

/// A bounded queue of encoded arguments. The producer is a thread of its own, because a user's iterator may
/// block. The dispatcher takes everything that is queued, so that an argument never waits for the next one.
#[derive(Debug, Default)]
pub struct InputQueue {
    state: Mutex<State>,
    space: Condvar,
    ready: Notify,
    /// Signals free space to a producer that is a task, as `space` does to one that is a thread.
    freed: Notify,
    /// Signals that the queue is full or has ended.
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    builder: PayloadsBuilder,
    regions: Option<Regions>,
    /// Calls without an argument: the position in the batch, and the encoded error.
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

    /// Takes the queued arguments. A long column is copied into shared memory regions, so that the builder
    /// keeps its allocation and fills it again.
    fn take_column(&mut self) -> Payloads {
        if self.builder.bytes() < LONG {
            return mem::take(&mut self.builder).finish();
        }
        let regions = self.regions.get_or_insert_with(Regions::shared);
        match regions.cut(self.builder.bytes()) {
            Ok(region) => self.builder.drain_to(region),
            // The column is too long for a region, or too many regions are in use: its own memory is handed
            // over.
            Err(_) => mem::take(&mut self.builder).finish(),
        }
    }

    /// Appends an argument. Returns `false` if there is no memory for it: the queue is then closed with an
    /// error, which ends the job.
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
    /// Appends one encoded argument, and blocks the thread while the queue is full. Returns `false` if the
    /// queue was closed, or there is no memory.
    pub fn push(&self, argument: &[u8]) -> bool {
        self.append(|state| state.add(argument))
    }

    /// Appends a call without an argument: the call ends with this encoded error, and is not run. Returns
    /// `false` as [`push`](Self::push) does.
    pub fn push_failed(&self, error: Vec<u8>) -> bool {
        self.append(|state| {
            state.failed.push((state.builder.len(), error));
            state.add(&[])
        })
    }

    /// Appends a batch that was taken from another queue, and waits for space without blocking the thread.
    /// Returns `false` if the queue was closed.
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
                    self.filled.notify_one();
                    return false;
                }
                if state.is_full() {
                    self.filled.notify_one();
                }
            }
            self.ready.notify_one();
            if next < arguments.len() {
                freed.await;
            }
        }
        true
    }

    /// Ends the queue: no further argument comes. An `error` ends the job.
    pub fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.ended = true;
        state.error = state.error.take().or(error);
        drop(state);
        self.ready.notify_one();
        self.filled.notify_one();
    }

    /// Closes the queue for the producer: further arguments are refused.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake_producers(&state);
        drop(state);
        self.freed.notify_waiters();
    }

    /// Takes everything that is queued. The batch says whether the inputs have ended.
    ///
    /// # Errors
    /// The error with which the producer ended the queue.
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

    /// Waits until something is queued, or the queue has ended.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Waits until the queue is full, or has ended: what is stored at once is then as much as it may be.
    pub async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            {
                let state = self.lock();
                if state.is_full() || state.ended || state.closed || state.error.is_some() {
                    return;
                }
            }
            filled.await;
        }
    }

    /// Wakes blocked producers. The check saves a system call where none waits.
    fn wake_producers(&self, state: &State) {
        if state.waiting > 0 {
            self.space.notify_all();
        }
    }

    fn append(&self, add: impl FnOnce(&mut State) -> bool) -> bool {
        let mut state = self.lock();
        while state.is_full() {
            self.filled.notify_one();
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
        if !is_added {
            self.filled.notify_one();
        }
        is_added
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
