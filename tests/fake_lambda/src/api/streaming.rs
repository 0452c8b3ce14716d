//! Invocations whose response is passed on as it comes.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{
    Either,
    channel::{Channel, Sender},
};
use hyper::{Request, Response, body::Incoming, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{ApiError, answer::Body, invoke};
use crate::{
    environment::{Completion, Mode, Outcome},
    event_stream::Message,
    names::Named,
    shared::Shared,
};

/// How many pieces may be on their way to a client that does not read them.
const AHEAD: usize = 16;

pub(super) async fn invoke(
    shared: &Arc<Shared>,
    named: &Named,
    id: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    shared.ledger.note(|counts| counts.streaming_invokes += 1);
    let wants_log = invoke::wants_log(request.headers());
    let (function, payload) = invoke::receive(shared, named, request, "ResponseStream").await?;
    let permit = shared.permit().ok_or_else(ApiError::throttled)?;
    let (chunks, arriving) = mpsc::channel(AHEAD);
    let done = invoke::run(shared, &function, id, payload, Mode::Streamed(chunks), permit);
    let (client, body) = Channel::new(1);
    tokio::spawn(pass_on(arriving, done, client, wants_log));
    let mut answer = Response::new(Either::Right(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, "application/vnd.amazon.eventstream".parse().expect("a valid header"));
    headers.insert("x-amz-executed-version", "$LATEST".parse().expect("a valid header"));
    Ok(answer)
}

async fn pass_on(
    mut arriving: mpsc::Receiver<Bytes>,
    mut done: oneshot::Receiver<Completion>,
    mut client: Sender<Bytes>,
    wants_log: bool,
) {
    let completion = loop {
        tokio::select! {
            biased;
            Some(chunk) = arriving.recv() => {
                // A client that has gone leaves the function to itself, which goes on.
                if client.send_data(chunk_event(chunk)).await.is_err() {
                    return;
                }
            }
            completion = &mut done => break completion,
        }
    };
    while let Ok(chunk) = arriving.try_recv() {
        if client.send_data(chunk_event(chunk)).await.is_err() {
            return;
        }
    }
    // Without an end the client sees a stream that was cut short, which it was.
    let Ok(completion) = completion else { return };
    let end = end_event(&completion, wants_log);
    let _ = client.send_data(end).await;
}

fn chunk_event(chunk: Bytes) -> Bytes {
    Message::event("PayloadChunk", "application/octet-stream", chunk).encode()
}

fn end_event(completion: &Completion, wants_log: bool) -> Bytes {
    let mut end = json!({});
    if let Outcome::Failed(failure) = &completion.outcome {
        end["ErrorCode"] = Value::from(failure.code.as_str());
        end["ErrorDetails"] = Value::from(failure.details.as_str());
    }
    if wants_log {
        end["LogResult"] = Value::from(BASE64_STANDARD.encode(&completion.log));
    }
    Message::event("InvokeComplete", "application/json", end.to_string().into()).encode()
}
