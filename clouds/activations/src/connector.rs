//! [`Connector`]: makes connections, with TLS or without.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Uri,
    client::conn::{http1, http2},
    rt::{Read, Write},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::connect::{Connection, HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use lithops_core::error::{Error, ErrorKind, Result, Retry};
use tower_service::Service as _;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Gateways forget connections over which nothing goes for a while, and some do so after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A connection whose other end does not answer a ping for so long is broken.
const PING_ANSWER: Duration = Duration::from_secs(20);

/// Sends requests over one connection.
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Many requests at once.
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Makes connections to one place.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    to: Uri,
    http2: bool,
    with: With,
}

#[derive(Debug, Clone)]
enum With {
    Tcp(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    /// Makes connections to the scheme, host and port of a URI. Nothing is connected yet.
    ///
    /// # Errors
    /// The URI is none to connect to, or this machine has no root certificates.
    pub(crate) fn new(to: &Uri, http2: bool) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let with = match (to.scheme_str(), to.host()) {
            (Some("http"), Some(_)) => With::Tcp(tcp),
            (Some("https"), Some(_)) => {
                let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
                    Error::new(ErrorKind::NotFound, format!("this machine has no root certificates: {error}"))
                        .with_hint("install the package `ca-certificates`")
                })?;
                With::Tls(tls.https_or_http().enable_all_versions().wrap_connector(tcp))
            }
            _ => {
                let problem =
                    format!("`{to}` is no address of a service: it must begin with `http://` or `https://`");
                return Err(Error::new(ErrorKind::ConfigInvalid, problem));
            }
        };
        Ok(Self { to: to.clone(), http2, with })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// Nothing listens there, or it does not speak the protocol.
    pub(crate) async fn connect(&self) -> Result<Sender> {
        match self.with.clone() {
            With::Tcp(mut tcp) => {
                let stream = tcp.call(self.to.clone()).await.map_err(|error| self.failed(&error))?;
                self.speak(stream, self.http2).await
            }
            With::Tls(mut tls) => {
                let stream = tls.call(self.to.clone()).await.map_err(|error| self.failed(&*error))?;
                let http2 = stream.connected().is_negotiated_h2();
                self.speak(stream, http2).await
            }
        }
    }

    async fn speak<S: Read + Write + Unpin + Send + 'static>(
        &self,
        stream: S,
        http2: bool,
    ) -> Result<Sender> {
        if !http2 {
            let (sender, connection) = http1::handshake(stream).await.map_err(|error| self.failed(&error))?;
            // Its end is noticed by the requests on it.
            tokio::spawn(async move { drop(connection.await) });
            return Ok(Sender::Http1(sender));
        }
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(PING_ANSWER);
        let (sender, connection) = builder.handshake(stream).await.map_err(|error| self.failed(&error))?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Sender::Http2(sender))
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let words = in_words(error);
        Error::new(ErrorKind::Io, format!("cannot connect to {}: {words}", self.to)).with_retry(Retry::Later)
    }
}

/// An error with its causes: those of the HTTP library hold what the user must know in their cause.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !words.contains(&next) {
            words = format!("{words}: {next}");
        }
        cause = error.source();
    }
    words
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http1(_) => "HTTP/1.1",
            Self::Http2(_) => "HTTP/2",
        })
    }
}
