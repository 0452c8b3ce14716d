//! [`Response`]: what an activation sends back, within what an answer of the platform can hold.

use lithops_core::{
    compute::ExitReason,
    error::{Error, ErrorKind, Result},
    protocol::StoredReport,
    protocol::{Frame, FrameKind, JobSpec, Logs, Report, frame_header},
    storage::BlobRef,
};

use crate::pool::PayloadStore;

/// The most bytes of a frame that names a report in the storage, digests included. So much is kept free for each call,
/// in case none of the reports fits.
const STORED_REPORT: u64 = 512;
/// One of this many parts of an answer is for the output of calls: outcomes matter more.
const PARTS_PER_LOGS: u64 = 8;
/// More than the header of a frame takes, and a log entry without its text.
const FRAME_HEADER: usize = 16;
const LOG_ENTRY: usize = 48;

/// What an activation sends back. A report that does not fit goes through the storage.
#[derive(Debug)]
pub(super) struct Response<'a> {
    spec: &'a JobSpec,
    /// How many more bytes of reports fit.
    room: u64,
    /// How many more bytes of output fit.
    room_for_logs: u64,
    /// The storage for reports that do not fit. It is opened when it is first needed.
    store: Option<Option<PayloadStore>>,
}

impl<'a> Response<'a> {
    /// An answer of at most `limit` bytes about `calls` calls.
    pub(super) fn new(spec: &'a JobSpec, calls: u64, limit: u64) -> Self {
        let room_for_logs = limit / PARTS_PER_LOGS;
        // With very many calls the names alone do not fit; half of the answer is for reports then.
        let spare = STORED_REPORT.saturating_mul(calls + 1).min(limit / 2);
        Self { spec, room: limit - room_for_logs - spare, room_for_logs, store: None }
    }

    /// The frame of a report.
    pub(super) async fn report(&mut self, report: &Report) -> Result<Vec<u8>> {
        let body = report.encode();
        let mut frame = Vec::with_capacity(body.len() + FRAME_HEADER);
        if let Some(room) = self.room.checked_sub((body.len() + FRAME_HEADER) as u64) {
            self.room = room;
            frame.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
            frame.extend_from_slice(&body);
        } else {
            let blob = self.put(body).await?;
            StoredReport { run: report.header.run, blob }.write(&mut frame)?;
        }
        Ok(frame)
    }

    /// The frame of the output of calls. Output that does not fit is left out, and counted as dropped.
    pub(super) fn logs(&mut self, mut logs: Logs) -> Result<Vec<u8>> {
        for entry in &mut logs.entries {
            let len = (entry.head.len() + entry.tail.len() + LOG_ENTRY) as u64;
            if let Some(room) = self.room_for_logs.checked_sub(len) {
                self.room_for_logs = room;
            } else {
                entry.dropped += (entry.head.len() + entry.tail.len()) as u64;
                (entry.head, entry.tail) = Default::default();
            }
        }
        let mut frame = Vec::new();
        Frame::write(FrameKind::Logs, &logs, &mut frame)?;
        Ok(frame)
    }

    async fn put(&mut self, body: Vec<u8>) -> Result<BlobRef> {
        let store =
            self.store.get_or_insert_with(|| PayloadStore::of(self.spec)).as_ref().ok_or_else(|| {
                Error::new(
                    ErrorKind::PayloadTooLarge,
                    "an outcome does not fit into the answer, and the job has no storage",
                )
            })?;
        store.put(body.into()).await
    }
}

/// The last frame of an answer. The client takes an answer without it for one that was cut off.
pub(super) fn ended(reason: &ExitReason) -> Vec<u8> {
    let mut frame = Vec::new();
    // A variant and a sentence can always be encoded.
    let _ = Frame::write(FrameKind::Ended, reason, &mut frame);
    frame
}
