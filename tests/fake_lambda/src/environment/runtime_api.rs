//! The Runtime API of one environment, which its runtime speaks to at a port of its own.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    Failure, Mode, Outcome,
    record::{Current, Environment, Handed, Told},
};
use crate::shared::lock;

const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";

/// The status, the type and the message of an error.
type Refusal = (StatusCode, &'static str, &'static str);

/// Serves until it is dropped, and all connections with it.
pub(super) async fn serve(listener: TcpListener, environment: Arc<Environment>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let environment = Arc::clone(&environment);
        connections.spawn(async move {
            let serve = service_fn(move |request| {
                let environment = Arc::clone(&environment);
                async move { Ok::<_, Infallible>(respond(&environment, request).await) }
            });
            // An error is no failure: runtimes close connections.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

async fn respond(environment: &Environment, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (request.method(), &segments[..]) {
        (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => next(environment).await,
        (&Method::POST, ["2018-06-01", "runtime", "invocation", id, "response"]) => {
            match current(environment, id) {
                Ok(current) => take_response(environment, &current, request).await,
                Err((status, kind, message)) => refuse(status, kind, message),
            }
        }
        (&Method::POST, ["2018-06-01", "runtime", "invocation", id, "error"]) => {
            match current(environment, id) {
                Ok(_) => {
                    let body = take_error(request).await;
                    tell(environment, Told::Answered(Outcome::Failed(Failure::of_function(body)))).await;
                    accepted()
                }
                Err((status, kind, message)) => refuse(status, kind, message),
            }
        }
        (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
            let body = take_error(request).await;
            tell(environment, Told::InitFailed(body)).await;
            accepted()
        }
        _ => refuse(StatusCode::NOT_FOUND, "NotFound", "This fake knows no such operation"),
    }
}

/// Hands out the next invocation, when there is one.
async fn next(environment: &Environment) -> Response<Full<Bytes>> {
    let (reply, handed) = oneshot::channel();
    tell(environment, Told::Asked(reply)).await;
    let Ok(Handed { id, payload, deadline, arn }) = handed.await else {
        return refuse(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "Transition from State to Ready failed",
        );
    };
    let mut answer = Response::new(Full::new(payload));
    let trace = format!("Root=1-{:08x}-{};Sampled=0", deadline / 1000, &id.replace('-', "")[..24]);
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", id),
        ("Lambda-Runtime-Deadline-Ms", deadline.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", arn),
        ("Lambda-Runtime-Trace-Id", trace),
        ("Content-Type", "application/json".to_owned()),
    ];
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let name = hyper::header::HeaderName::try_from(name).expect("a valid name");
        answer.headers_mut().insert(name, value.try_into().expect("all are plain"));
    }
    answer
}

/// The invocation that a runtime answers, unless it has no such one or has answered it.
fn current(environment: &Environment, id: &str) -> Result<Arc<Current>, Refusal> {
    let current = lock(&environment.current).as_ref().filter(|current| current.id == id).map(Arc::clone);
    let Some(current) = current else {
        return Err((StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"));
    };
    if current.is_answered.swap(true, Ordering::AcqRel) {
        let message = "the invocation has been answered before";
        return Err((StatusCode::FORBIDDEN, "InvalidStateTransition", message));
    }
    Ok(current)
}

async fn take_response(
    environment: &Environment,
    current: &Current,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let taken = match &current.mode {
        Mode::Streamed(chunks) => take_streamed(request.into_body(), chunks).await,
        Mode::Whole => take_whole(request.into_body(), environment.response_limit).await,
    };
    let Ok(taken) = taken else {
        tell(environment, Told::Truncated).await;
        return refuse(StatusCode::BAD_REQUEST, "TruncatedResponse", "the response has ended before its end");
    };
    let limit = environment.response_limit;
    let (outcome, answer) = match taken {
        Taken::Whole(body) if environment.requires_json && !is_json(&body) => {
            let message = "the response is not valid JSON".to_owned();
            (Outcome::Failed(Failure::of_service("Runtime.InvalidResponse", message)), accepted())
        }
        Taken::Whole(body) => (Outcome::Response(body), accepted()),
        Taken::Streamed => (Outcome::Streamed, accepted()),
        Taken::Failed(failure) => (Outcome::Failed(failure), accepted()),
        Taken::TooLarge => {
            let message =
                format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
            let told = format!("Exceeded maximum allowed payload size ({limit} bytes).");
            (
                Outcome::Failed(Failure::of_service("Function.ResponseSizeTooLarge", message)),
                refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &told),
            )
        }
    };
    tell(environment, Told::Answered(outcome)).await;
    answer
}

enum Taken {
    Whole(Bytes),
    Streamed,
    /// The function has noticed after a part of its response that it fails.
    Failed(Failure),
    TooLarge,
}

async fn take_streamed(mut body: Incoming, chunks: &mpsc::Sender<Bytes>) -> Result<Taken, hyper::Error> {
    let mut taken = Taken::Streamed;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            // The function goes on when its client has gone.
            Ok(data) => drop(chunks.send(data).await),
            Err(frame) => {
                if let Some(failure) = frame.trailers_ref().and_then(failure_in) {
                    taken = Taken::Failed(failure);
                }
            }
        }
    }
    Ok(taken)
}

async fn take_whole(mut body: Incoming, limit: usize) -> Result<Taken, hyper::Error> {
    let mut whole = BytesMut::new();
    let mut len = 0;
    let mut failed = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                len += data.len();
                // The rest is read, so that the runtime comes to hear that it was too much.
                if len <= limit {
                    whole.extend_from_slice(&data);
                }
            }
            Err(frame) => failed = frame.trailers_ref().and_then(failure_in),
        }
    }
    Ok(match failed {
        Some(failure) => Taken::Failed(failure),
        None if len > limit => Taken::TooLarge,
        None => Taken::Whole(whole.freeze()),
    })
}

fn failure_in(trailers: &HeaderMap) -> Option<Failure> {
    let kind = trailers.get(ERROR_TYPE)?.to_str().ok()?;
    let body = trailers.get(ERROR_BODY).and_then(|body| BASE64_STANDARD.decode(body).ok());
    Some(Failure::of_stream(
        kind,
        body.unwrap_or_else(|| json!({ "errorType": kind }).to_string().into_bytes()),
    ))
}

async fn take_error(request: Request<Incoming>) -> Bytes {
    let kind = request.headers().get(ERROR_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("Runtime.Unknown").to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body = body.unwrap_or_default();
    if body.is_empty() { json!({ "errorType": kind }).to_string().into() } else { body }
}

fn is_json(body: &[u8]) -> bool {
    body.is_empty() || serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

async fn tell(environment: &Environment, told: Told) {
    // It may end in this very moment.
    let _ = environment.told.send(told).await;
}

fn accepted() -> Response<Full<Bytes>> {
    answer(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    answer(status, &json!({ "errorType": kind, "errorMessage": message }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a valid header"));
    answer
}
