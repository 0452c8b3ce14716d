//! A service that answers as it is told, at a port of loopback.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, Uri, Version,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lithops_activations::Target;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_rustls::TlsAcceptor;

/// What the service does with one request.
pub(crate) enum Script {
    /// Answers with a status, headers and a text.
    Refuse(u16, &'static [(&'static str, &'static str)], &'static str),
    /// Answers as a worker does, with these pieces, and then ends the answer.
    Frames(Vec<Bytes>),
    /// Answers as a worker does, with these pieces, and breaks the answer off once its beginning was read.
    Cut(Vec<Bytes>),
    /// Answers as a worker does, with these pieces, and then says nothing more.
    Silence(Vec<Bytes>),
    /// Does not answer at all.
    Nothing,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// A service. It ends with the runtime of its test.
pub(crate) struct Server {
    address: String,
    scripts: Arc<Mutex<VecDeque<Script>>>,
    came: Arc<Mutex<Vec<Came>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Told when the beginning of an answer was read.
    pub(crate) read: Arc<Notify>,
    /// Told of each answer whose reader has gone before its end.
    pub(crate) gone: mpsc::UnboundedReceiver<()>,
}

/// Tells when it is dropped before the end of the answer.
struct Watched(mpsc::UnboundedSender<()>);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Server {
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::start_with(scripts, None).await
    }

    pub(crate) async fn start_tls(scripts: impl IntoIterator<Item = Script>, tls: TlsAcceptor) -> Self {
        Self::start_with(scripts, Some(tls)).await
    }

    async fn start_with(scripts: impl IntoIterator<Item = Script>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (tell, gone) = mpsc::unbounded_channel();
        let server = Self {
            address: listener.local_addr().expect("an address").to_string(),
            scripts: Arc::new(Mutex::new(scripts.into_iter().collect())),
            came: Arc::default(),
            connections: Arc::default(),
            read: Arc::default(),
            gone,
        };
        let (scripts, came) = (Arc::clone(&server.scripts), Arc::clone(&server.came));
        let read = Arc::clone(&server.read);
        let connections = Arc::clone(&server.connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (scripts, came, tell) = (Arc::clone(&scripts), Arc::clone(&came), tell.clone());
                let read = Arc::clone(&read);
                let service = service_fn(move |request| {
                    answer(Arc::clone(&scripts), Arc::clone(&came), tell.clone(), Arc::clone(&read), request)
                });
                let (builder, tls) = (auto::Builder::new(TokioExecutor::new()), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            // A client may go before they have agreed.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            drop(builder.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn target(&self, http2: bool) -> Target {
        let connect: Uri = format!("http://{}", self.address).parse().expect("an address");
        Target { connect, authority: "service.example.com".parse().expect("a host"), http2 }
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no panic").clone()
    }
}

async fn answer(
    scripts: Arc<Mutex<VecDeque<Script>>>,
    came: Arc<Mutex<Vec<Came>>>,
    tell: mpsc::UnboundedSender<()>,
    read: Arc<Notify>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, std::io::Error>>, Infallible> {
    let (parts, body) = request.into_parts();
    let _ = body.collect().await;
    let method = parts.method.to_string();
    came.lock().expect("no panic").push(Came {
        version: parts.version,
        method,
        uri: parts.uri,
        headers: parts.headers,
    });
    let script = scripts.lock().expect("no panic").pop_front().expect("a script for each request");
    let piece = |piece: Bytes| Ok::<_, std::io::Error>(Frame::data(piece));
    let frames = Response::builder().header("content-type", "application/x-lithops");
    let (head, pieces, rest) = match script {
        Script::Refuse(status, headers, text) => {
            let head = headers
                .iter()
                .fold(Response::builder().status(status), |head, (name, value)| head.header(*name, *value));
            (head, vec![piece(Bytes::from_static(text.as_bytes()))], None)
        }
        Script::Frames(pieces) => (frames, pieces.into_iter().map(piece).collect(), None),
        Script::Cut(pieces) => {
            let broken = stream::once(async move {
                read.notified().await;
                Err(std::io::Error::other("it breaks off"))
            });
            let body = stream::iter(pieces.into_iter().map(piece)).chain(broken);
            return Ok(frames.body(StreamBody::new(body).boxed_unsync()).expect("an answer"));
        }
        Script::Silence(pieces) => {
            (frames, pieces.into_iter().map(piece).collect::<Vec<_>>(), Some(Watched(tell)))
        }
        Script::Nothing => {
            let _watched = Watched(tell);
            std::future::pending::<()>().await;
            unreachable!("it waits for ever")
        }
    };
    let silence = stream::iter(rest).then(|watched| async move {
        let _watched = watched;
        std::future::pending().await
    });
    let body = StreamBody::new(stream::iter(pieces).chain(silence));
    Ok(head.body(body.boxed_unsync()).expect("an answer"))
}
