//! [`Router`]: the front end of one service, and its instances.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::{JoinHandle, JoinSet},
    time::{Instant, Sleep},
};

use crate::{
    answer::{Body, Failure, text},
    cloud_run::Shared,
    images::Unpacked,
    instance::Instance,
};

/// The front end of a service.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) uri: String,
    front: Arc<Front>,
    listening: JoinHandle<()>,
    reaping: JoinHandle<()>,
}

/// What instances of a service are.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) image: Unpacked,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) log: PathBuf,
}

#[derive(Debug)]
struct Front {
    shared: Arc<Shared>,
    uri: String,
    spec: Spec,
    /// Each permit is an instance that may be at work.
    room: Semaphore,
    most: Mutex<usize>,
    idle: Mutex<VecDeque<(Instance, Instant)>>,
    number: AtomicU64,
    is_gone: AtomicBool,
}

impl Router {
    pub(crate) async fn start(shared: Arc<Shared>, spec: Spec, most: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address: SocketAddr = listener.local_addr()?;
        let uri = format!("http://{address}");
        let front = Arc::new(Front {
            shared,
            uri: uri.clone(),
            spec,
            room: Semaphore::new(most),
            most: Mutex::new(most),
            idle: Mutex::default(),
            number: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
        });
        let listening = tokio::spawn(serve(listener, Arc::clone(&front)));
        let reaping = tokio::spawn(reap(Arc::clone(&front)));
        Ok(Self { uri, front, listening, reaping })
    }

    /// The service was deleted: its address is answered with 404.
    pub(crate) fn close(&self) {
        self.front.is_gone.store(true, Ordering::Relaxed);
        lock(&self.front.idle).clear();
    }

    /// Raises the number of instances.
    pub(crate) fn raise(&self, most: usize) {
        let mut now = lock(&self.front.most);
        self.front.room.add_permits(most.saturating_sub(*now));
        *now = most.max(*now);
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.listening.abort();
        self.reaping.abort();
        lock(&self.front.idle).clear();
    }
}

/// Ends instances that were idle for too long.
async fn reap(front: Arc<Front>) {
    let idle = front.shared.settings.idle;
    loop {
        tokio::time::sleep(idle.min(Duration::from_secs(1))).await;
        loop {
            let due = lock(&front.idle).front().is_some_and(|(_, since)| since.elapsed() >= idle);
            let ended = if due { lock(&front.idle).pop_front() } else { None };
            let Some((instance, _)) = ended else { break };
            tokio::spawn(instance.end());
        }
    }
}

async fn serve(listener: TcpListener, front: Arc<Front>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        let front = Arc::clone(&front);
        let cut = Arc::new(Notify::new());
        connections.spawn(async move {
            let cuts = Arc::clone(&cut);
            let service = service_fn(move |request| {
                let (front, cut) = (Arc::clone(&front), Arc::clone(&cuts));
                async move { Ok::<_, Infallible>(respond(front, request, &cut).await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::select! {
                // It may end as it likes: clients go.
                _ = server.serve_connection(TokioIo::new(stream), service) => {}
                () = cut.notified() => {}
            }
        });
    }
}

async fn respond(front: Arc<Front>, request: Request<Incoming>, cut: &Notify) -> Response<Body> {
    let shared = Arc::clone(&front.shared);
    let number = shared.count(|counts| {
        counts.requests += 1;
        counts.requests
    });
    if front.is_gone.load(Ordering::Relaxed) {
        return text(404, "<html><title>Error 404 (Page not found)</title></html>");
    }
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if authorization.is_none() {
        shared.count(|counts| counts.refused += 1);
        return text(403, "<html><title>403 Forbidden</title>Your client does not have permission</html>");
    }
    if !shared.tokens.may_invoke(authorization, &front.uri) {
        shared.count(|counts| counts.refused += 1);
        return text(401, "<html><title>401 Unauthorized</title></html>");
    }
    // Faults come at a fixed interval of requests, and their kinds take turns: every run meets the same ones.
    let percent = shared.settings.faults;
    if number * percent / 100 != (number - 1) * percent / 100 {
        let kind = shared.count(|counts| {
            counts.faults += 1;
            counts.faults % 3
        });
        match kind {
            0 => return text(429, "Rate exceeded."),
            1 => return text(503, "Service Unavailable"),
            _ => {
                cut.notify_one();
                return std::future::pending().await;
            }
        }
    }
    let Ok(Ok(permit)) = tokio::time::timeout(shared.settings.queue, front.room.acquire()).await else {
        shared.count(|counts| counts.queued_out += 1);
        return text(429, "Rate exceeded.");
    };
    permit.forget();
    let work = Work { instance: None, front: Arc::clone(&front), whole: false };
    shared.count(|counts| {
        counts.busy += 1;
        counts.most = counts.most.max(counts.busy);
    });
    run(front, work, request).await
}

async fn run(front: Arc<Front>, mut work: Work, request: Request<Incoming>) -> Response<Body> {
    let deadline = Box::pin(tokio::time::sleep(front.spec.timeout));
    let instance = match front.instance().await {
        Ok(instance) => instance,
        Err(error) => {
            return text(503, &format!("The request failed because the instance could not start: {error}"));
        }
    };
    let mut sender = instance.sender();
    work.instance = Some(instance);
    let answered = tokio::select! {
        answered = sender.send_request(request) => answered,
        () = tokio::time::sleep(front.spec.timeout) => return text(504, "upstream request timeout"),
    };
    match answered {
        Ok(answer) => answer.map(|body| BoxBody::new(Passing { body, deadline, work })),
        Err(_) => {
            work.instance = None;
            text(503, "The request failed because the instance ended")
        }
    }
}

impl Front {
    /// An instance that is idle, or a new one.
    async fn instance(&self) -> io::Result<Instance> {
        loop {
            let Some((mut instance, _)) = lock(&self.idle).pop_back() else { break };
            if instance.is_alive() {
                instance.freeze(false);
                return Ok(instance);
            }
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let log = File::create(self.spec.log.join(format!("instance-{number}.log")))?;
        let instance =
            Instance::start(&self.spec.image, &self.spec.arguments, &self.spec.variables, log).await?;
        self.shared.count(|counts| counts.started += 1);
        Ok(instance)
    }
}

/// A request at work. When it is dropped its instance is free for the next one.
#[derive(Debug)]
struct Work {
    instance: Option<Instance>,
    front: Arc<Front>,
    whole: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.front.shared.count(|counts| {
            counts.busy -= 1;
            counts.reset += u64::from(self.instance.is_some() && !self.whole);
        });
        if let Some(instance) = self.instance.take() {
            let mut idle = lock(&self.front.idle);
            if self.whole {
                // Between requests it has no CPU.
                instance.freeze(true);
                idle.push_back((instance, Instant::now()));
            } else {
                // It may still be at work: others come first.
                idle.push_front((instance, Instant::now()));
            }
        }
        self.front.room.add_permits(1);
    }
}

/// The body of an answer on its way to the client. Dropping it resets the stream to the instance.
struct Passing {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
    work: Work,
}

impl hyper::body::Body for Passing {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("upstream request timeout".into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.work.whole = true,
            // The instance has ended under it.
            Some(Err(_)) => self.work.instance = None,
            Some(Ok(_)) => self.work.whole = self.body.is_end_stream(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
