//! Invocations whose response comes at the end, or is not waited for.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use serde::de::IgnoredAny;
use tokio::sync::oneshot;

use super::{
    ApiError,
    answer::{Body, whole},
};
use crate::{
    environment::{Completion, Invocation, Mode, Outcome, dispatch},
    function::Function,
    names::Named,
    shared::{Permit, Shared},
};

pub(super) async fn invoke(
    shared: &Arc<Shared>,
    named: &Named,
    id: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let wants_log = wants_log(request.headers());
    match header(request.headers(), "x-amz-invocation-type").unwrap_or("RequestResponse") {
        "RequestResponse" => {
            shared.ledger.note(|counts| counts.invokes += 1);
            let (function, payload) = receive(shared, named, request, "RequestResponse").await?;
            let permit = shared.permit().ok_or_else(ApiError::throttled)?;
            let done = run(shared, &function, id, payload, Mode::Whole, permit);
            Ok(respond(complete(done).await?, wants_log))
        }
        "Event" => {
            shared.ledger.note(|counts| counts.event_invokes += 1);
            let (function, payload) = receive(shared, named, request, "Event").await?;
            tokio::spawn(run_event(Arc::clone(shared), function, id.to_owned(), payload));
            Ok(whole(StatusCode::ACCEPTED, Bytes::new()))
        }
        "DryRun" => {
            shared.ledger.note(|counts| counts.dry_runs += 1);
            shared.function(named)?;
            Ok(whole(StatusCode::NO_CONTENT, Bytes::new()))
        }
        other => Err(ApiError::invalid_parameter(format!("{other} is no type of invocation"))),
    }
}

/// Reads a request, and looks whether it can be met.
pub(super) async fn receive(
    shared: &Shared,
    named: &Named,
    request: Request<Incoming>,
    kind: &str,
) -> Result<(Arc<Function>, Bytes), ApiError> {
    let limit =
        if kind == "Event" { shared.settings.event_payload_limit } else { shared.settings.payload_limit };
    // All of it is read first, since clients that still write do not hear why they are refused.
    let (payload, len) = read(request.into_body(), limit).await?;
    let function = shared.function(named)?;
    if len > limit {
        return Err(ApiError::too_large(format!(
            "{len} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        )));
    }
    if shared.settings.requires_json
        && !payload.is_empty()
        && let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload)
    {
        return Err(ApiError::invalid_content(format!("Could not parse request body into json: {error}")));
    }
    function.active()?;
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    Ok((function, payload))
}

/// Runs an invocation, whether or not anybody waits for it.
pub(super) fn run(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    id: &str,
    payload: Bytes,
    mode: Mode,
    permit: Permit,
) -> oneshot::Receiver<Completion> {
    let (done, completion) = oneshot::channel();
    dispatch(shared, function, Invocation { id: id.to_owned(), payload, mode, permit, done });
    completion
}

pub(super) async fn complete(done: oneshot::Receiver<Completion>) -> Result<Completion, ApiError> {
    done.await.map_err(|_| ApiError::service("the fake has ended"))
}

pub(super) fn wants_log(headers: &HeaderMap) -> bool {
    header(headers, "x-amz-log-type") == Some("Tail")
}

fn respond(completion: Completion, wants_log: bool) -> Response<Body> {
    let (body, is_error) = match completion.outcome {
        Outcome::Response(body) => (body, false),
        Outcome::Failed(failure) => (failure.body, true),
        Outcome::Streamed => unreachable!("it was wanted at the end"),
    };
    let mut answer = whole(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, "application/json".parse().expect("a valid header"));
    headers.insert("x-amz-executed-version", "$LATEST".parse().expect("a valid header"));
    if is_error {
        headers.insert("x-amz-function-error", "Unhandled".parse().expect("a valid header"));
    }
    if wants_log {
        let log = BASE64_STANDARD.encode(completion.log);
        headers.insert("x-amz-log-result", log.try_into().expect("base64 is plain"));
    }
    answer
}

/// Runs an invocation as soon as there is room, and again if it fails.
async fn run_event(shared: Arc<Shared>, function: Arc<Function>, id: String, payload: Bytes) {
    let mut delay: Duration = shared.settings.event_retry_delay;
    for attempt in 0..=shared.settings.event_retries {
        if attempt > 0 {
            tokio::time::sleep(delay).await;
            delay *= 2;
        }
        let permit = shared.permit_later().await;
        let done = run(&shared, &function, &id, payload.clone(), Mode::Whole, permit).await;
        let Ok(Completion { outcome: Outcome::Failed(_), .. }) = done else { return };
    }
}

/// Reads a body to its end, keeps what is not too much of it, and says how long it was.
async fn read(mut body: Incoming, limit: usize) -> Result<(Bytes, usize), ApiError> {
    let (mut kept, mut len) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::invalid_content(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            len += data.len();
            if len <= limit {
                kept.extend_from_slice(&data);
            }
        }
    }
    Ok((kept.freeze(), len))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
