//! [`Messages`]: what a message may be, where the server behind the proxy does not look at it and the real one does.

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

/// What goes to the server: as it comes, or as it was when it was looked at.
pub(crate) type Passed = Either<Incoming, Full<Bytes>>;

/// What requests and answers may be: of at most so many bytes, and JSON.
#[derive(Debug, Clone)]
pub struct Messages {
    path: String,
    limit: usize,
}

impl Messages {
    /// Those of requests whose path contains this.
    #[must_use]
    pub fn json(path_contains: impl Into<String>, limit: usize) -> Self {
        Self { path: path_contains.into(), limit }
    }

    pub(crate) fn are_those_of(&self, path: &str) -> bool {
        path.contains(&self.path)
    }

    /// The request, looked at; `None` when it is not what it may be.
    pub(crate) async fn request(&self, request: Request<Incoming>) -> Option<Request<Passed>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        self.allow(&body).then(|| Request::from_parts(head, Either::Right(Full::new(body))))
    }

    /// The answer, looked at. What comes in pieces is no message.
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
