//! [`Outbox`]: frames to a peer, sent at once when the socket takes them and kept in order when it does not.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{net::unix::OwnedWriteHalf, sync::Notify};

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
    bytes: Vec<u8>,
    sent: usize,
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
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent = 0;
        if waiting.bytes.is_empty() {
            while sent < frames.len() {
                match self.shared.stream.try_write(&frames[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return,
                }
            }
        }
        if sent < frames.len() {
            waiting.bytes.extend_from_slice(&frames[sent..]);
            drop(waiting);
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.wake.notify_one();
    }
}

async fn flush(shared: Arc<Shared>) {
    loop {
        let idle = {
            let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes.is_empty() && waiting.closed {
                return;
            }
            waiting.bytes.is_empty()
        };
        if idle {
            shared.wake.notified().await;
            continue;
        }
        if shared.stream.writable().await.is_err() {
            return;
        }
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.stream.try_write(&waiting.bytes[waiting.sent..]) {
            Ok(count) => waiting.sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        if waiting.sent == waiting.bytes.len() {
            // A burst must not be paid for with its memory for ever.
            if waiting.bytes.capacity() > 1 << 20 {
                waiting.bytes = Vec::new();
            }
            waiting.bytes.clear();
            waiting.sent = 0;
        }
    }
}
