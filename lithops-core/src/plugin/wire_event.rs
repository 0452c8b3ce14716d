//! How an event crosses from a plugin to its host: kind, activation, length and bytes. An event that a frame of the
//! protocol tells of crosses as the body of that frame, under the number of its kind.

#[cfg(feature = "plugins")]
use bytes::{Buf, Bytes};

#[cfg(feature = "plugins")]
use super::wire::decode;
use super::wire::{WireError, encode};
use crate::{
    compute::{Event, EventKind},
    error::Result,
    protocol::{Frame, FrameKind, HEADER_LEN},
};
#[cfg(feature = "plugins")]
use crate::{
    error::{Error, ErrorKind},
    id::ActivationId,
};

// The numbers of events that no frame tells of are far above those of frames.
const STARTED: u8 = 0xf0;
const THROTTLED: u8 = 0xf1;
const FAILED: u8 = 0xf2;

/// The length of kind, activation and length.
#[cfg(feature = "plugins")]
const HEAD: usize = 17;

/// Appends an event.
pub(super) fn write_event(event: Result<Event>, out: &mut Vec<u8>) {
    let activation = event.as_ref().map_or(0, |event| event.activation.0);
    let encoded = event.and_then(|Event { kind, .. }| {
        Ok(match kind {
            EventKind::Started => (STARTED, Vec::new()),
            EventKind::Throttled(pause) => (THROTTLED, encode(&pause)?),
            EventKind::Report(report) => (FrameKind::Report as u8, report.encode()),
            EventKind::StoredReport(stored) => {
                (FrameKind::StoredReport as u8, body(|frame| stored.write(frame))?)
            }
            EventKind::Logs(logs) => {
                let kind = FrameKind::Logs;
                (kind as u8, body(|frame| Frame::write(kind, &logs, frame))?)
            }
            EventKind::Leaving => (FrameKind::Leaving as u8, Vec::new()),
            EventKind::Exited(reason) => {
                let kind = FrameKind::Ended;
                (kind as u8, body(|frame| Frame::write(kind, &reason, frame))?)
            }
        })
    });
    let (kind, bytes) =
        encoded.unwrap_or_else(|error| (FAILED, encode(&WireError::of(&error)).unwrap_or_default()));
    out.push(kind);
    out.extend_from_slice(&activation.to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// The body of the frame that `write` appends.
fn body(write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    write(&mut frame)?;
    Ok(frame.split_off(HEADER_LEN))
}

/// Takes the next event off.
#[cfg(feature = "plugins")]
pub(super) fn read_event(waiting: &mut Bytes) -> Result<Event> {
    let broken = || Error::new(ErrorKind::Unexpected, "a plugin sent half an event");
    if waiting.len() < HEAD {
        waiting.clear();
        return Err(broken());
    }
    let kind = waiting.get_u8();
    let activation = ActivationId(waiting.get_u64_le());
    let len = usize::try_from(waiting.get_u64_le()).ok().filter(|len| *len <= waiting.len());
    let Some(len) = len else {
        waiting.clear();
        return Err(broken());
    };
    let body = waiting.split_to(len);
    let kind = match kind {
        STARTED => EventKind::Started,
        THROTTLED => EventKind::Throttled(decode(&body)?),
        FAILED => return Err(decode::<WireError>(&body)?.read()),
        kind => match FrameKind::from_byte(kind) {
            Some(kind) => Event::from_frame(&Frame { kind, body, end: None }, activation)?.kind,
            None => {
                return Err(Error::new(ErrorKind::Unexpected, format!("a plugin sent event {kind}")));
            }
        },
    };
    Ok(Event { activation, kind })
}

#[cfg(all(test, feature = "plugins"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        compute::ExitReason,
        id::JobId,
        protocol::{LogEntry, Logs, Run, StoredReport, lost_report},
        storage::BlobRef,
    };

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let (job, activation) = (JobId::from_bytes([7; 16]), ActivationId(5));
        let run = Run { job, activation, offset: 0, chunksize: 4, attempt: 1, first: 8, count: 2 };
        let entry = LogEntry {
            call: 8,
            attempt: 1,
            head: Bytes::from_static(b"hello").into(),
            dropped: 0,
            tail: Bytes::new().into(),
        };
        let blob = postcard::to_stdvec(&("a key", 0_u64, Vec::<u8>::new())).expect("small");
        let blob: BlobRef = postcard::from_bytes(&blob).expect("the fields of one");
        let kinds = [
            EventKind::Started,
            EventKind::Logs(Logs { job, entries: vec![entry] }),
            EventKind::Report(Box::new(lost_report(run, "it is gone"))),
            EventKind::StoredReport(Box::new(StoredReport { run, blob })),
            EventKind::Throttled(Duration::from_millis(20)),
            EventKind::Exited(ExitReason::OutOfMemory("8 GB".to_owned())),
        ];
        let mut written = Vec::new();
        for kind in &kinds {
            write_event(Ok(Event { activation, kind: kind.clone() }), &mut written);
        }
        write_event(Err(Error::new(ErrorKind::RateLimited, "later").with_hint("wait")), &mut written);
        let mut waiting = Bytes::from(written);
        for kind in kinds {
            let read = read_event(&mut waiting).expect("an event");
            assert_eq!(read.activation, activation);
            assert_eq!(format!("{:?}", read.kind), format!("{kind:?}"));
        }
        let error = read_event(&mut waiting).expect_err("it failed");
        assert_eq!((error.kind(), error.hint()), (ErrorKind::RateLimited, Some("wait")));
        assert!(waiting.is_empty());
    }

    #[test]
    fn half_an_event_and_one_that_no_worker_sends_are_errors() {
        let mut written = Vec::new();
        write_event(Ok(Event { activation: ActivationId(1), kind: EventKind::Started }), &mut written);
        for len in 0..written.len() {
            let mut waiting = Bytes::copy_from_slice(&written[..len]);
            assert!(read_event(&mut waiting).is_err() && waiting.is_empty(), "{len} bytes");
        }
        for kind in [FrameKind::Hello as u8, 0, 0xff] {
            written[0] = kind;
            let error = read_event(&mut Bytes::copy_from_slice(&written)).expect_err("no event");
            assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
        }
    }
}
