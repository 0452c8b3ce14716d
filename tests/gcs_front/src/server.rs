//! [`Server`]: fake-gcs-server as the front speaks to it, in JSON.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// The limit of one line between the parts of an upload. It must not be in an object.
const BOUNDARY: &str = "gcs-front-1f0c5a44-9f44-4ad8-b0b5-6e8f6d1d9a57";

/// The server behind the front.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What the server refused, or why there was no answer.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

impl Server {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Passes a request on as it is, for `path` with its query.
    pub(crate) async fn pass(
        &self,
        mut request: Request<Full<Bytes>>,
        path: &str,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let uri = format!("http://{}{path}", self.address).parse();
        *request.uri_mut() = uri.map_err(|_| Refused(StatusCode::BAD_REQUEST, "InvalidURI".to_owned()))?;
        let gone =
            |_| Refused(StatusCode::BAD_GATEWAY, "the server behind the front gave no answer".to_owned());
        let (head, body) = self.client.request(request).await.map_err(gone)?.into_parts();
        let body = body.collect().await;
        let body = body.map_err(|_| Refused(StatusCode::BAD_GATEWAY, "the answer was cut".to_owned()))?;
        Ok(Response::from_parts(head, Full::new(body.to_bytes())))
    }

    /// A request of the JSON API.
    async fn json(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Value, Refused> {
        let request = Request::builder().method(method).uri("/").header("content-type", kind);
        let request = request.body(Full::new(body)).expect("its parts are valid");
        let (head, body) = self.pass(request, path).await?.into_parts();
        let body = body.collect().await.expect("it is in memory").to_bytes();
        if !head.status.is_success() {
            return Err(Refused(head.status, String::from_utf8_lossy(&body).into_owned()));
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Stores an object; only where the generation matches, if one is given.
    pub(crate) async fn upload(
        &self,
        bucket: &str,
        key: &str,
        kind: &str,
        generation: Option<&str>,
        content: &[u8],
    ) -> Result<Value, Refused> {
        let about = json!({"name": key, "contentType": kind}).to_string();
        let mut body = format!(
            "--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{about}\r\n--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let when = generation.map(|generation| format!("&ifGenerationMatch={}", encode(generation)));
        let path = format!(
            "/upload/storage/v1/b/{}/o?uploadType=multipart{}",
            encode(bucket),
            when.unwrap_or_default()
        );
        self.json(Method::POST, &path, &format!("multipart/related; boundary={BOUNDARY}"), body.into()).await
    }

    /// Makes one object of several.
    pub(crate) async fn compose(
        &self,
        bucket: &str,
        sources: &[String],
        key: &str,
        kind: &str,
    ) -> Result<Value, Refused> {
        let sources: Vec<_> = sources.iter().map(|name| json!({"name": name})).collect();
        let body = json!({"sourceObjects": sources, "destination": {"contentType": kind}}).to_string();
        let path = format!("/storage/v1/b/{}/o/{}/compose", encode(bucket), encode(key));
        self.json(Method::POST, &path, "application/json", body.into()).await
    }

    /// One page of a listing.
    pub(crate) async fn list(&self, bucket: &str, query: &str) -> Result<Value, Refused> {
        let path = format!("/storage/v1/b/{}/o?{query}", encode(bucket));
        self.json(Method::GET, &path, "application/json", Bytes::new()).await
    }

    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> Result<(), Refused> {
        let path = format!("/storage/v1/b/{}/o/{}", encode(bucket), encode(key));
        self.json(Method::DELETE, &path, "application/json", Bytes::new()).await.map(drop)
    }

    /// Whether there is such a bucket.
    pub(crate) async fn has_bucket(&self, bucket: &str) -> bool {
        let path = format!("/storage/v1/b/{}", encode(bucket));
        self.json(Method::GET, &path, "application/json", Bytes::new()).await.is_ok()
    }
}

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
