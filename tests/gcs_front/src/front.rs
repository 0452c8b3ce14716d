//! [`GcsFront`]: the server of the XML API, and which request is whose.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HOST},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use crate::{
    Key, list,
    parts::Uploads,
    server::{Refused, Server},
    xml,
};

/// A front that listens on loopback until it is dropped.
#[derive(Debug)]
pub struct GcsFront {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    uploads: Uploads,
    key: Option<Key>,
}

impl GcsFront {
    /// Listens at a free port, in front of the fake-gcs-server at `server`; with a key, only for requests that it has
    /// signed.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(server: SocketAddr, key: Option<Key>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { server: Server::new(server), uploads: Uploads::default(), key });
        Ok(Self { address, listening: tokio::spawn(serve(listener, shared)) })
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for GcsFront {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let serve = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(respond(&shared, request).await) }
            });
            // It may end as it likes: clients go.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

async fn respond(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if shared.key.as_ref().is_some_and(|key| !key.has_signed(authorization)) {
        return xml::error(StatusCode::UNAUTHORIZED, "AuthenticationRequired", "Authentication required.");
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return xml::error(StatusCode::BAD_REQUEST, "IncompleteBody", "The request was cut short.");
    };
    let request = Request::from_parts(head, body.to_bytes());
    let bucket = place(request.uri().path()).0;
    match dispatch(shared, request).await {
        Ok(answer) => answer,
        Err(refused) => refused.answer(shared.server.has_bucket(&bucket)).await,
    }
}

async fn dispatch(shared: &Shared, request: Request<Bytes>) -> Result<Response<Full<Bytes>>, Refused> {
    let server = &shared.server;
    let path = request.uri().path().to_owned();
    let is_json = ["/storage/v1/", "/upload/storage/", "/download/storage/", "/batch/"]
        .iter()
        .any(|start| path.starts_with(start));
    let query = Query(request.uri().query().unwrap_or_default().to_owned());
    let (bucket, key) = place(&path);
    let kind =
        header(&request, CONTENT_TYPE.as_str()).unwrap_or_else(|| "application/octet-stream".to_owned());
    match (request.method().clone(), key, query.value("uploadId")) {
        (Method::GET, None, _) if !is_json && query.value("list-type").is_some() => {
            list::list(server, &bucket, &query).await
        }
        (Method::POST, Some(key), None) if !is_json && query.has("uploads") => {
            if !server.has_bucket(&bucket).await {
                return Err(Refused(StatusCode::NOT_FOUND, String::new()));
            }
            Ok(shared.uploads.begin(&bucket, &key, &kind).await)
        }
        (Method::PUT, Some(_), Some(id)) => {
            let number = query.value("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
            shared.uploads.put(server, &id, number, request.body()).await
        }
        (Method::POST, Some(_), Some(id)) if !is_json => {
            shared.uploads.complete(server, &id, &String::from_utf8_lossy(request.body())).await
        }
        (Method::DELETE, Some(_), Some(id)) => Ok(shared.uploads.abort(server, &id).await),
        (Method::PUT, Some(key), None) if !is_json => {
            let generation = header(&request, "x-goog-if-generation-match");
            let stored = server.upload(&bucket, &key, &kind, generation.as_deref(), request.body()).await?;
            let etag = format!("\"{}\"", stored["etag"].as_str().unwrap_or_default());
            let generation = stored["generation"].as_str().unwrap_or_default();
            Ok(xml::empty(StatusCode::OK, &[("etag", &etag), ("x-goog-generation", generation)]))
        }
        (method, key, _) => {
            let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
            let mut request = request.map(Full::new);
            request.headers_mut().remove(HOST);
            let answered = server.pass(request, &path).await?;
            if !is_json
                && answered.status() == StatusCode::NOT_FOUND
                && key.is_some()
                && method != Method::HEAD
            {
                return Err(Refused(StatusCode::NOT_FOUND, String::new()));
            }
            Ok(answered)
        }
    }
}

fn header(request: &Request<Bytes>, name: &str) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Bucket and key of a path of the XML API.
fn place(path: &str) -> (String, Option<String>) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match path.trim_start_matches('/').split_once('/') {
        Some((bucket, key)) if !key.is_empty() => (decode(bucket), Some(decode(key))),
        Some((bucket, _)) => (decode(bucket), None),
        None => (decode(path.trim_start_matches('/')), None),
    }
}

/// The query of a request.
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let pair = self.0.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(percent_decode_str(&pair.replace('+', " ")).decode_utf8_lossy().into_owned())
    }

    fn has(&self, name: &str) -> bool {
        self.0.split('&').any(|pair| pair.split('=').next() == Some(name))
    }
}
