//! [`ChunkOutcomes`]: the outcomes of all calls of a chunk, in the form that is stored.

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Result},
    protocol::{Frame, FrameKind, HEADER_LEN, LogEntry, Logs, Report, frame_header, read_frame},
    tracker::Ranges,
};

/// The outcomes of all calls of a chunk and their output, encoded as a sequence of frames.
#[derive(Debug, Clone, Default)]
pub struct ChunkOutcomes {
    /// The output of the calls.
    pub logs: Vec<LogEntry>,
    /// The outcomes. Each call is in exactly one report.
    pub reports: Vec<Report>,
}

impl ChunkOutcomes {
    /// The bytes to store.
    ///
    /// # Errors
    /// When the output of the calls cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if let (Some(report), false) = (self.reports.first(), self.logs.is_empty()) {
            let logs = Logs { job: report.header.run.job, entries: self.logs.clone() };
            Frame::write(FrameKind::Logs, &logs, &mut out)?;
        }
        for report in &self.reports {
            let body = report.encode();
            out.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
            out.extend_from_slice(&body);
        }
        Ok(out)
    }

    /// Decodes stored bytes, which must hold the outcomes of the calls `first..end` and of no others.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(bytes: &Bytes, first: u64, end: u64) -> Result<Self> {
        let damaged = |how: &str| {
            Error::new(
                ErrorKind::Unexpected,
                format!("the stored outcomes of calls {first} to {end} are damaged: {how}"),
            )
        };
        let mut bundle = Self::default();
        let mut rest = &bytes[..];
        while let Some(frame) = read_frame(&mut rest)? {
            match frame.kind {
                FrameKind::Logs => bundle.logs.extend(frame.decode::<Logs>()?.entries),
                FrameKind::Report => {
                    bundle.reports.push(Report::read(&frame.body)?);
                }
                kind => return Err(damaged(&format!("there is a {kind:?} frame"))),
            }
        }
        if bundle.is_of(first, end) { Ok(bundle) } else { Err(damaged("they are not those of these calls")) }
    }

    /// Whether it has exactly one outcome of each call of `first..end`, and none of other calls.
    pub(super) fn is_of(&self, first: u64, end: u64) -> bool {
        let mut covered = Ranges::default();
        let runs = self.reports.iter().map(|report| report.header.run);
        let count: u64 = runs
            .map(|run| {
                covered.insert(run.first, run.end());
                u64::from(run.count)
            })
            .sum();
        covered.missing(first, end).is_empty() && covered.len() == end - first && count == end - first
    }

    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let logs: usize = self.logs.iter().map(|entry| entry.head.len() + entry.tail.len()).sum();
        logs + self.reports.iter().map(|report| report.bytes() + HEADER_LEN).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        id::{ActivationId, JobId},
        protocol::{ReportBuilder, ReportHeader, Run, Tag},
    };

    fn report(first: u64, count: u32) -> Report {
        let mut builder = ReportBuilder::default();
        for call in first..first + u64::from(count) {
            builder.value().extend_from_slice(&call.to_le_bytes());
            builder.end_call(Tag::Ok, 1, 2);
        }
        let run = Run {
            job: JobId::from_bytes([1; 16]),
            activation: ActivationId(0),
            offset: 0,
            chunksize: 8,
            attempt: 1,
            first,
            count,
        };
        let header = ReportHeader {
            run,
            batch: 0,
            batch_done: true,
            stored: false,
            pid: 1,
            queued_at: 3,
            cpu: Duration::ZERO,
            peak_memory: 9,
            delay: Duration::ZERO,
        };
        let mut frame = Vec::new();
        builder.drain_into(&header, &mut frame);
        Report::read(&Bytes::from(frame).slice(HEADER_LEN..)).expect("it was just written")
    }

    #[test]
    fn a_bundle_round_trips_and_must_be_whole() {
        // A slice of a report must be stored as a slice, not as the whole report that it was cut from.
        let reports = vec![report(8, 5).slice(0, 3), report(10, 6).slice(1, 5)];
        let entry = LogEntry {
            call: 9,
            attempt: 1,
            head: b"hi".to_vec().into(),
            dropped: 0,
            tail: Vec::new().into(),
        };
        let bundle = ChunkOutcomes { logs: vec![entry], reports };
        let bytes = Bytes::from(bundle.encode().expect("encodes"));
        let again = ChunkOutcomes::decode(&bytes, 8, 16).expect("reads");
        assert_eq!(again.logs[0].text(), "hi");
        let values: Vec<_> = again
            .reports
            .iter()
            .flat_map(|report| (0..report.len()).map(|index| report.value(index).to_vec()))
            .collect();
        assert_eq!(values, (8..16u64).map(|call| call.to_le_bytes().to_vec()).collect::<Vec<_>>());
        for (first, end) in [(8, 15), (7, 16), (8, 17)] {
            assert!(ChunkOutcomes::decode(&bytes, first, end).is_err(), "{first}..{end}");
        }
        for cut in 1..bytes.len() {
            assert!(ChunkOutcomes::decode(&bytes.slice(..cut), 8, 16).is_err(), "cut at {cut}");
        }
    }
}
