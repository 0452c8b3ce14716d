//! Frames on the wire: header, limit of length, and readers for blocking and asynchronous streams.

use std::io::Read;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    limits::MAX_FRAME,
    malformed::{cut_short, malformed},
    received_fds::ReceivedFds,
};
use crate::{
    error::Result,
    memory::{LONG, Loan, Region, Regions},
};

/// The length of a frame's header in bytes.
pub const HEADER_LEN: usize = 8;

/// The index of the header's byte that is 1 when the body begins with a loan: then the body ends with the
/// lent bytes.
const ENDS_ELSEWHERE: usize = 5;
/// The length of an encoded loan: the offset in the shared memory, and the number of bytes, `u64 LE` each.
const LOAN_LEN: usize = 16;

/// The most bytes that are reserved because of a header alone, so that a broken peer cannot use up the memory
/// with a few bytes; the buffer grows further as bytes arrive. For a body longer than [`LONG`] it is one
/// block of memory.
const MAX_RESERVE: usize = 1 << 20;

/// The least room in the buffer for a read: smaller reads would cost too many system calls.
const MIN_ROOM: usize = 2 << 10;

/// The kind of a frame: what its body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// [`Hello`](crate::protocol::Hello), the first frame of both sides.
    Hello = 1,
    /// [`Setup`](crate::protocol::Setup), from the client to the worker, after its hello.
    Setup = 2,
    /// [`JobSpec`](crate::protocol::JobSpec), before the first calls of a job.
    Job = 3,
    /// [`Calls`](crate::protocol::Calls), a run of calls to make.
    Calls = 4,
    /// [`Report`](crate::protocol::Report), a run of outcomes.
    Report = 5,
    /// [`Logs`](crate::protocol::Logs), what calls have printed; sent before the report of those calls.
    Logs = 6,
    /// [`Forget`](crate::protocol::Forget): the job is finished.
    Forget = 7,
    /// [`Cancel`](crate::protocol::Cancel): end these calls, wherever they are.
    Cancel = 8,
    /// [`Processes`](crate::protocol::SetProcesses): how many calls of the job may run at once from now on.
    Processes = 9,
    /// [`Secrets`](crate::protocol::Secrets): the credentials of the storage, sent before the first job.
    Secrets = 10,
    /// [`StoredCalls`](crate::protocol::StoredCalls): a run of calls to make, whose arguments are in the
    /// storage.
    StoredCalls = 11,
    /// [`StoredReport`](crate::protocol::StoredReport): a run of outcomes that are in the storage.
    StoredReport = 12,
    /// [`Deadline`](crate::protocol::Deadline): how long the worker may run calls of the job.
    Deadline = 13,
    /// No body: the worker has received the descriptor of the greeting, so that memory can be shared with it.
    Shares = 17,
    /// No body: a worker of a fleet must take no further job, and end when it has none.
    Leave = 14,
    /// `artifact::ProgramRef`: the program of the calls that follow, for a worker that fetches it
    /// from the storage.
    Running = 15,
    /// [`ExitReason`](crate::compute::ExitReason): how the activation ended, the last frame of an answer.
    Ended = 16,
    /// No body: the worker lives. It is sent in streamed answers when nothing else was sent for a while.
    Heartbeat = 18,
    /// [`HandBack`](crate::protocol::HandBack): begin no further call of the job.
    HandBack = 19,
    /// No body: the worker was told to end by its platform, and begins nothing more.
    Leaving = 20,
}

impl FrameKind {
    /// The kind of this number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Setup,
            3 => Self::Job,
            4 => Self::Calls,
            5 => Self::Report,
            6 => Self::Logs,
            7 => Self::Forget,
            8 => Self::Cancel,
            9 => Self::Processes,
            10 => Self::Secrets,
            11 => Self::StoredCalls,
            12 => Self::StoredReport,
            13 => Self::Deadline,
            14 => Self::Leave,
            15 => Self::Running,
            16 => Self::Ended,
            17 => Self::Shares,
            18 => Self::Heartbeat,
            19 => Self::HandBack,
            20 => Self::Leaving,
            _ => return None,
        })
    }
}

/// One frame: its kind and its body.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What the body holds.
    pub kind: FrameKind,
    /// The body, not yet decoded.
    pub body: Bytes,
    /// The end of the body, when its sender lends it; `None` when all of the body is in `body`.
    pub end: Option<Loan>,
}

impl Frame {
    /// Appends a frame with a postcard body to `out`.
    ///
    /// # Errors
    /// When the value cannot be encoded, or is longer than [`MAX_FRAME`].
    pub fn write<T: Serialize>(kind: FrameKind, value: &T, out: &mut Vec<u8>) -> Result<()> {
        let body = postcard::to_stdvec(value)
            .map_err(|error| malformed(format!("cannot encode {kind:?}: {error}")))?;
        if body.len() > MAX_FRAME {
            return Err(malformed(format!(
                "{kind:?} of {} bytes exceeds the limit of {MAX_FRAME}",
                body.len()
            )));
        }
        out.extend_from_slice(&frame_header(kind, body.len()));
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Makes a frame of a body that has come. Where the body begins with a loan, the loan is taken off.
    fn of(kind: FrameKind, ends_elsewhere: bool, mut body: Bytes, arrived: &ReceivedFds) -> Result<Self> {
        let end = if ends_elsewhere { Some(arrived.loan(&mut body)?) } else { None };
        Ok(Self { kind, body, end })
    }

    /// Copies lent bytes into this process, so that the whole body is in `body`.
    ///
    /// # Errors
    /// When there is no memory, or the loan is larger than the shared memory.
    pub fn whole(self, regions: &mut Regions) -> Result<Self> {
        let Some(loan) = &self.end else { return Ok(self) };
        // Checked first: otherwise a broken peer could make this process reserve any amount of memory.
        if !loan.is_within() {
            return Err(malformed("a loan of more than there is"));
        }
        let body = regions.fetch(&self.body, loan).map_err(std::io::Error::from)?;
        Ok(Self { kind: self.kind, body, end: None })
    }

    /// Decodes a postcard body.
    ///
    /// # Errors
    /// When the body is not an encoded `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        postcard::from_bytes(&self.body).map_err(|error| malformed(format!("{:?}: {error}", self.kind)))
    }
}

/// The header of a frame with a body of `len` bytes, which is at most [`MAX_FRAME`].
#[must_use]
pub fn frame_header(kind: FrameKind, len: usize) -> [u8; HEADER_LEN] {
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    [len[0], len[1], len[2], len[3], kind as u8, 0, 0, 0]
}

/// The header and the loan of a frame whose body ends with lent bytes. The `rest` other bytes of the body
/// follow.
pub(super) fn shared_header(kind: FrameKind, rest: usize, loan: &Loan) -> [u8; HEADER_LEN + LOAN_LEN] {
    let mut header = [0; HEADER_LEN + LOAN_LEN];
    header[..HEADER_LEN].copy_from_slice(&frame_header(kind, LOAN_LEN + rest));
    header[ENDS_ELSEWHERE] = 1;
    let (_, [start, len]) = loan.parts();
    header[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&start.to_le_bytes());
    header[HEADER_LEN + 8..].copy_from_slice(&len.to_le_bytes());
    header
}

fn parse_header(header: &[u8]) -> Result<(FrameKind, usize)> {
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if len > MAX_FRAME {
        return Err(malformed(format!("{len} bytes exceed the limit of {MAX_FRAME}")));
    }
    let kind =
        FrameKind::from_byte(header[4]).ok_or_else(|| malformed(format!("unknown kind {}", header[4])))?;
    Ok((kind, len))
}

/// Reads one frame from a blocking stream; `None` at the end of the stream.
///
/// # Errors
/// When the stream fails, ends inside a frame, or carries something else.
pub fn read_frame(stream: &mut impl Read) -> Result<Option<Frame>> {
    read_frame_with(stream, &ReceivedFds::default())
}

/// Like [`read_frame`], but with the descriptors that have come with the bytes.
pub(super) fn read_frame_with(stream: &mut impl Read, arrived: &ReceivedFds) -> Result<Option<Frame>> {
    let mut header = [0; HEADER_LEN];
    let mut filled = 0;
    while filled < HEADER_LEN {
        match stream.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(cut_short()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (kind, len) = parse_header(&header)?;
    if len > LONG {
        let mut body = announced(&mut Regions::default(), len)?;
        let mut filled = 0;
        loop {
            match stream.read_exact(&mut body[filled..]) {
                Ok(()) => filled = body.len(),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(cut_short()),
                Err(error) => return Err(error.into()),
            }
            if filled == len {
                return Frame::of(kind, header[ENDS_ELSEWHERE] != 0, body.freeze(), arrived).map(Some);
            }
            body.grow(len).map_err(std::io::Error::from)?;
        }
    }
    let mut body = Vec::with_capacity(len);
    let read = stream.take(len as u64).read_to_end(&mut body)?;
    if read < len {
        return Err(cut_short());
    }
    Frame::of(kind, header[ENDS_ELSEWHERE] != 0, body.into(), arrived).map(Some)
}

/// Memory for the beginning of a long body.
fn announced(regions: &mut Regions, len: usize) -> Result<Region> {
    regions.announced(len).map_err(|error| std::io::Error::from(error).into())
}

/// Reads frames from an asynchronous stream. Cancel safe: bytes that were read stay in the reader.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// The size of the blocks that frames are read into, in bytes. A frame keeps its whole block alive.
    block: usize,
    /// A long frame of which some bytes are still to come.
    long: Option<Long>,
    regions: Regions,
    /// The descriptors that have come with the bytes.
    arrived: ReceivedFds,
}

#[derive(Debug)]
struct Long {
    kind: FrameKind,
    ends_elsewhere: bool,
    /// The memory of the body; it grows as bytes arrive.
    body: Region,
    /// How many bytes have arrived.
    filled: usize,
    /// The length of the whole body.
    len: usize,
}

/// The usual size of a block: many short frames come with one system call.
const BLOCK: usize = 64 << 10;

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `stream` with blocks of 64 KiB.
    pub fn new(stream: R) -> Self {
        Self::with_block(stream, BLOCK)
    }

    /// A reader with blocks of `block` bytes: small blocks save memory where there are many streams with
    /// little traffic.
    pub fn with_block(stream: R, block: usize) -> Self {
        let (buffer, block) = (BytesMut::with_capacity(block), block.max(MIN_ROOM));
        let (arrived, regions) = (ReceivedFds::default(), Regions::default());
        Self { stream, buffer, block, long: None, regions, arrived }
    }

    /// A reader that takes the descriptors of loans from `arrived`.
    pub(super) fn with_arrived(stream: R, arrived: ReceivedFds) -> Self {
        Self { arrived, ..Self::new(stream) }
    }

    pub(super) fn stream(&self) -> &R {
        &self.stream
    }

    /// Drops the descriptors that have come with a greeting, and returns how many there were.
    pub fn take_arrived(&self) -> usize {
        self.arrived.take_all()
    }

    /// The next frame with its whole body in this process; `None` at the end of the stream.
    ///
    /// # Errors
    /// As [`next`](Self::next), and when there is no memory for the body.
    pub async fn next_whole(&mut self) -> Result<Option<Frame>> {
        let Some(frame) = self.next().await? else { return Ok(None) };
        frame.whole(&mut self.regions).map(Some)
    }

    /// The next frame, of which a part may be lent; `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream fails, ends inside a frame, or carries something else.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            if let Some(Long { body, filled, len, .. }) = &mut self.long {
                if *filled == body.len() {
                    body.grow(*len).map_err(std::io::Error::from)?;
                }
                match self.stream.read(&mut body[*filled..]).await? {
                    0 => return Err(cut_short()),
                    count => *filled += count,
                }
            } else if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut_short()) };
            }
        }
    }

    /// The next frame, if all of it has been read already.
    ///
    /// # Errors
    /// When the bytes read are not a frame.
    pub fn buffered(&mut self) -> Result<Option<Frame>> {
        if let Some(long) = self.long.take_if(|long| long.filled == long.len) {
            return Frame::of(long.kind, long.ends_elsewhere, long.body.freeze(), &self.arrived).map(Some);
        }
        if self.long.is_some() {
            return Ok(None);
        }
        if self.buffer.len() < HEADER_LEN {
            self.make_room(MIN_ROOM);
            return Ok(None);
        }
        let (kind, len) = parse_header(&self.buffer)?;
        let ends_elsewhere = self.buffer[ENDS_ELSEWHERE] != 0;
        if self.buffer.len() < HEADER_LEN + len {
            if len > LONG {
                let mut body = announced(&mut self.regions, len)?;
                self.buffer.advance(HEADER_LEN);
                let filled = self.buffer.len();
                while filled > body.len() {
                    body.grow(len).map_err(std::io::Error::from)?;
                }
                body[..filled].copy_from_slice(&self.buffer);
                self.buffer.clear();
                self.long = Some(Long { kind, ends_elsewhere, body, filled, len });
                return Ok(None);
            }
            let missing = HEADER_LEN + len - self.buffer.len();
            self.make_room(missing.clamp(MIN_ROOM, MAX_RESERVE));
            return Ok(None);
        }
        self.buffer.advance(HEADER_LEN);
        Frame::of(kind, ends_elsewhere, self.buffer.split_to(len).freeze(), &self.arrived).map(Some)
    }

    /// Makes room for a read. Frames share the block that they were read into, and each keeps the whole block
    /// alive: a new block is begun only when the old one is used up.
    fn make_room(&mut self, room: usize) {
        if self.buffer.capacity() - self.buffer.len() < room {
            self.buffer.reserve(room.max(self.block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_past_the_cap_is_refused_before_it_is_allocated() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0];
        let error = read_frame(&mut bytes).expect_err("refused");
        assert!(error.to_string().contains("exceed the limit"), "{error}");
    }

    #[tokio::test]
    async fn frames_longer_than_a_block_are_read_by_both_readers() {
        let len = 20 << 20;
        let mut out = frame_header(FrameKind::Logs, len).to_vec();
        out.extend((0..len).map(|at| (at / 1000 % 251) as u8));
        out.extend_from_slice(&frame_header(FrameKind::Leave, 0));
        let mut blocking = out.as_slice();
        let mut reader = FrameReader::new(out.as_slice());
        for body in [&out[HEADER_LEN..HEADER_LEN + len], &[]] {
            let frames = [
                read_frame(&mut blocking).expect("reads").expect("a frame"),
                reader.next().await.expect("reads").expect("a frame"),
            ];
            assert!(frames.iter().all(|frame| frame.body == body), "{} bytes", body.len());
        }
    }

    #[tokio::test]
    async fn long_frames_are_read_wherever_they_are_cut() {
        let mut out = Vec::new();
        let lengths = [3, LONG + 1, 0, LONG * 2, 70_000, LONG + 9, 1];
        for (number, len) in lengths.into_iter().enumerate() {
            out.extend_from_slice(&frame_header(FrameKind::Logs, len));
            out.resize(out.len() + len, u8::try_from(number).expect("small"));
        }
        let is_right = |number: usize, frame: &Frame| {
            frame.body.len() == lengths[number] && frame.body.iter().all(|byte| usize::from(*byte) == number)
        };
        for piece in [1_000, 65_536, 300_000, out.len()] {
            let (mut theirs, ours) = tokio::io::duplex(piece);
            let (bytes, writing) = (out.clone(), tokio::io::AsyncWriteExt::write_all);
            let write = tokio::spawn(async move { writing(&mut theirs, &bytes).await });
            let mut frames = FrameReader::new(ours);
            for number in 0..lengths.len() {
                let frame = frames.next().await.expect("reads").expect("a frame");
                assert!(is_right(number, &frame), "frame {number} in pieces of {piece}");
            }
            assert!(frames.next().await.expect("ends").is_none());
            write.await.expect("it ends").expect("written");
        }
        let mut blocking = out.as_slice();
        for number in 0..lengths.len() {
            assert!(is_right(number, &read_frame(&mut blocking).expect("reads").expect("a frame")));
        }
        let cut = LONG / 2;
        assert!(FrameReader::new(&out[11..cut]).next().await.is_err(), "the end inside a long frame");
        assert!(read_frame(&mut &out[11..cut]).is_err());
    }

    #[test]
    fn the_end_inside_a_frame_is_an_error_and_between_frames_is_not() {
        let mut out = Vec::new();
        Frame::write(FrameKind::Forget, &7u32, &mut out).expect("writes");
        let mut whole = out.as_slice();
        assert_eq!(
            read_frame(&mut whole).expect("reads").expect("a frame").decode::<u32>().expect("decodes"),
            7
        );
        assert!(read_frame(&mut whole).expect("ends").is_none());
        for cut in 1..out.len() {
            assert!(read_frame(&mut &out[..cut]).is_err(), "cut at {cut}");
        }
    }
}
