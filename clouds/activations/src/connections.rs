//! [`Connections`]: the connections to one place, as many as the requests need.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use lithops_core::error::Result;
use tokio::sync::OnceCell;

use crate::connector::{Connector, Sender, in_words};

/// How many requests share a connection: front ends let about a hundred streams into one, and what waits for a place in
/// it would look like a worker that does not come.
const STREAMS: usize = 80;
/// How often a request is made that was not sent, because its connection was about to close.
const TRIES: usize = 3;

/// The connections to one place.
#[derive(Debug)]
pub(crate) struct Connections {
    connector: Connector,
    /// Whether the other side turned out to speak HTTP/1.1 alone.
    is_http1: AtomicBool,
    open: Arc<Mutex<Open>>,
}

/// Connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Open {
    shared: Vec<Arc<Shared>>,
    idle: Vec<http1::SendRequest<Full<Bytes>>>,
}

/// A connection for many requests. It is made by the first that needs it, and the others wait for that.
#[derive(Debug, Default)]
struct Shared {
    requests: AtomicUsize,
    sender: OnceCell<Result<Option<http2::SendRequest<Full<Bytes>>>, String>>,
}

/// A place in a connection, for one request and its answer.
#[derive(Debug)]
pub(crate) enum Place {
    /// All of the connection.
    Whole(http1::SendRequest<Full<Bytes>>, Arc<Mutex<Open>>),
    /// One of many.
    Part(Part),
}

#[derive(Debug)]
pub(crate) struct Part {
    shared: Arc<Shared>,
    sender: http2::SendRequest<Full<Bytes>>,
}

/// Counts a request in a connection while it lives.
#[derive(Debug)]
struct Counted(Arc<Shared>);

impl Connections {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, is_http1: AtomicBool::new(false), open: Arc::default() }
    }

    /// Makes a request. The place must be kept for as long as the answer is read. `request` makes the request for
    /// HTTP/2, or else for HTTP/1.1.
    ///
    /// # Errors
    /// Why there is no answer, in words. It is unknown then whether the request has come.
    pub(crate) async fn send(
        &self,
        request: impl Fn(bool) -> Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Place), String> {
        for _ in 1..TRIES {
            if let Some(sent) = self.try_send(&request).await? {
                return Ok(sent);
            }
        }
        let sent = self.try_send(&request).await?;
        sent.ok_or_else(|| "the service closes each connection before a request is sent".to_owned())
    }

    /// `None` when the request was not sent, so that it can be made again.
    async fn try_send(
        &self,
        request: impl Fn(bool) -> Request<Full<Bytes>>,
    ) -> Result<Option<(Response<Incoming>, Place)>, String> {
        let mut place = self.place().await?;
        let sent = match &mut place {
            Place::Whole(sender, _) => sender.try_send_request(request(false)).await,
            Place::Part(part) => part.sender.try_send_request(request(true)).await,
        };
        match sent {
            Ok(answer) => Ok(Some((answer, place))),
            Err(mut error) => match error.take_message() {
                Some(_) => Ok(None),
                None => Err(in_words(&error.into_error())),
            },
        }
    }

    async fn place(&self) -> Result<Place, String> {
        loop {
            if self.is_http1.load(Ordering::Relaxed) {
                let idle = lock(&self.open).idle.pop();
                if let Some(sender) = idle {
                    if sender.is_ready() {
                        return Ok(Place::Whole(sender, Arc::clone(&self.open)));
                    }
                    continue;
                }
                return match self.connector.connect().await.map_err(|error| error.to_string())? {
                    Sender::Http1(sender) => Ok(Place::Whole(sender, Arc::clone(&self.open))),
                    Sender::Http2(_) => {
                        Err("the service speaks now one version of HTTP and now another".to_owned())
                    }
                };
            }
            let counted = self.shared();
            let made = counted.0.sender.get_or_init(async || match self.connector.connect().await {
                Ok(Sender::Http2(sender)) => Ok(Some(sender)),
                Ok(Sender::Http1(sender)) => {
                    self.is_http1.store(true, Ordering::Relaxed);
                    lock(&self.open).idle.push(sender);
                    Ok(None)
                }
                Err(error) => Err(error.to_string()),
            });
            match made.await {
                Ok(Some(sender)) => {
                    let sender = sender.clone();
                    let shared = Arc::clone(&counted.0);
                    shared.requests.fetch_add(1, Ordering::Relaxed);
                    return Ok(Place::Part(Part { shared, sender }));
                }
                Ok(None) => {}
                Err(words) => return Err(words.clone()),
            }
        }
    }

    /// A connection with room, or one that is still to be made.
    fn shared(&self) -> Counted {
        let mut open = lock(&self.open);
        open.shared.retain(|shared| match shared.sender.get() {
            Some(Ok(Some(sender))) => !sender.is_closed(),
            Some(Ok(None) | Err(_)) => false,
            None => true,
        });
        // What has most requests comes first, so that others become idle; one idle connection is kept.
        let mut idle = 0;
        open.shared.retain(|shared| {
            idle += usize::from(shared.requests.load(Ordering::Relaxed) == 0);
            idle <= 1 || shared.requests.load(Ordering::Relaxed) > 0
        });
        let with_room = open.shared.iter().filter(|shared| shared.requests.load(Ordering::Relaxed) < STREAMS);
        let fullest = with_room.max_by_key(|shared| shared.requests.load(Ordering::Relaxed)).cloned();
        let shared = fullest.unwrap_or_else(|| {
            let shared = Arc::<Shared>::default();
            open.shared.push(Arc::clone(&shared));
            shared
        });
        shared.requests.fetch_add(1, Ordering::Relaxed);
        Counted(shared)
    }
}

impl Place {
    /// Keeps the connection for another request: the answer was read to its end.
    pub(crate) fn done(self) {
        if let Self::Whole(mut sender, open) = self {
            tokio::spawn(async move {
                if sender.ready().await.is_ok() {
                    lock(&open).idle.push(sender);
                }
            });
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
