//! Answers.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = BoxBody<Bytes, Failure>;

pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    BoxBody::new(Full::new(bytes.into()).map_err(|never| match never {}))
}

pub(crate) fn text(status: u16, text: &str) -> Response<Body> {
    let mut answer = Response::new(whole(text.to_owned()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

pub(crate) fn json(status: u16, value: &Value) -> Response<Body> {
    let mut answer = text(status, &value.to_string());
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    answer
}

/// An error of the Admin API.
pub(crate) fn error(status: u16, word: &str, message: &str) -> Response<Body> {
    json(status, &json!({"error": {"code": status, "message": message, "status": word}}))
}
