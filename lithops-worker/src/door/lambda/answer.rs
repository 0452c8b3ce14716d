//! [`Answer`]: what an activation sends back, within what an answer can hold.

use lithops_core::{
    compute::ExitReason,
    error::Result,
    id::JobId,
    journal::Journal,
    protocol::{Frame, FrameKind, JobSpec, Logs, Report, StoredReport, frame_header},
    storage::{Parcel, StorageClient},
};

/// A report that is in the storage takes no more than this, with its digests.
const STORED: u64 = 512;
/// What calls have printed takes no more than this part of an answer.
const LOGS: u64 = 8;

/// What an activation sends back. What does not fit goes through the storage.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    spec: &'a JobSpec,
    /// How many bytes of reports there is room for.
    room: u64,
    /// How many of what calls have printed.
    room_for_logs: u64,
}

impl<'a> Answer<'a> {
    /// An answer of at most `limit` bytes about so many calls.
    pub(super) fn new(spec: &'a JobSpec, calls: u64, limit: u64) -> Self {
        let room_for_logs = limit / LOGS;
        let spare = STORED.saturating_mul(calls + 1).min(limit / 2);
        Self { spec, room: limit - room_for_logs - spare, room_for_logs }
    }

    /// The frame of a report.
    pub(super) async fn report(&mut self, report: &Report) -> Result<Vec<u8>> {
        let body = report.encode();
        let mut frame = Vec::with_capacity(body.len() + 16);
        if let Some(room) = self.room.checked_sub(body.len() as u64 + 16) {
            self.room = room;
            frame.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
            frame.extend_from_slice(&body);
        } else {
            let parcel = self.put(body).await?;
            StoredReport { run: report.header.run, parcel }.write(&mut frame)?;
        }
        Ok(frame)
    }

    /// The frame of what calls have printed: what there is no room for is left out, and said to be.
    pub(super) fn logs(&mut self, mut logs: Logs) -> Result<Vec<u8>> {
        for entry in &mut logs.entries {
            let len = (entry.head.len() + entry.tail.len() + 48) as u64;
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

    async fn put(&self, body: Vec<u8>) -> Result<Parcel> {
        let locator = self.spec.storage.as_ref().ok_or_else(|| {
            lithops_core::error::Error::new(
                lithops_core::error::ErrorKind::PayloadTooLarge,
                "an outcome does not fit into the answer, and the job has no storage",
            )
        })?;
        let storage = StorageClient::connect(locator)?;
        let journal = Journal::new(&storage, locator.prefix.as_deref(), self.spec.job);
        journal.mark().await?;
        let key = journal.parcel(&JobId::generate().to_string());
        Parcel::put(&storage, key, body.into()).await
    }
}

/// The last frame.
pub(super) fn ended(reason: &ExitReason) -> Vec<u8> {
    let mut frame = Vec::new();
    // A word and a sentence can always be encoded.
    let _ = Frame::write(FrameKind::Ended, reason, &mut frame);
    frame
}
