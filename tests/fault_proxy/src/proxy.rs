//! [`FaultProxy`]: a proxy between a client and one server.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::{Counts, Fault, Messages, Rule, body::Body, messages::Passed};

/// A proxy that listens at a free port of loopback until it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    client: Client<HttpConnector, Passed>,
    rules: Mutex<Vec<Rule>>,
    messages: Mutex<Vec<Messages>>,
    counts: Arc<Mutex<Counts>>,
}

impl FaultProxy {
    /// Listens, and passes everything on to `server`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let shared = Arc::new(Shared {
            server,
            client,
            rules: Mutex::default(),
            messages: Mutex::default(),
            counts: Arc::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a rule. The first rule that a request matches counts.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// From now on these messages are checked in both directions; one that breaks a limit is answered with 413.
    pub fn look_at(&self, messages: Messages) {
        lock(&self.shared.messages).push(messages);
    }

    /// Removes all rules.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// The requests and answers that have passed until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.shared.counts).clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Dropping a socket whose linger time is zero resets the connection.
        let _ = stream.set_zero_linger();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let reset = Arc::new(Notify::new());
            let serve = {
                let reset = Arc::clone(&reset);
                service_fn(move |request| {
                    let (shared, reset) = (Arc::clone(&shared), Arc::clone(&reset));
                    async move { Ok::<_, Infallible>(answer(&shared, request, &reset).await) }
                })
            };
            let mut http = http1::Builder::new();
            http.preserve_header_case(true);
            let connection = http.serve_connection(TokioIo::new(stream), serve);
            tokio::select! {
                // An error is no failure of the proxy: clients close connections, and answers are cut short on purpose.
                _ = connection => {}
                () = reset.notified() => {}
            }
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>, reset: &Notify) -> Response<Body> {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let fault =
        lock(&shared.rules).iter_mut().find_map(|rule| rule.meets(&method, &path).then_some(rule.fault));
    {
        let mut counts = lock(&shared.counts);
        *counts.requests.entry(method).or_default() += 1;
        *counts.paths.entry(path.split('?').next().unwrap_or_default().to_owned()).or_default() += 1;
        counts.faults += u64::from(fault.is_some());
        let len =
            request.headers().get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
        counts.bytes_up += len.unwrap_or(0);
        counts.now += 1;
        counts.most = counts.most.max(counts.now);
    }
    let answered = match fault {
        Some(Fault::Status(status)) => plain(shared, status),
        Some(Fault::StatusAfter(status)) => {
            let passed = pass(shared, request, usize::MAX).await;
            drain(passed).await;
            plain(shared, status)
        }
        Some(Fault::Replace(bytes)) => replaced(pass(shared, request, usize::MAX).await, bytes).await,
        Some(Fault::Reset) => end(reset).await,
        Some(Fault::ResetAfter) => {
            let passed = pass(shared, request, usize::MAX).await;
            drain(passed).await;
            end(reset).await
        }
        Some(Fault::Truncate(bytes)) => pass(shared, request, bytes).await,
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            pass(shared, request, usize::MAX).await
        }
        Some(Fault::Hang) => std::future::pending().await,
        None => pass(shared, request, usize::MAX).await,
    };
    let mut counts = lock(&shared.counts);
    counts.now -= 1;
    *counts.answers.entry(answered.status().as_u16()).or_default() += 1;
    drop(counts);
    answered
}

/// Sends the client's request to the server.
async fn pass(shared: &Shared, mut request: Request<Incoming>, room: usize) -> Response<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let Ok(uri) = format!("http://{}{path}", shared.server).parse::<Uri>() else { return plain(shared, 400) };
    *request.uri_mut() = uri;
    debug_assert!(request.headers().contains_key(HOST), "the client's own, which it has signed");
    let looks = lock(&shared.messages).iter().find(|messages| messages.are_those_of(&path)).cloned();
    let request = match &looks {
        Some(messages) => match messages.request(request).await {
            Some(request) => request,
            None => return violation(shared),
        },
        None => request.map(Either::Left),
    };
    let answered = match shared.client.request(request).await {
        Ok(answered) => answered,
        Err(_) => return plain(shared, 502),
    };
    let answered = match &looks {
        Some(messages) => match messages.answer(answered).await {
            Some(answered) => answered,
            None => return violation(shared),
        },
        None => answered.map(Either::Left),
    };
    answered.map(|body| Body { inner: Some(body), room, counts: Arc::clone(&shared.counts) })
}

fn violation(shared: &Shared) -> Response<Body> {
    lock(&shared.counts).violations += 1;
    plain(shared, 413)
}

fn plain(shared: &Shared, status: u16) -> Response<Body> {
    let body = Body { inner: None, room: 0, counts: Arc::clone(&shared.counts) };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

/// The head of an answer, with another body.
async fn replaced(answered: Response<Body>, bytes: &'static str) -> Response<Body> {
    let (mut head, body) = answered.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(TRANSFER_ENCODING);
    let counts = Arc::clone(&body.counts);
    drain(Response::new(body)).await;
    let inner = Some(Either::Right(Full::new(Bytes::from_static(bytes.as_bytes()))));
    Response::from_parts(head, Body { inner, room: usize::MAX, counts })
}

async fn drain(answered: Response<Body>) {
    use http_body_util::BodyExt as _;

    // The server has carried the request out, however its answer ends.
    drop(answered.into_body().collect().await);
}

/// Ends the connection under the answer.
async fn end(reset: &Notify) -> Response<Body> {
    reset.notify_one();
    // The connection is dropped meanwhile, and this task with it.
    std::future::pending().await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
