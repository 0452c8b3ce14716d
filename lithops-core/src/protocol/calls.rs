//! [`Calls`]: a run of calls to make, with their encoded arguments.

use bytes::Bytes;

use super::{Frame, FrameKind, Payloads, Run, frame_header, malformed};
use crate::{error::Result, memory::Loan};

/// A run of calls and their arguments.
#[derive(Debug, Clone)]
pub struct Calls {
    /// The calls to make.
    pub run: Run,
    /// The number of the batch on the hop to a sub-worker; 0 on the hop to a worker.
    pub batch: u32,
    /// When the client handed the calls over, in nanoseconds since the Unix epoch.
    pub queued_at: u64,
    /// One encoded argument per call.
    pub arguments: Payloads,
}

/// Bytes before the arguments: the run, the batch, four zero bytes that align the next field, and
/// `queued_at`.
const FIXED: usize = Run::LEN + 16;

impl Calls {
    /// The `count` calls from the `skip`th on, counted from 0; nothing is copied.
    #[must_use]
    pub fn slice(&self, skip: u32, count: u32) -> Self {
        Self {
            run: self.run.slice(skip, count),
            arguments: self.arguments.slice(skip as usize, count as usize),
            ..*self
        }
    }

    /// Takes the first `count` calls off and returns them; nothing is copied.
    #[must_use]
    pub fn take_front(&mut self, count: u32) -> Self {
        let front = self.slice(0, count);
        *self = self.slice(count, self.run.count - count);
        front
    }

    /// Appends the whole frame to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(super::HEADER_LEN + FIXED + self.arguments.encoded_len());
        let arguments = self.write_head(out);
        out.extend_from_slice(&arguments);
    }

    /// Appends the frame up to its arguments, and returns the arguments: the caller sends them without a
    /// copy.
    #[must_use]
    pub fn write_head(&self, out: &mut Vec<u8>) -> Bytes {
        let len = FIXED + self.arguments.encoded_len();
        out.extend_from_slice(&frame_header(FrameKind::Calls, len));
        self.write_body_head(out)
    }

    /// Like [`write_head`](Self::write_head), but without the frame's header.
    pub(super) fn write_body_head(&self, out: &mut Vec<u8>) -> Bytes {
        self.run.write(out);
        out.extend_from_slice(&self.batch.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.queued_at.to_le_bytes());
        self.arguments.write_ends(out)
    }

    /// Decodes a frame's body.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn read(body: &Bytes) -> Result<Self> {
        Self::read_with(body, None)
    }

    /// Decodes a frame. Arguments that are lent stay in the shared memory.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn read_frame(frame: &Frame) -> Result<Self> {
        Self::read_with(&frame.body, frame.end.as_ref())
    }

    fn read_with(body: &Bytes, end: Option<&Loan>) -> Result<Self> {
        let run = Run::read(body)?;
        let fixed: &[u8; FIXED] = body.first_chunk().ok_or_else(|| malformed("calls are cut short"))?;
        let mut queued_at = [0; 8];
        queued_at.copy_from_slice(&fixed[Run::LEN + 8..]);
        let batch = &fixed[Run::LEN..];
        Ok(Self {
            run,
            batch: u32::from_le_bytes([batch[0], batch[1], batch[2], batch[3]]),
            queued_at: u64::from_le_bytes(queued_at),
            arguments: Payloads::read_with(&body.slice(FIXED..), run.count, end)?,
        })
    }
}
