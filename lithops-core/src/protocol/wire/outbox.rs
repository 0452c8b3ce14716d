//! [`Outbox`]: frames to a peer. They are sent at once while the socket takes them; otherwise they are kept
//! in order.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use tokio::{io::Interest, sync::Notify, time};

use super::{FrameKind, frame::shared_header, watched::watched};
use crate::{fork, memory::Loan, protocol::Calls};

/// How long frames that can wait are kept, if no other frame is sent before.
const LATER: Duration = Duration::from_millis(5);
/// Frames that can wait are sent at once when they have more bytes than this.
const MUCH: usize = 4 << 10;
/// The pause before the next try when nothing could be sent although the socket had room.
const SOON: Duration = Duration::from_millis(1);

/// The outgoing direction of a channel. Sending never blocks; a task sends the bytes that the socket does not
/// take at once.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stream: UnixStream,
    /// Whether loans can be sent to the peer.
    shares: Arc<AtomicBool>,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The bytes that the socket has not taken, in order.
    pieces: VecDeque<Piece>,
    /// Whole frames that can wait for the next send.
    later: Vec<u8>,
    /// Whether the task was told of the frames in `later`: then its timer runs.
    timed: bool,
    closed: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// The loan whose descriptors are sent with the first byte.
    loan: Option<Loan>,
}

impl Outbox {
    /// An outbox into a socket that does not block. Must be called inside a runtime.
    pub(super) fn new(stream: UnixStream) -> Self {
        fork::note_origin();
        let (shares, waiting, wake) = (Arc::default(), Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { stream, shares, waiting, wake });
        tokio::spawn(flush(Arc::clone(&shared)));
        Self { shared }
    }

    /// Sends whole frames. When the peer is gone the frames are dropped: the reading side notices the end of
    /// the peer.
    pub fn send(&self, frames: &[u8]) {
        self.send_with(frames, &Bytes::new());
    }

    /// Sends whole frames, of which the last ends with `tail`; `tail` is not copied.
    pub fn send_with(&self, frames: &[u8], tail: &Bytes) {
        self.send_parts(frames, tail, None);
    }

    /// Sends a frame whose body is `head` and the bytes of the loan.
    pub fn send_lent(&self, kind: FrameKind, head: &[u8], loan: &Loan) {
        let mut frame = shared_header(kind, head.len(), loan).to_vec();
        frame.extend_from_slice(head);
        self.send_parts(&frame, &Bytes::new(), Some(loan));
    }

    /// Sends calls behind other frames; where memory is shared, long arguments are lent and not sent.
    pub fn send_calls(&self, mut frames: Vec<u8>, calls: &Calls) {
        let Some(loan) = calls.arguments.loan().filter(|_| self.shares()) else {
            let arguments = calls.write_head(&mut frames);
            return self.send_with(&frames, &arguments);
        };
        let mut head = Vec::new();
        calls.write_body_head(&mut head);
        frames.extend_from_slice(&shared_header(FrameKind::Calls, head.len(), loan));
        frames.extend_from_slice(&head);
        self.send_parts(&frames, &Bytes::new(), Some(loan));
    }

    /// Whether loans can be sent to the peer.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.shared.shares.load(Ordering::Relaxed)
    }

    /// The flag that the reader of the peer's frames sets once loans can be sent.
    #[must_use]
    pub fn sharing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.shares)
    }

    fn send_parts(&self, frames: &[u8], tail: &Bytes, loan: Option<&Loan>) {
        // In a fork the socket belongs to the parent process, and the lock may have been held when the copy
        // was made.
        if fork::is_copy() {
            return;
        }
        let mut waiting = self.shared.lock();
        let later = std::mem::take(&mut waiting.later);
        let parts = [later.as_slice(), frames, tail];
        let mut sent = 0;
        if waiting.pieces.is_empty() {
            match self.shared.write(&parts, loan) {
                Ok(count) => sent = count,
                Err(_) => return self.shared.hang_up(),
            }
        }
        let mut loan = loan.filter(|_| sent == 0).cloned();
        let mut is_left = false;
        for (number, part) in parts.into_iter().enumerate() {
            let gone = sent.min(part.len());
            sent -= gone;
            if gone < part.len() {
                let bytes =
                    if number == 2 { tail.slice(gone..) } else { Bytes::copy_from_slice(&part[gone..]) };
                waiting.pieces.push_back(Piece { bytes, loan: loan.take() });
                is_left = true;
            }
        }
        drop(waiting);
        if is_left {
            self.shared.wake.notify_one();
        }
    }

    /// Sends whole frames together with the next ones, or after 5 ms: the peer is not woken for them alone.
    pub fn send_later(&self, frames: &[u8]) {
        if fork::is_copy() {
            return;
        }
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
        if fork::is_copy() {
            return;
        }
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes as many of the waiting bytes as the socket takes, and returns whether it took any.
    fn write_pieces(&self) -> io::Result<bool> {
        let mut waiting = self.lock();
        let mut any = false;
        while let Some(Piece { bytes, loan }) = waiting.pieces.front_mut() {
            let sent = self.write(&[bytes], loan.as_ref())?;
            if sent > 0 {
                *loan = None;
                any = true;
            }
            if sent < bytes.len() {
                bytes.advance(sent);
                break;
            }
            waiting.pieces.pop_front();
        }
        Ok(any)
    }

    /// The frames in `later` have waited long enough: they are sent now.
    fn time_is_up(&self) {
        let mut waiting = self.lock();
        waiting.timed = false;
        if !waiting.later.is_empty() {
            let later = std::mem::take(&mut waiting.later);
            waiting.pieces.push_back(Piece { bytes: later.into(), loan: None });
        }
    }

    /// Writes as many bytes as the socket takes, and returns how many.
    fn write(&self, parts: &[&[u8]], loan: Option<&Loan>) -> io::Result<usize> {
        let all: usize = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        while sent < all {
            let mut skip = sent;
            let mut slices = [IoSlice::new(&[]); 3];
            for (slice, part) in slices.iter_mut().zip(parts) {
                let gone = skip.min(part.len());
                skip -= gone;
                *slice = IoSlice::new(&part[gone..]);
            }
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = loan.filter(|_| sent == 0).map(|loan| loan.parts().0);
            if let Some(descriptors) = &descriptors {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            match sendmsg(&self.stream, &slices[..parts.len()], &mut control, SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                // The socket is full, too many descriptors of this user are in flight, or the kernel lacks
                // memory: a later try may succeed.
                Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// Called when bytes are lost: the readers of both ends must not wait for an answer to them.
    fn hang_up(&self) {
        // An error says that the peer is gone itself.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Waits until the socket may take more. The socket is watched for room only during this wait: otherwise
    /// this process would be woken each time the peer reads.
    async fn writable(&self) -> io::Result<()> {
        let stream = watched(self.stream.try_clone()?, Interest::WRITABLE)?;
        stream.writable().await.map(drop)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if fork::is_copy() {
            return;
        }
        // The peer sees the end of the stream even while a reader of this process still holds the socket. An
        // error says that the peer is gone itself.
        let _ = self.stream.shutdown(Shutdown::Write);
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
            match shared.write_pieces() {
                Ok(true) => {}
                // Without a free descriptor the socket cannot be watched: the write is repeated after a
                // pause.
                Ok(false) if shared.writable().await.is_err() => time::sleep(SOON).await,
                Ok(false) => match shared.write_pieces() {
                    Ok(true) => {}
                    Ok(false) => time::sleep(SOON).await,
                    Err(_) => return shared.hang_up(),
                },
                // Usually because the peer is gone.
                Err(_) => return shared.hang_up(),
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
