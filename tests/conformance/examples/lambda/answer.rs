//! A service of Lambda whose functions run nothing: after a second each call has returned its argument.

use std::{convert::Infallible, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lithops_core::{
    compute::ExitReason,
    protocol::{Calls, Envelope, Frame, FrameKind, ReportBuilder, Tag, blank_header, now_nanos, read_frame},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::Done;

/// How long a function takes.
const RUNS: Duration = Duration::from_secs(1);

/// Serves until it is killed. Its address is the first line it prints.
pub(super) async fn answer(tls: Option<(&str, &str)>) -> Done {
    let listener = tokio::net::TcpSocket::new_v4()?;
    listener.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    // All come at once.
    let listener: TcpListener = listener.listen(8192)?;
    let port = listener.local_addr()?.port();
    let acceptor = match tls {
        None => None,
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_file(certificate)?;
            let config = ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(key)?)?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
    };
    println!("{}://127.0.0.1:{port}", if acceptor.is_some() { "https" } else { "http" });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match acceptor.clone() {
            None => drop(tokio::spawn(serve(stream))),
            Some(acceptor) => drop(tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            })),
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond));
    // The client goes when it likes.
    let _ = connection.await;
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path().ends_with("/configuration") {
        return Ok(Response::new(Full::new(Bytes::from_static(br#"{"State": "Active"}"#))));
    }
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    tokio::time::sleep(RUNS).await;
    let answer = body.ok().and_then(|body| returned(&body)).unwrap_or_else(|| b"{}".to_vec());
    Ok(Response::new(Full::new(answer.into())))
}

/// The answer of a function whose calls have returned their arguments.
fn returned(request: &[u8]) -> Option<Vec<u8>> {
    let frames = serde_json::from_slice::<Envelope>(request).ok()?.open().ok()?;
    let mut left = &frames[..];
    let mut answer = Vec::new();
    while let Some(frame) = read_frame(&mut left).ok()? {
        if frame.kind == FrameKind::Calls {
            let calls = Calls::read(&frame.body).ok()?;
            let mut report = ReportBuilder::default();
            for index in 0..calls.arguments.len() {
                report.value().extend_from_slice(calls.arguments.get(index));
                report.end_call(Tag::Ok, now_nanos(), now_nanos());
            }
            let mut header = blank_header(calls.run);
            header.pid = 1;
            report.drain_into(&header, &mut answer);
        }
    }
    Frame::write(FrameKind::Ended, &ExitReason::Finished, &mut answer).ok()?;
    serde_json::to_vec(&Envelope::seal(&answer, false)).ok()
}
