//! How a frame of a worker becomes an [`Event`]: the same for every way that frames of workers come to a client.

use crate::{
    compute::{Event, EventKind},
    error::{Error, ErrorKind, Result},
    id::ActivationId,
    protocol::{Frame, FrameKind, Report, StoredReport},
};

impl Event {
    /// The event that a frame of a worker tells of. A report names its activation itself; every other event is one of
    /// `activation`.
    ///
    /// # Errors
    /// When the body cannot be read, or the frame is of a kind that tells of no event.
    pub fn from_frame(frame: &Frame, activation: ActivationId) -> Result<Self> {
        Ok(match frame.kind {
            FrameKind::Report => {
                let report = Report::read(&frame.body)?;
                Self { activation: report.header.run.activation, kind: EventKind::Report(Box::new(report)) }
            }
            FrameKind::StoredReport => {
                let stored = StoredReport::read(frame)?;
                Self { activation: stored.run.activation, kind: EventKind::StoredReport(Box::new(stored)) }
            }
            FrameKind::Logs => Self { activation, kind: EventKind::Logs(frame.decode()?) },
            FrameKind::Leaving => Self { activation, kind: EventKind::Leaving },
            FrameKind::Ended => Self { activation, kind: EventKind::Exited(frame.decode()?) },
            kind => {
                return Err(Error::new(ErrorKind::Unexpected, format!("a worker sent a {kind:?} frame")));
            }
        })
    }
}
