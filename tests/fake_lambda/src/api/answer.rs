//! How answers are made.

use bytes::Bytes;
use http_body_util::{Either, Full, channel::Channel};
use hyper::{Response, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

/// The body of an answer, whole or still to come.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes>>;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut answer = whole(status, Bytes::from(body.to_string()));
    answer.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a valid header"));
    answer
}

/// An answer of these bytes.
pub(super) fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    answer
}
