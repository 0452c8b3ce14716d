//! A request that carries a whole activation, and the answer to it: for platforms that hand one request to a worker and
//! bring one answer back. How the bytes travel is the backend's business.
//!
//! ```text
//! request:  Hello, Running, Job, Deadline, Calls.. and StoredCalls..
//! answer:   Logs, Report and StoredReport, in any number and order; then Ended
//! ```

use serde::Serialize;
use tokio::io::AsyncRead;

use crate::{
    compute::{Event, EventKind, ExitReason, InvokeRequest},
    error::{Error, ErrorKind, Result},
    id::ActivationId,
    protocol::{Frame, FrameKind, FrameReader, Hello, Role},
};

/// The frames of a request. `program` is the `ProgramRef` by which the worker finds the program that runs the calls; its
/// type is one of a higher layer.
///
/// # Errors
/// When the request cannot be encoded.
pub fn encode_request(program: &impl Serialize, request: &InvokeRequest) -> Result<Vec<u8>> {
    let mut frames = Vec::new();
    Hello::of(Role::Client).write(&mut frames)?;
    Frame::write(FrameKind::Running, program, &mut frames)?;
    request.write(&mut frames)?;
    Ok(frames)
}

/// Reads the answer to a request of `activation`: hands every event but the last to `tell`, as its frame comes, and
/// returns how the activation ended. What follows that frame is not read.
///
/// # Errors
/// Of the kind `Io` when the answer breaks off before it says how the activation ended, and of another kind when it
/// cannot be understood.
pub async fn read_answer<R: AsyncRead + Unpin>(
    mut frames: FrameReader<R>,
    activation: ActivationId,
    mut tell: impl FnMut(Event),
) -> Result<ExitReason> {
    while let Some(frame) = frames.next().await? {
        match Event::from_frame(&frame, activation)? {
            Event { kind: EventKind::Exited(reason), .. } => return Ok(reason),
            event => tell(event),
        }
    }
    Err(Error::new(ErrorKind::Io, "it has no end"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        id::JobId,
        protocol::{Calls, JobSpec, Logs, Payloads, Run, frame_header, lost_report, read_frame},
    };

    const JOB: JobId = JobId::from_bytes([7; 16]);
    const ACTIVATION: ActivationId = ActivationId(3);

    fn run() -> Run {
        Run { job: JOB, activation: ACTIVATION, offset: 0, chunksize: 2, attempt: 1, first: 0, count: 2 }
    }

    /// An answer, with the place where each frame ends.
    fn answer() -> (Vec<u8>, Vec<usize>) {
        let (mut frames, mut ends) = (Vec::new(), Vec::new());
        Frame::write(FrameKind::Logs, &Logs { job: JOB, entries: Vec::new() }, &mut frames).expect("small");
        ends.push(frames.len());
        lost_report(run(), "it is gone").write(&mut frames);
        ends.push(frames.len());
        Frame::write(FrameKind::Ended, &ExitReason::Finished, &mut frames).expect("small");
        ends.push(frames.len());
        (frames, ends)
    }

    async fn read(bytes: &[u8]) -> (Result<ExitReason>, Vec<Event>) {
        let mut events = Vec::new();
        let reason = read_answer(FrameReader::new(bytes), ACTIVATION, |event| events.push(event)).await;
        (reason, events)
    }

    #[tokio::test]
    async fn an_answer_becomes_events_up_to_its_end() {
        let (mut frames, _) = answer();
        // What follows the end is not looked at.
        frames.extend_from_slice(b"anything");
        let (reason, events) = read(&frames).await;
        assert_eq!(reason.expect("it has an end"), ExitReason::Finished);
        assert!(events.iter().all(|event| event.activation == ACTIVATION), "{events:?}");
        let [Event { kind: EventKind::Logs(_), .. }, Event { kind: EventKind::Report(report), .. }] =
            &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(report.header.run, run());
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_anywhere_has_broken_off_and_whole_frames_count() {
        let (frames, ends) = answer();
        for len in 0..frames.len() {
            let (reason, events) = read(&frames[..len]).await;
            assert_eq!(reason.expect_err("it has no end").kind(), ErrorKind::Io, "{len} bytes");
            assert_eq!(events.len(), ends.iter().filter(|end| **end <= len).count(), "{len} bytes");
        }
    }

    #[tokio::test]
    async fn an_answer_that_no_worker_gives_is_not_understood() {
        for bytes in [&b"<html>an error page</html>"[..], &frame_header(FrameKind::Leave, 0)] {
            let (reason, events) = read(bytes).await;
            assert!(reason.is_err_and(|error| error.kind() == ErrorKind::Unexpected) && events.is_empty());
        }
    }

    #[test]
    fn a_request_says_hello_then_the_program_and_then_the_calls() {
        let calls = Calls { run: run(), batch: 0, queued_at: 0, arguments: Payloads::default() };
        let request = InvokeRequest::new(Arc::new(JobSpec::blank(JOB)), vec![calls]);
        let frames = encode_request(&"a program", &request).expect("it is small");
        let mut left = &frames[..];
        let mut kinds = Vec::new();
        while let Some(frame) = read_frame(&mut left).expect("a frame") {
            kinds.push(frame.kind);
        }
        assert_eq!(kinds, [FrameKind::Hello, FrameKind::Running, FrameKind::Job, FrameKind::Calls]);
        assert_eq!(request.count(), 2);
    }
}
