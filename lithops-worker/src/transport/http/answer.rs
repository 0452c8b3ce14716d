//! What is asked of a worker over HTTP, and what it answers.

use std::{
    convert::Infallible,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use lithops_core::error::{Error, ErrorKind};

use super::turns::{Refusal, Turns};
use crate::transport::request::{ActivationRequest, Terms, WarmPool, begin};

/// What `GET /v1/alive` answers. By this text a client that is to deploy a program sees that it can serve HTTP, and is of
/// this version.
#[used]
pub(super) static TRANSPORT: &str = concat!("lithops-worker/", env!("CARGO_PKG_VERSION"), "/http");
/// The media type of frames.
const FRAMES: &str = "application/x-lithops";
/// The header by which a client knows an answer of a worker from one of the platform, with the worker's state.
const WORKER: &str = "lithops-worker";
/// The header with the time after which the platform ends the activation, in milliseconds from the arrival.
const DEADLINE: &str = "lithops-deadline-ms";
/// The header with the longest time without a frame, in milliseconds.
const HEARTBEAT: &str = "lithops-heartbeat-ms";
/// The longest time without a frame, unless the request says another.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// The most bytes of a request. Long arguments come through the storage.
const LONGEST: usize = 512 << 20;

pub(super) type Body = BoxBody<Bytes, Error>;

/// Answers a request.
pub(super) async fn answer(
    warm: Arc<WarmPool>,
    turns: Arc<Turns>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let answer = match (request.uri().path(), request.method()) {
        ("/v1/alive", &Method::GET | &Method::HEAD) => text(StatusCode::OK, "ready", TRANSPORT),
        ("/v1/activation", &Method::POST) => activation(warm, &turns, request).await,
        ("/v1/alive", _) => only("GET"),
        ("/v1/activation", _) => only("POST"),
        _ => text(StatusCode::NOT_FOUND, "ready", "this is a worker of lithops: `POST /v1/activation`"),
    };
    Ok(answer)
}

async fn activation(warm: Arc<WarmPool>, turns: &Turns, request: Request<Incoming>) -> Response<Body> {
    // The turn is taken before the body has come, so that what is busy says so at once.
    let turn = match turns.take() {
        Ok(turn) => turn,
        Err(Refusal::Busy) => {
            return text(StatusCode::TOO_MANY_REQUESTS, "busy", "another activation runs in this worker");
        }
        Err(Refusal::Leaving) => {
            return text(StatusCode::SERVICE_UNAVAILABLE, "leaving", "the platform ends this worker");
        }
    };
    let (parts, body) = request.into_parts();
    let after = |name| milliseconds(parts.headers.get(name));
    let deadline = after(DEADLINE).map(|within| SystemTime::now() + within);
    let heartbeat = after(HEARTBEAT).unwrap_or(HEARTBEAT_EVERY);
    let frames = match Limited::new(body, LONGEST).collect().await {
        Ok(frames) => frames.to_bytes(),
        Err(error) => {
            return text(StatusCode::BAD_REQUEST, "ready", &format!("the request broke off: {error}"));
        }
    };
    let request = match ActivationRequest::read(&frames).await {
        Ok(request) => request,
        Err(error) => {
            let status = match error.kind() {
                ErrorKind::VersionMismatch => StatusCode::CONFLICT,
                _ => StatusCode::BAD_REQUEST,
            };
            return text(status, "ready", &error.to_string());
        }
    };
    let terms = Terms {
        stream: true,
        deadline,
        needs_reader: true,
        leaving: Some(turns.leaving()),
        look: None,
        turn,
    };
    match begin(warm, async move { Ok(request) }, terms).greeted(heartbeat) {
        Ok(pieces) => {
            let body = StreamBody::new(pieces.map_ok(Frame::data));
            respond(StatusCode::OK, "ready", FRAMES, BoxBody::new(body))
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, "ready", &error.to_string()),
    }
}

fn milliseconds(value: Option<&HeaderValue>) -> Option<Duration> {
    let number = u64::from_str(value?.to_str().ok()?).ok()?;
    Some(Duration::from_millis(number.max(1)))
}

fn only(method: &'static str) -> Response<Body> {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "ready", &format!("use {method}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    answer
}

fn text(status: StatusCode, state: &'static str, words: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(words.as_bytes()));
    respond(status, state, "text/plain; charset=utf-8", BoxBody::new(body.map_err(|never| match never {})))
}

fn respond(status: StatusCode, state: &'static str, media: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer.headers_mut().insert(WORKER, HeaderValue::from_static(state));
    answer
}
