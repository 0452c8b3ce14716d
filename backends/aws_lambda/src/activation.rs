//! One activation: a request that is made once, and the answer, which becomes events.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_lambda::{
    operation::RequestId,
    primitives::Blob,
    types::{
        InvokeWithResponseStreamCompleteEvent, InvokeWithResponseStreamResponseEvent as Piece, LogType,
        ResponseStreamingInvocationType,
    },
};
use bytes::Bytes;
use futures_util::stream;
use lithops_core::{
    artifact::ProgramRef,
    compute::{
        Answer, Event, EventKind, EventSender, ExitReason, InvokeRequest, encode_request, read_answer,
    },
    error::{Error, ErrorKind, Result},
    id::ActivationId,
    protocol::{Envelope, FrameReader},
};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::{client::Client, failure};

/// The buffer of one stream. Thousands of streams are read at once, and little comes over each: more would be wasted.
const BLOCK: usize = 4 << 10;
/// The bytes between the header of a stream, which is meant for web servers, and its body.
const DELIMITER: usize = 8;
/// The header of a stream ends within this many bytes; a stream without it is no answer of a worker.
const LONGEST_PRELUDE: u64 = 64 << 10;

/// A request, encoded.
#[derive(Debug)]
pub(crate) struct Activation {
    pub(crate) function: String,
    payload: Vec<u8>,
    stream: bool,
    pub(crate) id: ActivationId,
    /// Whether its calls must not begin a second time.
    pub(crate) once: bool,
}

impl Activation {
    /// The request for an instance of `function`.
    ///
    /// # Errors
    /// When the request cannot be encoded.
    pub(crate) fn new(
        function: String,
        running: &ProgramRef,
        request: &InvokeRequest,
        stream: bool,
    ) -> Result<Self> {
        let frames = encode_request(running, request)?;
        // The outcome of a single call comes with the end: a stream would bring nothing earlier.
        let stream = stream && request.count() > 1;
        let payload = serde_json::to_vec(&Envelope::seal(&frames, stream)).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot encode a request: {error}"))
        })?;
        Ok(Self { function, payload, stream, id: request.activation(), once: request.job.at_most_once })
    }

    /// Makes the request. All events but the last go to `events`; the last follows from the answer that is returned.
    pub(crate) async fn run(self, client: &Client, events: &EventSender) -> Answer {
        match self.stream {
            true => self.stream(client, events).await,
            false => self.whole(client, events).await,
        }
    }

    /// Makes a request whose answer comes at once. An answer that is not whole is not used at all.
    async fn whole(self, client: &Client, events: &EventSender) -> Answer {
        let request = client.invocations.invoke().function_name(&self.function).log_type(LogType::Tail);
        let answer = match request.payload(Blob::new(self.payload)).send().await {
            Ok(answer) => answer,
            Err(error) => return failure::of_invocation(&error),
        };
        let request = answer.request_id().unwrap_or("unknown").to_owned();
        let payload = answer.payload().map(AsRef::as_ref).unwrap_or_default();
        if answer.function_error().is_some() {
            return Answer::Said(failure::of_function(payload, answer.log_result(), &request));
        }
        let frames = serde_json::from_slice::<Envelope>(payload)
            .map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string()))
            .and_then(|answer| answer.open());
        let frames = match frames {
            Ok(frames) => frames,
            Err(error) => return nonsense(&error, &request),
        };
        take(FrameReader::with_block(&frames[..], BLOCK), self.id, events, &request).await
    }

    /// Makes a request whose answer comes in pieces, and uses each as it comes.
    async fn stream(self, client: &Client, events: &EventSender) -> Answer {
        let request = client
            .invocations
            .invoke_with_response_stream()
            .function_name(&self.function)
            .log_type(LogType::Tail)
            .invocation_type(ResponseStreamingInvocationType::RequestResponse);
        let answer = match request.payload(Blob::new(self.payload)).send().await {
            Ok(answer) => answer,
            Err(error) => return failure::of_invocation(&error),
        };
        events.send(Event { activation: self.id, kind: EventKind::Started });
        let request = answer.request_id().unwrap_or("unknown").to_owned();
        let complete: Arc<Mutex<Option<InvokeWithResponseStreamCompleteEvent>>> = Arc::default();
        let pieces =
            stream::unfold((answer.event_stream, Arc::clone(&complete)), |(mut pieces, complete)| async {
                loop {
                    let piece = match pieces.recv().await {
                        Ok(Some(Piece::PayloadChunk(chunk))) => {
                            Ok(Bytes::from(chunk.payload.map(Blob::into_inner).unwrap_or_default()))
                        }
                        Ok(Some(Piece::InvokeComplete(end))) => {
                            *complete.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
                            continue;
                        }
                        Ok(Some(_)) => continue,
                        Ok(None) => return None,
                        Err(error) => Err(io::Error::other(error.to_string())),
                    };
                    return Some((piece, (pieces, complete)));
                }
            });
        let mut pieces = StreamReader::new(Box::pin(pieces));
        let answer = match pass_prelude(&mut pieces).await {
            Ok(()) => take(FrameReader::with_block(&mut pieces, BLOCK), self.id, events, &request).await,
            Err(error) => broken(&error, &request),
        };
        // The end is told after all reports; and only a connection whose answer was read to its end is used again.
        let _ = tokio::io::copy(&mut pieces, &mut tokio::io::sink()).await;
        if matches!(
            answer,
            Answer::Said(ExitReason::Finished | ExitReason::Refused(_) | ExitReason::Damaged(_))
        ) {
            return answer;
        }
        let complete = complete.lock().unwrap_or_else(PoisonError::into_inner).take();
        match complete.as_ref().and_then(|complete| Some((complete, complete.error_code()?))) {
            Some((complete, code)) => {
                let details = complete.error_details().unwrap_or_default();
                let payload = if details.starts_with('{') {
                    details.to_owned()
                } else {
                    serde_json::json!({"errorType": code, "errorMessage": details}).to_string()
                };
                Answer::Said(failure::of_function(payload.as_bytes(), complete.log_result(), &request))
            }
            None => answer,
        }
    }
}

/// Skips the header of a stream, which comes before the first frame and is meant for web servers.
async fn pass_prelude(pieces: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<()> {
    let mut prelude = Vec::new();
    let mut limited = pieces.take(LONGEST_PRELUDE);
    limited.read_until(0, &mut prelude).await?;
    let mut rest = [0; DELIMITER - 1];
    limited.read_exact(&mut rest).await?;
    match rest {
        [0, 0, 0, 0, 0, 0, 0] => Ok(()),
        _ => Err(io::Error::other("what came is not of a worker")),
    }
}

/// Turns frames into events, up to the frame that says how the activation ended.
async fn take<R: AsyncRead + Unpin>(
    frames: FrameReader<R>,
    id: ActivationId,
    events: &EventSender,
    request: &str,
) -> Answer {
    match read_answer(frames, id, |event| events.send(event)).await {
        Ok(reason) => Answer::Said(reason),
        Err(error) if error.kind() == ErrorKind::Io => broken(&error, request),
        Err(error) => nonsense(&error, request),
    }
}

fn broken(how: &(impl std::fmt::Display + ?Sized), request: &str) -> Answer {
    Answer::Silent(ExitReason::Unanswered(format!("the answer broke off: {how} (request {request})")))
}

fn nonsense(error: &Error, request: &str) -> Answer {
    Answer::Nonsense(format!("the function answers what is not understood: {error} (request {request})"))
}
