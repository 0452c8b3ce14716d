//! [`Remote`]: the backend of a plugin, as a program sees it.

use std::{
    ffi::c_void,
    fmt,
    sync::{Arc, mpsc},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;

use super::{
    Done, PluginAnswer, PluginStatus, Text, forward,
    loaded::Plugin,
    wire::{Invoked, Opened, Operation, Scale, WireConfig, WireError, WireOptions, decode, encode},
    wire_event::read_event,
};
use crate::{
    compute::{
        BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend, Feed, FeedCommand,
        FeedSink, Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId,
        RuntimeSpec, Scaled, Severity, WaitingWorkers,
    },
    error::{Error, ErrorKind, Result},
    id::JobId,
    protocol::{Forget, Frame, FrameKind, Launch},
};

/// The backend of a plugin, as a [`ComputeBackend`].
pub(super) struct Remote {
    instance: Arc<Instance>,
    info: BackendInfo,
    capabilities: Capabilities,
}

/// An opened instance of a plugin's backend; it is closed when its last handle is dropped.
struct Instance {
    plugin: &'static Plugin,
    pointer: *mut c_void,
}

#[expect(unsafe_code, reason = "the plugin's pointer")]
// SAFETY: a plugin's functions may be called on any thread, several at once.
unsafe impl Send for Instance {}
#[expect(unsafe_code, reason = "the plugin's pointer")]
// SAFETY: as above.
unsafe impl Sync for Instance {}

impl Drop for Instance {
    fn drop(&mut self) {
        (self.plugin.vtable.drop)(self.pointer);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("plugin", &self.instance.plugin.path).finish_non_exhaustive()
    }
}

/// The context of a request: the sender for its answer, and a function for an answer that comes after the
/// caller has stopped waiting.
struct Waiting {
    sender: oneshot::Sender<PluginAnswer>,
    abandoned: Box<dyn FnOnce(PluginAnswer) + Send>,
}

/// The callback of [`ask`]: sends the answer to the task that waits for it.
extern "C" fn answered(context: *mut c_void, status: u32, opened: *mut c_void, bytes: Text) {
    #[expect(unsafe_code, reason = "what `ask` has made of a box")]
    // SAFETY: the context is the box that `ask` has made, and the callback is called once; the plugin keeps
    // the bytes during the call.
    let (waiting, bytes) = unsafe { (Box::from_raw(context.cast::<Waiting>()), bytes.bytes().to_vec()) };
    let Waiting { sender, abandoned } = *waiting;
    if let Err(answer) = sender.send(PluginAnswer { status: PluginStatus::of(status), opened, bytes }) {
        abandoned(answer);
    }
}

/// Asks a plugin, and waits for its answer without blocking the thread. When the caller has stopped waiting,
/// the answer goes to `abandoned`, which must release what the plugin has opened.
fn ask(
    abandoned: impl FnOnce(PluginAnswer) + Send + 'static,
    asking: impl FnOnce(Done),
) -> impl Future<Output = Result<PluginAnswer>> {
    let (sender, answer) = oneshot::channel::<PluginAnswer>();
    let waiting = Waiting { sender, abandoned: Box::new(abandoned) };
    asking(Done { context: Box::into_raw(Box::new(waiting)).cast(), call: answered });
    async move {
        let answer = answer.await;
        read(answer.map_err(|_| Error::new(ErrorKind::Unexpected, "a plugin gave no answer"))?)
    }
}

/// Asks a plugin and blocks the thread until the answer comes; for operations that take no time.
pub(super) fn ask_now(asking: impl FnOnce(Done)) -> Result<Vec<u8>> {
    extern "C" fn answered(context: *mut c_void, status: u32, opened: *mut c_void, bytes: Text) {
        #[expect(unsafe_code, reason = "what this function has made of a box")]
        // SAFETY: the context is the box made below, and the callback is called once; the plugin keeps the
        // bytes during the call.
        let (sender, bytes) =
            unsafe { (Box::from_raw(context.cast::<mpsc::Sender<PluginAnswer>>()), bytes.bytes().to_vec()) };
        // Sending cannot fail: the caller waits for the answer.
        let _ = sender.send(PluginAnswer { status: PluginStatus::of(status), opened, bytes });
    }
    let (sender, answer) = mpsc::channel::<PluginAnswer>();
    asking(Done { context: Box::into_raw(Box::new(sender)).cast(), call: answered });
    let answer = answer.recv();
    Ok(read(answer.map_err(|_| Error::new(ErrorKind::Unexpected, "a plugin gave no answer"))?)?.bytes)
}

fn read(answer: PluginAnswer) -> Result<PluginAnswer> {
    match answer.status {
        PluginStatus::Ok | PluginStatus::Ended => Ok(answer),
        PluginStatus::Failed => Err(decode::<WireError>(&answer.bytes)?.read()),
        PluginStatus::Panicked => {
            let words = String::from_utf8_lossy(&answer.bytes).into_owned();
            Err(Error::new(ErrorKind::Unexpected, format!("the plugin has panicked: {words}"))
                .with_hint("it is a fault of the plugin; this program goes on"))
        }
    }
}

/// Takes a plugin's log message, and logs it in this program.
extern "C" fn log(level: u32, target: Text, message: Text) {
    #[expect(unsafe_code, reason = "words of the plugin")]
    // SAFETY: the plugin keeps both texts during the call.
    let (target, message) = unsafe { (target.bytes(), message.bytes()) };
    let (target, message) = (String::from_utf8_lossy(target), String::from_utf8_lossy(message));
    // A panic of the program's subscriber must not unwind through the plugin.
    drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match level {
        1 => tracing::error!(target: "lithops_plugin", from = %target, "{message}"),
        2 => tracing::warn!(target: "lithops_plugin", from = %target, "{message}"),
        3 => tracing::info!(target: "lithops_plugin", from = %target, "{message}"),
        4 => tracing::debug!(target: "lithops_plugin", from = %target, "{message}"),
        _ => tracing::trace!(target: "lithops_plugin", from = %target, "{message}"),
    })));
}

impl Remote {
    pub(super) async fn open(plugin: &'static Plugin, options: BackendOptions) -> Result<Self> {
        let scheme = plugin.descriptor.scheme;
        let BackendOptions { config, program, worker_processes, max_workers, secrets, storage: _ } = options;
        let level = LevelFilter::current().into_level().map_or(0, forward::number);
        let config = WireConfig::of(&config, scheme);
        let options =
            encode(&WireOptions { config, program, worker_processes, max_workers, secrets, level })?;
        let close = |answer: PluginAnswer| {
            if !answer.opened.is_null() {
                (plugin.vtable.drop)(answer.opened);
            }
        };
        let answer = ask(close, |done| (plugin.vtable.open)(Text::of(&options), log, done)).await?;
        let instance = Arc::new(Instance { plugin, pointer: answer.opened });
        let Opened { region, location, capabilities } = decode(&answer.bytes)?;
        Ok(Self { instance, info: BackendInfo { scheme, region, location }, capabilities })
    }

    async fn call<T: DeserializeOwned>(&self, operation: Operation, request: &impl Serialize) -> Result<T> {
        decode(&self.instance.call(operation, &encode(request)?, |_| {}).await?)
    }

    /// Runs an operation whose answer the plugin only computes, and blocks the thread until it comes.
    fn call_now<T: DeserializeOwned>(&self, operation: Operation, request: &impl Serialize) -> Result<T> {
        let request = encode(request)?;
        let Instance { plugin, pointer } = &*self.instance;
        let answer = ask_now(|done| {
            (plugin.vtable.call)(*pointer, operation as u32, Text::of(&request), done);
        });
        decode(&answer?)
    }

    /// Runs an operation that starts an invocation. If the caller has stopped waiting, the plugin is told
    /// that nothing reads the invocation's events.
    async fn invoked(&self, operation: Operation, request: &[u8]) -> Result<Invocation> {
        let instance = Arc::clone(&self.instance);
        let abandoned = move |answer: PluginAnswer| {
            if let Ok(Invoked { number, .. }) = decode(&answer.bytes) {
                drop(Listened { instance, number });
            }
        };
        self.listen(&self.instance.call(operation, request, abandoned).await?)
    }

    fn listen(&self, invoked: &[u8]) -> Result<Invocation> {
        let Invoked { number, id, feed } = decode(invoked)?;
        let listened = Arc::new(Listened { instance: Arc::clone(&self.instance), number });
        let feed = feed.then(|| Feed::new(Arc::new(RemoteFeed(Arc::clone(&listened)))));
        let events = stream::unfold((Some(listened), Bytes::new()), |(listened, mut waiting)| async move {
            let listening = listened?;
            if waiting.is_empty() {
                match listening.next().await {
                    Ok(Some(more)) => waiting = more,
                    Ok(None) => return None,
                    // After an error the invocation has no further events.
                    Err(error) => return Some((Err(error), (None, Bytes::new()))),
                }
            }
            Some((read_event(&mut waiting), (Some(listening), waiting)))
        });
        Ok(Invocation { id: InvocationId(id), events: events.boxed(), feed })
    }
}

impl Instance {
    async fn call(
        &self,
        operation: Operation,
        request: &[u8],
        abandoned: impl FnOnce(PluginAnswer) + Send + 'static,
    ) -> Result<Vec<u8>> {
        let answer = ask(abandoned, |done| {
            (self.plugin.vtable.call)(self.pointer, operation as u32, Text::of(request), done);
        });
        Ok(answer.await?.bytes)
    }
}

/// An invocation of a plugin. When its events and its feed are both dropped, the plugin drops its side too,
/// and cancels nothing.
struct Listened {
    instance: Arc<Instance>,
    number: u64,
}

impl Listened {
    /// The next events; `None` when there are no more.
    async fn next(&self) -> Result<Option<Bytes>> {
        let Instance { plugin, pointer } = &*self.instance;
        let answer = ask(|_| {}, |done| (plugin.vtable.next_event)(*pointer, self.number, done));
        let answer = answer.await?;
        Ok((answer.status == PluginStatus::Ok).then(|| answer.bytes.into()))
    }
}

impl Drop for Listened {
    fn drop(&mut self) {
        (self.instance.plugin.vtable.cancel)(self.instance.pointer, self.number);
    }
}

/// The channel down to a worker of a plugin.
struct RemoteFeed(Arc<Listened>);

impl FeedSink for RemoteFeed {
    fn send(&self, command: FeedCommand) {
        let mut frame = Vec::new();
        let written = match command {
            FeedCommand::Chunk(calls) => {
                calls.write(&mut frame);
                Ok(())
            }
            FeedCommand::StoredChunk(stored) => stored.write(&mut frame),
            FeedCommand::CancelCalls(cancel) => Frame::write(FrameKind::Cancel, &cancel, &mut frame),
            FeedCommand::Processes(processes) => Frame::write(FrameKind::Processes, &processes, &mut frame),
            FeedCommand::Drain => {
                let job = JobId::from_bytes([0; 16]);
                Frame::write(FrameKind::Forget, &Forget { job }, &mut frame)
            }
        };
        // Encoding cannot fail: commands are numbers and bytes.
        if written.is_ok() {
            let Listened { instance, number } = &*self.0;
            (instance.plugin.vtable.feed)(instance.pointer, *number, Text::of(&frame));
        }
    }
}

#[async_trait]
impl ComputeBackend for Remote {
    fn info(&self) -> BackendInfo {
        self.info.clone()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn sized(&self, memory: u64) -> Result<Capabilities> {
        self.call_now(Operation::Sized, &memory)
    }

    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package> {
        self.call(Operation::Build, spec).await
    }

    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime> {
        self.call(Operation::Deploy, spec).await
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        self.call(Operation::List, &()).await
    }

    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()> {
        self.call(Operation::Delete, &id.0).await
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        let mut frames = Vec::new();
        request.write(&mut frames)?;
        self.invoked(Operation::Invoke, &frames).await
    }

    fn awaited(&self) -> Vec<WaitingWorkers> {
        // It is only said, and asked for again a moment later.
        self.call_now(Operation::Awaited, &()).unwrap_or_else(|error| {
            tracing::debug!(%error, "the plugin does not say what workers wait for");
            Vec::new()
        })
    }

    async fn withdraw(&self) -> Result<()> {
        self.call(Operation::Withdraw, &()).await
    }

    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Scaled> {
        self.call(Operation::Scale, &Scale { launch: launch.clone(), workers }).await
    }

    async fn fleet_ended(&self, launch: &Launch) -> Result<()> {
        self.call(Operation::FleetEnded, launch).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        self.call(Operation::Leftovers, &()).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.call(Operation::RemoveLeftover, leftover).await
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.call(Operation::Cancel, &id.0).await
    }

    async fn discard(&self, id: &InvocationId) -> Result<()> {
        self.call(Operation::Discard, &id.0).await
    }

    async fn check(&self) -> Vec<Check> {
        self.call(Operation::Check, &()).await.unwrap_or_else(|error| could_not_look(&error))
    }

    async fn check_live(&self) -> Vec<Check> {
        self.call(Operation::CheckLive, &()).await.unwrap_or_else(|error| could_not_look(&error))
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        self.call(Operation::Close, &(mode == CloseMode::Now)).await
    }
}

fn could_not_look(error: &Error) -> Vec<Check> {
    vec![Check {
        finding: format!("the plugin could not look: {error}"),
        severity: Severity::Error,
        remedy: Some("ask whoever has written the plugin".to_owned()),
    }]
}
