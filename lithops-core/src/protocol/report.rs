//! [`Report`]: a run of outcomes with their statistics.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;

use super::{Frame, FrameKind, HEADER_LEN, Payloads, PayloadsBuilder, Run, frame_header, malformed};
use crate::{error::Result, id::CallId, in_seconds, memory::Loan};

/// How a call has ended, one byte in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// The call returned; the payload is the encoded value.
    Ok = 0,
    /// The call failed; the payload is the encoded [`CallError`](crate::error::CallError).
    Failed = 1,
    /// The call was not begun, which is neither a failure nor a loss; the payload is empty.
    Unstarted = 2,
    /// The sub-worker of the call was lost, and the call is not known to be to blame; the payload is a
    /// `CallError`.
    Lost = 3,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Ok,
            1 => Self::Failed,
            2 => Self::Unstarted,
            3 => Self::Lost,
            _ => return None,
        })
    }
}

/// The part of a report that holds for all its calls together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportHeader {
    /// The calls of the report.
    pub run: Run,
    /// The number of the batch that the calls came in, on the hop from a sub-worker; 0 elsewhere.
    pub batch: u32,
    /// Whether the batch is finished: nothing more will be reported of it.
    pub batch_done: bool,
    /// Whether the outcomes are the stored ones of a durable job: they are final.
    pub stored: bool,
    /// The process that ran the calls.
    pub pid: u32,
    /// When the client handed the calls over, in nanoseconds since the Unix epoch.
    pub queued_at: u64,
    /// CPU time of the process while it ran these calls.
    pub cpu: Duration,
    /// The process's highest resident memory so far, in bytes.
    pub peak_memory: u64,
    /// How long the calls were ready to run and had to wait for a CPU; 0 where the system does not tell.
    pub delay: Duration,
}

/// The length of an encoded header in bytes: the run, and six fields of `u64 LE`.
const FIXED: usize = Run::LEN + 48;
/// Flags above the 32 bits of the batch's number, in the same field.
const BATCH_DONE: u64 = 1 << 32;
const STORED: u64 = 1 << 33;

impl ReportHeader {
    fn write(&self, out: &mut Vec<u8>) {
        self.run.write(out);
        let done = if self.batch_done { BATCH_DONE } else { 0 };
        let stored = if self.stored { STORED } else { 0 };
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (cpu, delay) = (nanos(self.cpu), nanos(self.delay));
        let batch = u64::from(self.batch) | done | stored;
        for field in [batch, u64::from(self.pid), self.queued_at, cpu, self.peak_memory, delay] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
}

/// A run of outcomes, in columns. The bytes are kept as they came, and are read in place.
#[derive(Debug, Clone)]
pub struct Report {
    /// The part that holds for all calls together.
    pub header: ReportHeader,
    tags: Bytes,
    times: Bytes,
    values: Payloads,
}

impl Report {
    /// Decodes a frame's body, checking every offset once.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn read(body: &Bytes) -> Result<Self> {
        Self::read_with(body, None)
    }

    /// Decodes a frame. Values that are lent stay in the shared memory.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn read_frame(frame: &Frame) -> Result<Self> {
        Self::read_with(&frame.body, frame.end.as_ref())
    }

    fn read_with(body: &Bytes, end: Option<&Loan>) -> Result<Self> {
        let header = Self::read_header(body)?;
        let count = header.run.count as usize;
        let columns = count.checked_mul(17).and_then(|columns| columns.checked_add(FIXED));
        if columns.is_none_or(|columns| columns > body.len()) {
            return Err(malformed("a report is cut short"));
        }
        let tags = body.slice(FIXED..FIXED + count);
        if let Some(tag) = tags.iter().find(|tag| Tag::from_byte(**tag).is_none()) {
            return Err(malformed(format!("unknown outcome {tag}")));
        }
        let times = body.slice(FIXED + count..FIXED + count * 17);
        let values = Payloads::read_with(&body.slice(FIXED + count * 17..), header.run.count, end)?;
        Ok(Self { header, tags, times, values })
    }

    /// Decodes the header alone.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn read_header(body: &[u8]) -> Result<ReportHeader> {
        let run = Run::read(body)?;
        let fixed: &[u8; FIXED] = body.first_chunk().ok_or_else(|| malformed("a report is cut short"))?;
        let field = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&fixed[Run::LEN + at..Run::LEN + at + 8]);
            u64::from_le_bytes(field)
        };
        let (batch, pid) = (field(0), field(8));
        Ok(ReportHeader {
            run,
            batch: (batch & u64::from(u32::MAX)) as u32,
            batch_done: batch & BATCH_DONE != 0,
            stored: batch & STORED != 0,
            pid: (pid & u64::from(u32::MAX)) as u32,
            queued_at: field(16),
            cpu: Duration::from_nanos(field(24)),
            peak_memory: field(32),
            delay: Duration::from_nanos(field(40)),
        })
    }

    /// How many calls the report has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether the report has no call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether every call has returned a value.
    #[must_use]
    pub fn all_ok(&self) -> bool {
        self.tags.iter().all(|tag| *tag == Tag::Ok as u8)
    }

    /// How the call at `index` has ended.
    #[must_use]
    pub fn tag(&self, index: usize) -> Tag {
        Tag::from_byte(self.tags[index]).expect("tags were checked when the report was read")
    }

    /// The encoded value or error of the call at `index`.
    #[must_use]
    pub fn value(&self, index: usize) -> &[u8] {
        self.values.get(index)
    }

    /// Decodes the value or error of the call at `index`, so that long [`Bytes`](crate::bytes::Bytes) in it
    /// share the report's memory.
    pub fn decode<T>(&self, index: usize, decode: impl FnOnce(&[u8]) -> T) -> T {
        self.values.decode(index, decode)
    }

    /// When the call at `index` started and ended, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn times(&self, index: usize) -> (u64, u64) {
        let at = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&self.times[at..at + 8]);
            u64::from_le_bytes(field)
        };
        (at(index * 16), at(index * 16 + 8))
    }

    /// The statistics of the call at `index`.
    #[must_use]
    pub fn stats(&self, index: usize) -> CallStats {
        let (started, ended) = self.times(index);
        let time = |nanos: u64| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        CallStats {
            call: CallId::from(self.header.run.first + index as u64),
            attempt: self.header.run.attempt,
            pid: self.header.pid,
            queued: time(self.header.queued_at),
            started: time(started),
            ended: time(ended),
            bytes: self.value(index).len(),
            cpu: self.header.cpu,
            peak_memory: self.header.peak_memory,
            batch: self.len(),
        }
    }

    /// The `count` outcomes from `skip` on; nothing is copied.
    #[must_use]
    pub fn slice(&self, skip: u32, count: u32) -> Self {
        let (from, to) = (skip as usize, (skip + count) as usize);
        Self {
            header: ReportHeader { run: self.header.run.slice(skip, count), ..self.header },
            tags: self.tags.slice(from..to),
            times: self.times.slice(from * 16..to * 16),
            values: self.values.slice(from, count as usize),
        }
    }

    /// The outcomes of the calls `first..end`, all of which the report must have; nothing is copied.
    #[must_use]
    pub fn part(&self, first: u64, end: u64) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.slice(narrow(first - self.header.run.first), narrow(end - first))
    }

    /// The frame's body, in the form that [`read`](Self::read) takes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + self.bytes());
        self.header.write(&mut out);
        out.extend_from_slice(&self.tags);
        out.extend_from_slice(&self.times);
        self.values.write(&mut out);
        out
    }

    /// Appends the whole frame to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let body = self.encode();
        out.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
        out.extend_from_slice(&body);
    }

    /// How many bytes the outcomes have when they are encoded, without the header.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tags.len() + self.times.len() + self.values.encoded_len()
    }
}

/// The statistics of one call: where and when it ran, and what it used. Serialized fields have their unit in
/// the name, such as `cpu_seconds`; times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallStats {
    /// The id of the call.
    pub call: CallId,
    /// The attempt that gave the outcome, from 1.
    pub attempt: u32,
    /// The process id of the sub-worker that ran the call; 0 when no process has reported it.
    pub pid: u32,
    /// When the client handed the call over to a worker.
    #[serde(rename = "queued_unix_seconds", serialize_with = "in_seconds::unix")]
    pub queued: SystemTime,
    /// When the call began to run.
    #[serde(rename = "started_unix_seconds", serialize_with = "in_seconds::unix")]
    pub started: SystemTime,
    /// When the call ended.
    #[serde(rename = "ended_unix_seconds", serialize_with = "in_seconds::unix")]
    pub ended: SystemTime,
    /// The length of the encoded value or error, in bytes.
    pub bytes: usize,
    /// CPU time of the process during the batch the call ran in, which is the call itself when `batch` is 1.
    #[serde(rename = "cpu_seconds", serialize_with = "in_seconds::duration")]
    pub cpu: Duration,
    /// The highest resident memory of the process that ran the call, up to then, in bytes.
    #[serde(rename = "peak_memory_bytes")]
    pub peak_memory: u64,
    /// How many calls were reported together. Short calls are, and share `cpu`.
    pub batch: usize,
}

impl CallStats {
    /// How long the call ran.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.ended.duration_since(self.started).unwrap_or_default()
    }
}

/// Collects outcomes into a report.
#[derive(Debug, Default)]
pub struct ReportBuilder {
    tags: Vec<u8>,
    times: Vec<u8>,
    values: PayloadsBuilder,
}

impl ReportBuilder {
    /// The bytes of the values so far; append a value here, then call [`end_call`](Self::end_call).
    pub fn value(&mut self) -> &mut Vec<u8> {
        self.values.data()
    }

    /// Ends the outcome whose value was appended; the times are nanoseconds since the Unix epoch.
    pub fn end_call(&mut self, tag: Tag, started: u64, ended: u64) {
        self.values.end_value();
        self.note(tag, started, ended);
    }

    /// Ends the last outcome, whose value of `bytes` bytes is not in the builder: the sender of the frame
    /// sends the value behind it.
    pub fn end_call_of(&mut self, bytes: usize, tag: Tag, started: u64, ended: u64) {
        self.values.end_value_of(bytes);
        self.note(tag, started, ended);
    }

    fn note(&mut self, tag: Tag, started: u64, ended: u64) {
        self.tags.push(tag as u8);
        self.times.extend_from_slice(&started.to_le_bytes());
        self.times.extend_from_slice(&ended.to_le_bytes());
    }

    /// How many outcomes were ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether no outcome was ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// How many bytes all values have together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.values.bytes()
    }

    /// Like [`drain_into`](Self::drain_into), but without the frame's header; for a frame whose last value is
    /// sent behind.
    pub fn drain_head_into(&mut self, header: &ReportHeader, out: &mut Vec<u8>) {
        let from = out.len();
        self.drain_into(header, out);
        out.drain(from..from + HEADER_LEN);
    }

    /// Appends the frame to `out`, and starts a new report; the buffers keep their memory. The header's run
    /// must have as many calls as outcomes were ended.
    pub fn drain_into(&mut self, header: &ReportHeader, out: &mut Vec<u8>) {
        debug_assert_eq!(header.run.count as usize, self.len(), "one outcome per call of the run");
        let len = FIXED + self.tags.len() + self.times.len() + self.values.encoded_len();
        out.extend_from_slice(&frame_header(FrameKind::Report, len));
        header.write(out);
        out.append(&mut self.tags);
        out.append(&mut self.times);
        self.values.drain_into(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{ActivationId, JobId},
        protocol::HEADER_LEN,
    };
    use proptest::prelude::*;

    fn header(count: u32) -> ReportHeader {
        let run = Run {
            job: JobId::generate(),
            activation: ActivationId(0),
            offset: 0,
            chunksize: 4,
            attempt: 1,
            first: 9,
            count,
        };
        ReportHeader {
            run,
            batch: 7,
            batch_done: true,
            stored: false,
            pid: 42,
            queued_at: 5,
            cpu: Duration::from_nanos(77),
            peak_memory: 1 << 20,
            delay: Duration::ZERO,
        }
    }

    #[test]
    fn a_report_round_trips() {
        let mut builder = ReportBuilder::default();
        builder.value().extend_from_slice(b"abc");
        builder.end_call(Tag::Ok, 10, 20);
        builder.value().extend_from_slice(b"no");
        builder.end_call(Tag::Failed, 20, 35);
        let mut out = Vec::new();
        builder.drain_into(&header(2), &mut out);
        let report = Report::read(&Bytes::from(out.split_off(HEADER_LEN))).expect("reads");
        assert_eq!(report.header, header(2).clone_with_job(report.header.run.job));
        assert_eq!((report.tag(0), report.value(0)), (Tag::Ok, b"abc".as_slice()));
        assert_eq!((report.tag(1), report.value(1)), (Tag::Failed, b"no".as_slice()));
        assert_eq!(report.stats(1).duration(), Duration::from_nanos(15));
        assert_eq!(report.slice(1, 1).value(0), b"no");
        assert!(!report.all_ok() && report.slice(0, 1).all_ok());
    }

    impl ReportHeader {
        fn clone_with_job(mut self, job: JobId) -> Self {
            self.run.job = job;
            self
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let bytes = Bytes::from(bytes);
            if let Ok(report) = Report::read(&bytes) {
                prop_assert!((0..report.len()).all(|index| report.stats(index).batch == report.len()));
            }
        }
    }
}
