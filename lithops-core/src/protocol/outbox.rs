//! [`Outbox`]: frames to a peer, sent at once when the socket takes them and kept in order when it does not.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{net::unix::OwnedWriteHalf, sync::Notify, time};

/// Frames that can wait are sent after this long, if nothing else is sent before.
const LATER: Duration = Duration::from_millis(5);
/// And at once when they are this many bytes.
const MUCH: usize = 4 << 10;

/// The way out to a peer. Sending never blocks; what the socket does not take at once is sent by a task.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stream: OwnedWriteHalf,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What the socket has not taken, in order.
    pieces: VecDeque<Bytes>,
    /// Whole frames that can wait for the next ones.
    later: Vec<u8>,
    /// Whether the task knows that there are such.
    timed: bool,
    closed: bool,
}

impl Outbox {
    /// An outbox into `stream`; must be called inside a runtime.
    #[must_use]
    pub fn new(stream: OwnedWriteHalf) -> Self {
        let shared = Arc::new(Shared { stream, waiting: Mutex::default(), wake: Notify::new() });
        tokio::spawn(flush(Arc::clone(&shared)));
        Self { shared }
    }

    /// Sends whole frames. When the peer is gone they are dropped: the reading side notices its end.
    pub fn send(&self, frames: &[u8]) {
        self.send_with(frames, &Bytes::new());
    }

    /// Sends whole frames, of which the last ends with `tail`, without a copy of that.
    pub fn send_with(&self, frames: &[u8], tail: &Bytes) {
        let mut waiting = self.shared.lock();
        let later = std::mem::take(&mut waiting.later);
        let parts = [later.as_slice(), frames, tail];
        let mut sent = 0;
        if waiting.pieces.is_empty() {
            match self.shared.write(&parts) {
                Ok(count) => sent = count,
                Err(_) => return,
            }
        }
        let mut is_left = false;
        for (place, part) in parts.into_iter().enumerate() {
            let gone = sent.min(part.len());
            sent -= gone;
            if gone < part.len() {
                let left = if place == 2 { tail.slice(gone..) } else { Bytes::copy_from_slice(&part[gone..]) };
                waiting.pieces.push_back(left);
                is_left = true;
            }
        }
        drop(waiting);
        if is_left {
            self.shared.wake.notify_one();
        }
    }

    /// Sends whole frames together with the next ones, or a little later: the peer is not woken for them alone.
    pub fn send_later(&self, frames: &[u8]) {
        let mut waiting = self.shared.lock();
        waiting.later.extend_from_slice(frames);
        let (is_much, was_timed) = (waiting.later.len() > MUCH, std::mem::replace(&mut waiting.timed, true));
        drop(waiting);
        if is_much {
            self.send(&[]);
        }
        if !was_timed {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes of what waits as much as the socket takes.
    fn write_pieces(&self) -> io::Result<()> {
        let mut waiting = self.lock();
        while let Some(piece) = waiting.pieces.front_mut() {
            let sent = self.write(&[piece])?;
            if sent < piece.len() {
                piece.advance(sent);
                break;
            }
            waiting.pieces.pop_front();
        }
        Ok(())
    }

    /// What could wait has waited long enough.
    fn time_is_up(&self) {
        let mut waiting = self.lock();
        waiting.timed = false;
        if !waiting.later.is_empty() {
            let later = std::mem::take(&mut waiting.later);
            waiting.pieces.push_back(later.into());
        }
    }

    /// Writes as much as the socket takes.
    fn write(&self, parts: &[&[u8]]) -> io::Result<usize> {
        let all: usize = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        while sent < all {
            let mut skip = sent;
            let slices: Vec<_> = parts
                .iter()
                .map(|part| {
                    let gone = skip.min(part.len());
                    skip -= gone;
                    IoSlice::new(&part[gone..])
                })
                .collect();
            match self.stream.try_write_vectored(&slices) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

async fn flush(shared: Arc<Shared>) {
    let mut timer = None;
    loop {
        let (has_pieces, timed, closed) = {
            let waiting = shared.lock();
            (!waiting.pieces.is_empty(), waiting.timed, waiting.closed)
        };
        if has_pieces {
            if shared.stream.writable().await.is_err() || shared.write_pieces().is_err() {
                return;
            }
        } else if closed {
            return;
        } else if timed {
            let due = timer.get_or_insert_with(|| Box::pin(time::sleep(LATER)));
            tokio::select! {
                () = due => {
                    timer = None;
                    shared.time_is_up();
                }
                () = shared.wake.notified() => {}
            }
        } else {
            shared.wake.notified().await;
        }
    }
}
