//! Localhost in other shapes: real workers and sub-workers, reached as on platforms where a worker is given one chunk,
//! and lives no longer than an activation may.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use lithops_backend_localhost::LocalhostBackend;
use lithops_core::{
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, CancelLevel, Capabilities, Check, CloseMode,
        ComputeBackend, Event, EventKind, ExitReason, Feed, FeedCommand, Granularity, Invocation,
        InvocationId, InvokeRequest, Liveness, Package, Reports, Runtime, RuntimeId, RuntimeSpec,
    },
    config::Config,
    error::{Error, ErrorKind, Result},
    tracker::Ranges,
};

/// An activation may last so long.
const LIMIT: Duration = Duration::from_secs(5);
/// The most bytes of a message.
const PAYLOAD: u64 = 1 << 20;

const fn descriptor(
    scheme: &'static str,
    capabilities: fn(&Config) -> Result<Capabilities>,
    connect: fn(BackendOptions) -> lithops_core::compute::Connecting,
) -> BackendDescriptor {
    BackendDescriptor {
        scheme,
        summary: "localhost as a platform whose workers cannot be fed",
        package: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        keys: &[],
        capabilities,
        connect,
    }
}

lithops_core::inventory::submit! {
    descriptor("streamed", |_| Ok(shaped(Reports::Streamed)), |options| connect("streamed", options))
}
lithops_core::inventory::submit! {
    descriptor("buffered", |_| Ok(shaped(Reports::Buffered)), |options| connect("buffered", options))
}

fn shaped(reports: Reports) -> Capabilities {
    let mut capabilities = Capabilities::local(2);
    capabilities.granularity = Granularity::Local;
    capabilities.default_max_workers = 2;
    capabilities.feed = false;
    capabilities.reports = reports;
    capabilities.liveness = Liveness::Platform;
    capabilities.cancel = CancelLevel::Activation;
    capabilities.payload_limit = Some(PAYLOAD);
    capabilities.timeout_limit = Some(LIMIT);
    capabilities
}

fn connect(scheme: &'static str, options: BackendOptions) -> lithops_core::compute::Connecting {
    Box::pin(async move {
        let reports = if scheme == "buffered" { Reports::Buffered } else { Reports::Streamed };
        let inner = LocalhostBackend::new(options)?;
        let backend: Arc<dyn ComputeBackend> =
            Arc::new(Shaped { scheme, inner, capabilities: shaped(reports), feeds: Mutex::default() });
        Ok(backend)
    })
}

#[derive(Debug)]
struct Shaped {
    scheme: &'static str,
    inner: LocalhostBackend,
    capabilities: Capabilities,
    /// The channels to workers, which the trials do not see.
    feeds: Mutex<HashMap<InvocationId, Feed>>,
}

impl Shaped {
    fn feeds(&self) -> MutexGuard<'_, HashMap<InvocationId, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ComputeBackend for Shaped {
    fn info(&self) -> BackendInfo {
        BackendInfo { scheme: self.scheme, ..self.inner.info() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package> {
        self.inner.build_runtime(spec).await
    }

    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime> {
        self.inner.deploy_runtime(spec).await
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        self.inner.list_runtimes().await
    }

    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()> {
        self.inner.delete_runtime(id).await
    }

    async fn invoke(&self, mut request: InvokeRequest) -> Result<Invocation> {
        request.time_limit = Some(LIMIT);
        let mut message = Vec::new();
        request.write(&mut message)?;
        if message.len() as u64 > PAYLOAD {
            let problem = format!("a request of {} bytes, where {PAYLOAD} may be sent", message.len());
            return Err(Error::new(ErrorKind::PayloadTooLarge, problem));
        }
        let mut open = Ranges::default();
        let stored = request.stored.iter().map(|stored| stored.run);
        for run in request.calls.iter().map(|calls| calls.run).chain(stored) {
            open.insert(run.first, run.end());
        }
        let Invocation { id, events, feed } = self.inner.invoke(request).await?;
        let buffers = self.capabilities.reports == Reports::Buffered;
        if let Some(feed) = &feed {
            self.feeds().insert(id.clone(), feed.clone());
        }
        // The worker is let go once all is reported: nobody feeds it.
        let whole = stream::unfold((events, feed, open), |(mut events, mut feed, mut open)| async move {
            let event = events.next().await?;
            if let Ok(Event { kind, .. }) = &event {
                let run = match kind {
                    EventKind::Report(report) => Some(report.header.run),
                    EventKind::StoredReport(stored) => Some(stored.run),
                    _ => None,
                };
                if let Some(run) = run {
                    open.remove(run.first, run.end());
                }
                if open.is_empty()
                    && let Some(feed) = feed.take()
                {
                    feed.send(FeedCommand::Drain);
                }
            }
            Some((event, (events, feed, open)))
        });
        let events = if buffers {
            let end = |event: &Result<Event>| {
                matches!(event, Ok(Event { kind: EventKind::Exited(ExitReason::Lost(_)), .. }))
            };
            // One response at the end: without it nothing has come back.
            let whole = async move {
                let all: Vec<_> = whole.collect().await;
                let lost = all.iter().any(end);
                let is_wanted = |event: &Result<Event>| {
                    !lost || matches!(event, Ok(Event { kind: EventKind::Exited(_), .. }))
                };
                stream::iter(all.into_iter().filter(is_wanted).collect::<Vec<_>>())
            };
            stream::once(whole).flatten().boxed()
        } else {
            whole.boxed()
        };
        Ok(Invocation { id, events, feed: None })
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.inner.cancel(id).await?;
        // What was cancelled is not reported: the worker has nothing more to do for the invocation.
        if let Some(feed) = self.feeds().remove(id) {
            feed.send(FeedCommand::Drain);
        }
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        self.inner.check().await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        self.inner.close(mode).await
    }
}
