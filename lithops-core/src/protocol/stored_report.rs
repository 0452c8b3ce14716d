//! [`StoredReport`]: outcomes that are in a parcel.

use super::{Frame, FrameKind, Report, Run, malformed};
use crate::{
    error::Result,
    storage::{BlobRef, StorageClient},
};

/// A report that is in a parcel.
#[derive(Debug, Clone)]
pub struct StoredReport {
    /// The calls that it is about.
    pub run: Run,
    /// Where it is.
    pub blob: BlobRef,
}

impl StoredReport {
    /// The report.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was stored.
    pub async fn load(&self, storage: &StorageClient) -> Result<Report> {
        let report = Report::read(&self.blob.get(storage).await?.into_inner())?;
        if report.header.run != self.run {
            return Err(malformed("a stored report is about other calls"));
        }
        Ok(report)
    }

    /// Appends the frame.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut run = Vec::with_capacity(Run::LEN);
        self.run.write(&mut run);
        Frame::write(FrameKind::StoredReport, &(run, &self.blob), out)
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(frame: &Frame) -> Result<Self> {
        let (run, blob): (Vec<u8>, BlobRef) = frame.decode()?;
        Ok(Self { run: Run::read(&run)?, blob })
    }
}
