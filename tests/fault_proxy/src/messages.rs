//! [`Messages`]: limits of messages that the real service enforces, and the server behind the proxy does not.

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

/// The body that goes to the server: streamed, or read whole because it was checked.
pub(crate) type Passed = Either<Incoming, Full<Bytes>>;

/// What requests and answers must be: JSON, and no longer than a limit.
#[derive(Debug, Clone)]
pub struct Messages {
    path: String,
    limit: usize,
}

impl Messages {
    /// Messages of requests whose path contains this.
    #[must_use]
    pub fn json(path_contains: impl Into<String>, limit: usize) -> Self {
        Self { path: path_contains.into(), limit }
    }

    pub(crate) fn are_those_of(&self, path: &str) -> bool {
        path.contains(&self.path)
    }

    /// Checks the request; `None` when it breaks a limit.
    pub(crate) async fn request(&self, request: Request<Incoming>) -> Option<Request<Passed>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        self.allow(&body).then(|| Request::from_parts(head, Either::Right(Full::new(body))))
    }

    /// Checks the answer. A stream is no message, and is passed on.
    pub(crate) async fn answer(&self, answer: Response<Incoming>) -> Option<Response<Passed>> {
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.contains("eventstream") {
            return Some(answer.map(Either::Left));
        }
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        head.headers.remove(CONTENT_LENGTH);
        self.allow(&body).then(|| Response::from_parts(head, Either::Right(Full::new(body))))
    }

    fn allow(&self, body: &[u8]) -> bool {
        body.len() <= self.limit
            && (body.is_empty() || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok())
    }
}
