//! [`StoredReport`]: outcomes that are in a blob.

use super::{Frame, FrameKind, Report, Run, malformed};
use crate::{
    error::Result,
    storage::{BlobRef, StorageClient},
};

/// A report that is in a blob, because no message can hold it.
#[derive(Debug, Clone)]
pub struct StoredReport {
    /// The calls that the report is about.
    pub run: Run,
    /// The blob that holds the report.
    pub blob: BlobRef,
}

impl StoredReport {
    /// Fetches the report.
    ///
    /// # Errors
    /// When the blob cannot be read, its digest is not that of the stored bytes, or it is about other calls.
    pub async fn load(&self, storage: &StorageClient) -> Result<Report> {
        let report = Report::read(&self.blob.get(storage).await?.into_inner())?;
        if report.header.run != self.run {
            return Err(malformed("a stored report is about other calls"));
        }
        Ok(report)
    }

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// When the reference to the blob cannot be encoded.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut run = Vec::with_capacity(Run::LEN);
        self.run.write(&mut run);
        Frame::write(FrameKind::StoredReport, &(run, &self.blob), out)
    }

    /// Decodes a frame of this kind.
    ///
    /// # Errors
    /// When the frame is malformed.
    pub fn read(frame: &Frame) -> Result<Self> {
        let (run, blob): (Vec<u8>, BlobRef) = frame.decode()?;
        Ok(Self { run: Run::read(&run)?, blob })
    }
}
