//! [`channel`]: both directions of a socket between two processes of one machine. Descriptors can travel with
//! the bytes.

use std::{
    io::{self, BufReader, IoSlice, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    ptr::{self, NonNull},
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

#[cfg(test)]
use bytes::Bytes;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncRead, Interest, ReadBuf, unix::AsyncFd};

use super::{
    Frame, FrameKind, FrameReader, Outbox,
    frame::{read_frame_with, shared_header},
};
use super::{
    received_fds::{Came, ReceivedFds},
    watched::watched,
};
use crate::{
    error::Result,
    memory::{Loan, Regions},
};

/// The most messages with descriptors that may arrive ahead of their frames. A peer that sends more is
/// broken, and would use up the descriptors of this process.
const MAX_ARRIVED: usize = 32;

/// The reader of a peer's frames, and the outbox for frames to that peer. Must be called inside a runtime.
///
/// # Errors
/// When the system has no further descriptor.
pub fn channel(stream: UnixStream) -> Result<(FrameReader<Incoming>, Outbox)> {
    stream.set_nonblocking(true)?;
    let outbox = Outbox::new(stream.try_clone()?);
    let arrived = ReceivedFds::default();
    // The socket is watched for input only: otherwise this process would be woken each time the peer reads.
    let stream = watched(stream, Interest::READABLE)?;
    let incoming = Incoming { stream, arrived: arrived.clone() };
    Ok((FrameReader::with_arrived(incoming, arrived), outbox))
}

/// The stream of bytes from a peer.
#[derive(Debug)]
pub struct Incoming {
    stream: AsyncFd<UnixStream>,
    arrived: ReceivedFds,
}

impl FrameReader<Incoming> {
    /// Called when the peer has ended. Bytes that it has sent can still be read, and then comes the end of
    /// the stream, although other processes may hold the peer's end of the socket.
    pub fn hang_up(&self) {
        // An error says that the socket is shut down already.
        let _ = self.stream().stream.get_ref().shutdown(Shutdown::Read);
    }
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
            // SAFETY: `receive` only writes initialised bytes there, and reads none.
            let room = unsafe { buffer.unfilled_mut() };
            let Ok(received) = ready.try_io(|stream| receive(stream.get_ref(), room, &self.arrived)) else {
                continue;
            };
            let Received { bytes, with_descriptors } = received?;
            let room = buffer.remaining();
            // SAFETY: the system has written this number of bytes.
            unsafe { buffer.assume_init(bytes) };
            buffer.advance(bytes);
            // A read that brought descriptors may be short although more bytes wait; any other short read has
            // emptied the socket.
            if 0 < bytes && bytes < room && !with_descriptors {
                ready.clear_ready();
            }
            return Poll::Ready(Ok(()));
        }
    }
}

/// Whole frames from a peer, read by a thread that blocks.
#[derive(Debug)]
pub struct BlockingFrames {
    incoming: BufReader<BlockingIncoming>,
    arrived: ReceivedFds,
    regions: Regions,
}

#[derive(Debug)]
struct BlockingIncoming {
    stream: Arc<UnixStream>,
    arrived: ReceivedFds,
}

impl BlockingFrames {
    /// The frames that come through `stream`.
    #[must_use]
    pub fn new(stream: Arc<UnixStream>) -> Self {
        let (arrived, regions) = (ReceivedFds::default(), Regions::default());
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
    #[expect(unsafe_code, reason = "as above")]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `receive` only writes initialised bytes there, so that the buffer stays initialised.
        let room = unsafe { &mut *(ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        receive(&self.stream, room, &self.arrived).map(|received| received.bytes)
    }
}

/// Sends a frame whose body is `head` and the bytes of the loan, and waits until the socket has taken the
/// frame.
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
            // Too many descriptors of this user are in flight: the kernel takes more once some have arrived.
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

fn receive(stream: &UnixStream, room: &mut [MaybeUninit<u8>], arrived: &ReceivedFds) -> io::Result<Received> {
    let (bytes, is_cut, came) = receive_message(stream, room)?;
    let with_descriptors = came.is_some() || is_cut;
    if with_descriptors {
        // One of two descriptors is of no use. Their arrival is still noted in its place, so that the next
        // frame does not take the descriptors of another.
        let came = if is_cut { Came::Lost } else { Came::Here(came.unwrap_or_default()) };
        let mut arrived = arrived.lock();
        arrived.push_back(came);
        if arrived.len() > MAX_ARRIVED {
            return Err(io::Error::other("the peer sends descriptors and no frames they belong to"));
        }
    }
    Ok(Received { bytes, with_descriptors })
}

/// Receives bytes: returns how many came, whether descriptors that came with them were lost, and the
/// descriptors. The kernel ends a read behind the bytes that descriptors came with, so that all descriptors
/// are of one message.
#[expect(unsafe_code, reason = "safe bindings want memory that was written before")]
fn receive_message(
    stream: &UnixStream,
    room: &mut [MaybeUninit<u8>],
) -> io::Result<(usize, bool, Option<Vec<OwnedFd>>)> {
    /// Room for two descriptors and their header, aligned as the header must be.
    #[repr(C, align(8))]
    struct Control([u8; 64]);

    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all its fields are numbers and pointers, for which zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control.0).cast();
    // SAFETY: the macro only computes a number.
    message.msg_controllen = unsafe { libc::CMSG_SPACE((2 * size_of::<RawFd>()) as u32) } as _;
    let bytes = loop {
        // SAFETY: the message names memory that may be written, with its lengths.
        let received = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match usize::try_from(received) {
            Ok(bytes) => break bytes,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    let mut came: Option<Vec<OwnedFd>> = None;
    // SAFETY: the kernel has filled the message in; the pointers of these macros are inside of `control`.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while let Some(control) = NonNull::new(header) {
        // SAFETY: as above.
        let libc::cmsghdr { cmsg_len, cmsg_level, cmsg_type, .. } = unsafe { control.read() };
        if (cmsg_level, cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            let mut descriptors = Vec::new();
            // SAFETY: as above.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            // SAFETY: the macro only computes a number.
            let len_of = |count: usize| unsafe { libc::CMSG_LEN((count * size_of::<RawFd>()) as u32) };
            while u64::from(len_of(descriptors.len() + 1)) <= cmsg_len as u64 {
                // SAFETY: as above; the kernel has made the descriptor for this process, and nothing else
                // owns it.
                let descriptor =
                    unsafe { OwnedFd::from_raw_fd(data.add(descriptors.len()).read_unaligned()) };
                descriptors.push(descriptor);
            }
            came.get_or_insert_default().append(&mut descriptors);
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok((bytes, message.msg_flags & libc::MSG_CTRUNC != 0, came))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::LONG;

    /// Lengths of heads: some fit into one read, some into several reads, some into no socket's buffer. Each
    /// has a loan.
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
            let mut frames = BlockingFrames::new(Arc::new(theirs));
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
        let error = read_frame_with(&mut frame.as_slice(), &ReceivedFds::default())
            .expect_err("nothing came with it");
        assert!(error.to_string().contains("did not come"), "{error}");
    }

    /// A message whose descriptors were lost is noted in its place, so that the next frame gets its own
    /// descriptors.
    #[test]
    fn a_lost_pair_of_descriptors_is_not_taken_for_the_next_one() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut regions = Regions::shared();
        let loans = [1, 2].map(|byte| regions.lend(&vec![byte; LONG]).expect("there is room"));
        loans.iter().for_each(|loan| send_lent(&ours, FrameKind::Report, b"abc", loan).expect("sends"));
        let arrived = ReceivedFds::default();
        let mut incoming = BlockingIncoming { stream: Arc::new(theirs), arrived: arrived.clone() };
        arrived.lock().push_back(Came::Lost);
        // The note belongs to an earlier message, whose frame is read first.
        let first = shared_header(FrameKind::Report, 0, &loans[0]);
        let error = read_frame_with(&mut first.as_slice(), &arrived).expect_err("it was lost");
        assert!(format!("{error:?}").contains("ulimit -n"), "{error:?}");
        for byte in [1, 2] {
            let frame = read_frame_with(&mut incoming, &arrived).expect("reads").expect("a frame");
            let frame = frame.whole(&mut Regions::default()).expect("it is there");
            assert_eq!(frame.body[3..], vec![byte; LONG]);
        }
    }

    #[test]
    fn a_loan_of_more_than_there_is_is_an_error_before_memory_is_set_aside() {
        let loan = Regions::shared().lend(&[7; 100]).expect("there is room");
        let (descriptors, _) = loan.parts();
        for (start, len) in
            [(0, u64::MAX), (u64::MAX, 1), (u64::MAX - 5, 10), (0, 1 << 40), (0, 9 << 20), (8 << 20, 1)]
        {
            let (file, held) = (descriptors[0], descriptors[1]);
            let both = [file, held].map(|descriptor| descriptor.try_clone_to_owned().expect("a descriptor"));
            let arrived = ReceivedFds::default();
            arrived.lock().push_back(Came::Here(both.into()));
            let mut body = Bytes::from([u64::to_le_bytes(start), u64::to_le_bytes(len)].concat());
            let lent =
                arrived.loan(&mut body).map(|end| Frame { kind: FrameKind::Report, body, end: Some(end) });
            let error = lent
                .and_then(|frame| frame.whole(&mut Regions::default()))
                .expect_err("there is not so much");
            assert!(error.to_string().contains("a loan of"), "{start} {len}: {error}");
        }
    }
}
