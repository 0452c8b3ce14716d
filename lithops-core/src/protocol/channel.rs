//! [`channel`]: both ways of a socket between two processes of one machine. Descriptors can travel with the bytes.

use std::{
    collections::VecDeque,
    io::{self, BufReader, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    pin::Pin,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

use bytes::{Buf, Bytes};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncRead, Interest, ReadBuf, unix::AsyncFd};

use super::{
    Frame, FrameKind, FrameReader, Outbox,
    frame::{read_frame_with, shared_header},
    malformed,
};
use crate::{
    error::Result,
    memory::{Loan, Regions},
};

/// Nobody sends more descriptors than this ahead of the frames they belong to.
const MAX_ARRIVED: usize = 64;

/// Frames from a peer, and the way out to it. Must be called inside a runtime.
///
/// # Errors
/// When the system has no further descriptor.
pub fn channel(stream: UnixStream) -> Result<(FrameReader<Incoming>, Outbox)> {
    stream.set_nonblocking(true)?;
    let outbox = Outbox::new(stream.try_clone()?);
    let arrived = Arrived::default();
    // Only its reading side: else each time the peer reads, this process would be woken.
    let stream = watched(stream, Interest::READABLE)?;
    let incoming = Incoming { stream, arrived: arrived.clone() };
    Ok((FrameReader::with_arrived(incoming, arrived), outbox))
}

/// A socket that is watched for one thing.
#[expect(unsafe_code, reason = "a descriptor must not be closed while it is watched")]
pub(super) fn watched(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: the stream owns its descriptor, which stays the same until it is dropped.
    unsafe { AsyncFd::register_with_interest(stream, interest) }.map_err(io::Error::from)
}

/// Bytes from a peer.
#[derive(Debug)]
pub struct Incoming {
    stream: AsyncFd<UnixStream>,
    arrived: Arrived,
}

impl AsyncRead for Incoming {
    #[expect(unsafe_code, reason = "fresh memory is filled without being zeroed first")]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.stream.poll_read_ready(context))?;
            // SAFETY: nothing of it is read before the system has written it, and it is not made uninitialised.
            let room = unsafe { &mut *(ptr::from_mut(buffer.unfilled_mut()) as *mut [u8]) };
            let Ok(received) = ready.try_io(|stream| receive(stream.get_ref(), room, &self.arrived)) else {
                continue;
            };
            let Received { bytes, with_descriptors } = received?;
            let room = buffer.remaining();
            // SAFETY: the system has written that many.
            unsafe { buffer.assume_init(bytes) };
            buffer.advance(bytes);
            // With descriptors, more may follow; else a short read has emptied the socket.
            if 0 < bytes && bytes < room && !with_descriptors {
                ready.clear_ready();
            }
            return Poll::Ready(Ok(()));
        }
    }
}

/// Whole frames from a peer, for a thread that has nothing else to wait for.
#[derive(Debug)]
pub struct BlockingFrames {
    incoming: BufReader<BlockingIncoming>,
    arrived: Arrived,
    regions: Regions,
}

#[derive(Debug)]
struct BlockingIncoming {
    stream: UnixStream,
    arrived: Arrived,
}

impl BlockingFrames {
    /// The frames that come through `stream`.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        let (arrived, regions) = (Arrived::default(), Regions::default());
        let incoming = BlockingIncoming { stream, arrived: arrived.clone() };
        Self { incoming: BufReader::with_capacity(64 << 10, incoming), arrived, regions }
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream fails, ends inside a frame, or carries something else.
    pub fn read(&mut self) -> Result<Option<Frame>> {
        let Some(frame) = read_frame_with(&mut self.incoming, &self.arrived)? else { return Ok(None) };
        frame.whole(&mut self.regions).map(Some)
    }
}

impl Read for BlockingIncoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        receive(&self.stream, buffer, &self.arrived).map(|received| received.bytes)
    }
}

/// Sends a frame whose body is `head` and what is lent, and waits until the socket has taken it.
///
/// # Errors
/// When the peer is gone.
pub fn send_lent(mut stream: &UnixStream, kind: FrameKind, head: &[u8], loan: &Loan) -> io::Result<()> {
    let header = shared_header(kind, head.len(), loan);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let (descriptors, _) = loan.parts();
    let sent = loop {
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let parts = [IoSlice::new(&header), IoSlice::new(head)];
        match sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            // Too many descriptors of this user are on their way: they arrive soon.
            Err(rustix::io::Errno::TOOMANYREFS) => thread::sleep(Duration::from_millis(1)),
            sent => break sent?,
        }
    };
    let of_header = sent.min(header.len());
    stream.write_all(&header[of_header..])?;
    stream.write_all(&head[sent - of_header..])
}

struct Received {
    bytes: usize,
    with_descriptors: bool,
}

fn receive(stream: &UnixStream, room: &mut [u8], arrived: &Arrived) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(room)];
    let bytes = loop {
        match recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?.bytes,
        }
    };
    let mut with_descriptors = false;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            with_descriptors = true;
            let mut arrived = arrived.lock();
            arrived.extend(descriptors);
            if arrived.len() > MAX_ARRIVED {
                return Err(io::Error::other("the peer sends descriptors and no frames they belong to"));
            }
        }
    }
    Ok(Received { bytes, with_descriptors })
}

/// Descriptors that have come, in the order of the frames they belong to.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrived(Arc<Mutex<VecDeque<OwnedFd>>>);

impl Arrived {
    /// Takes a loan off the front of a body, and what came with it.
    pub(super) fn loan(&self, body: &mut Bytes) -> Result<Loan> {
        let (Ok(start), Ok(len)) = (body.try_get_u64_le(), body.try_get_u64_le()) else {
            return Err(malformed("a loan is cut short"));
        };
        let len = usize::try_from(len).map_err(|_| malformed(format!("a loan of {len} bytes")))?;
        let mut arrived = self.lock();
        let both = arrived.pop_front().zip(arrived.pop_front());
        let (file, held) = both.ok_or_else(|| malformed("what is lent did not come with its loan"))?;
        Ok(Loan::of([file, held], start, len))
    }

    pub(super) fn take_all(&self) -> usize {
        self.lock().drain(..).count()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::LONG;

    /// Heads that fit into one read, into none, and into no socket; each with a loan of its own.
    const HEADS: [usize; 6] = [0, 10, 70_000, LONG + 1, 3 << 20, 1];

    fn is_right(number: usize, frame: &Frame) -> bool {
        let head = HEADS[number];
        let (head, lent) = frame.body.split_at(head);
        head.iter().all(|byte| usize::from(*byte) == number)
            && lent == vec![100 + number as u8; LONG + number]
    }

    async fn send(outbox: &Outbox) {
        let mut regions = Regions::shared();
        for (number, head) in HEADS.into_iter().enumerate() {
            let loan = regions.lend(&vec![100 + number as u8; LONG + number]).expect("there is room");
            outbox.send_later(&crate::protocol::frame_header(FrameKind::Leave, 0));
            outbox.send_lent(FrameKind::Report, &vec![number as u8; head], &loan);
        }
    }

    #[tokio::test]
    async fn loans_arrive_with_their_frames_whatever_the_socket_takes_at_once() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (_unused, outbox) = channel(ours).expect("a channel");
        let (mut frames, _back) = channel(theirs).expect("a channel");
        send(&outbox).await;
        for number in 0..HEADS.len() {
            assert_eq!(frames.next_whole().await.expect("reads").expect("a frame").kind, FrameKind::Leave);
            let frame = frames.next_whole().await.expect("reads").expect("a frame");
            assert!(is_right(number, &frame), "frame {number}");
        }
    }

    #[tokio::test]
    async fn a_thread_that_waits_for_nothing_else_gets_them_too() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (_unused, outbox) = channel(ours).expect("a channel");
        let reads = tokio::task::spawn_blocking(move || {
            let mut frames = BlockingFrames::new(theirs);
            for number in 0..HEADS.len() {
                assert_eq!(frames.read().expect("reads").expect("a frame").kind, FrameKind::Leave);
                assert!(is_right(number, &frames.read().expect("reads").expect("a frame")), "frame {number}");
            }
        });
        send(&outbox).await;
        reads.await.expect("all frames are right");
    }

    #[tokio::test]
    async fn a_loan_without_its_descriptors_is_an_error() {
        let loan = Regions::shared().lend(&[7; 100]).expect("there is room");
        let mut frame = shared_header(FrameKind::Report, 3, &loan).to_vec();
        frame.extend_from_slice(b"abc");
        let error =
            read_frame_with(&mut frame.as_slice(), &Arrived::default()).expect_err("nothing came with it");
        assert!(error.to_string().contains("did not come"), "{error}");
    }
}
