//! The plugin's side: the functions that a host calls. Each returns at once; longer work happens on the
//! plugin's own runtime. A panic ends here and becomes an answer.

#![expect(unsafe_code, reason = "pointers and bytes of the host")]

use std::{
    any::Any,
    collections::HashMap,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tokio::{runtime::Runtime, sync::Notify, task::AbortHandle};

use super::{
    Done, Log, PluginStatus, Text,
    exports::Exports,
    forward,
    wire::{
        DescribedBackend, Invoked, Opened, Operation, Scale, WireConfig, WireError, WireKey, WireOptions,
        close_mode, decode, encode,
    },
    wire_event::write_event,
};
use crate::{
    compute::{
        BackendOptions, ComputeBackend, Event, Feed, FeedCommand, Invocation, InvocationId, InvokeRequest,
        RuntimeId,
    },
    error::{Error, ErrorKind, Result},
    protocol::{Calls, Frame, FrameKind, JobSpec, StoredCalls, read_frame},
};

/// How many events are kept until the host fetches them; then the plugin stops reading the invocation's
/// events.
const EVENTS: usize = 256;

/// An opened backend, with the invocations whose events the host reads.
struct Instance {
    backend: Arc<dyn ComputeBackend>,
    invocations: Mutex<HashMap<u64, (Arc<Listened>, AbortHandle)>>,
    next: AtomicU64,
}

/// An invocation whose events the host reads. A task of the plugin's runtime waits for the events, so that
/// asking for them and telling of them wakes no other thread.
struct Listened {
    heard: Mutex<Heard>,
    /// Tells the task that the host has fetched the events.
    fetched: Notify,
    feed: Option<Feed>,
}

/// Events that have come and that the host has not fetched.
#[derive(Default)]
struct Heard {
    events: Vec<u8>,
    count: usize,
    waits: Option<Promised>,
    ended: Option<End>,
}

/// How the stream of events has ended.
#[derive(Clone)]
enum End {
    Ended,
    Panicked(String),
}

impl Listened {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects the events until there are no more. The task is aborted when the host reads them no more.
    async fn listen(self: Arc<Self>, mut events: BoxStream<'static, Result<Event>>) {
        let all = AssertUnwindSafe(async {
            while let Some(event) = events.next().await {
                while self.heard().count >= EVENTS {
                    self.fetched.notified().await;
                }
                let tell = {
                    let mut heard = self.heard();
                    write_event(event, &mut heard.events);
                    heard.count += 1;
                    heard.fetch()
                };
                if let Some((promised, bytes)) = tell {
                    promised.tell(PluginStatus::Ok, std::ptr::null_mut(), &bytes);
                }
            }
        });
        let end = match all.catch_unwind().await {
            Ok(()) => End::Ended,
            Err(panic) => End::Panicked(said(&*panic)),
        };
        let waits = {
            let mut heard = self.heard();
            heard.ended = Some(end.clone());
            heard.waits.take()
        };
        if let Some(promised) = waits {
            end.tell(promised);
        }
    }

    fn next(&self, promised: Promised) {
        let mut heard = self.heard();
        if heard.count == 0
            && let Some(end) = heard.ended.clone()
        {
            drop(heard);
            return end.tell(promised);
        }
        heard.waits = Some(promised);
        let tell = heard.fetch();
        drop(heard);
        if let Some((promised, bytes)) = tell {
            self.fetched.notify_one();
            promised.tell(PluginStatus::Ok, std::ptr::null_mut(), &bytes);
        }
    }
}

impl Heard {
    /// The host's waiting request, and the events for it; `None` unless there are both.
    fn fetch(&mut self) -> Option<(Promised, Vec<u8>)> {
        if self.count == 0 {
            return None;
        }
        let promised = self.waits.take()?;
        self.count = 0;
        Some((promised, std::mem::take(&mut self.events)))
    }
}

impl End {
    fn tell(self, promised: Promised) {
        match self {
            Self::Ended => promised.tell(PluginStatus::Ended, std::ptr::null_mut(), &[]),
            Self::Panicked(words) => {
                promised.tell(PluginStatus::Panicked, std::ptr::null_mut(), words.as_bytes())
            }
        }
    }
}

impl Instance {
    fn invocations(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Listened>, AbortHandle)>> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, invocation: Invocation) -> Result<Vec<u8>> {
        let Invocation { id, events, feed } = invocation;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let invoked = encode(&Invoked { number, id: id.0, feed: feed.is_some() })?;
        let listened = Arc::new(Listened { heard: Mutex::default(), fetched: Notify::new(), feed });
        let listening = runtime()?.spawn(Arc::clone(&listened).listen(events));
        self.invocations().insert(number, (listened, listening.abort_handle()));
        Ok(invoked)
    }
}

/// A callback that is called in any case: if it is dropped without an answer, it reports that.
struct Promised(Option<Done>);

impl Promised {
    fn tell(mut self, status: PluginStatus, opened: *mut c_void, bytes: &[u8]) {
        if let Some(done) = self.0.take() {
            done.tell(status, opened, bytes);
        }
    }

    fn answer(self, answered: Result<Result<Vec<u8>>, Box<dyn Any + Send>>) {
        match answered {
            Ok(Ok(bytes)) => self.tell(PluginStatus::Ok, std::ptr::null_mut(), &bytes),
            Ok(Err(error)) => self.fail(&error),
            Err(panic) => self.tell(PluginStatus::Panicked, std::ptr::null_mut(), said(&*panic).as_bytes()),
        }
    }

    fn fail(self, error: &Error) {
        let bytes = encode(&WireError::of(error)).unwrap_or_default();
        self.tell(PluginStatus::Failed, std::ptr::null_mut(), &bytes);
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done.tell(PluginStatus::Panicked, std::ptr::null_mut(), b"the plugin has dropped the request");
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why").to_owned()
}

/// The plugin's own runtime, which lives as long as the program.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        // One thread: a task that an event wakes runs on the thread that has seen the event. With a second
        // thread, that one would be woken each time.
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("lithops-plugin").enable_all().build().ok()
    });
    made.as_ref().ok_or_else(|| Error::new(ErrorKind::Io, "the plugin's runtime cannot be started"))
}

/// Runs an operation and reports its end in any case: at once if the operation needs no waiting, otherwise
/// from a task of the runtime.
fn spawn(done: Done, doing: impl Future<Output = Result<Vec<u8>>> + Send + 'static) {
    let promised = Promised(Some(done));
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return promised.fail(&error),
    };
    let mut doing = Box::pin(AssertUnwindSafe(doing).catch_unwind());
    let at_once = {
        let _guard = runtime.enter();
        doing.as_mut().now_or_never()
    };
    match at_once {
        Some(answered) => promised.answer(answered),
        None => {
            runtime.spawn(async move { promised.answer(doing.await) });
        }
    }
}

pub(super) extern "C" fn describe<E: Exports>(config: Text, done: Done) {
    // SAFETY: the host keeps them during the call.
    let bytes = unsafe { config.bytes() };
    let described = catch_unwind(|| {
        let config = decode::<WireConfig>(bytes)?.read();
        let descriptor = E::descriptor();
        encode(&DescribedBackend {
            scheme: descriptor.scheme.into(),
            summary: descriptor.summary.into(),
            package: descriptor.package.into(),
            version: descriptor.version.into(),
            keys: descriptor.keys.iter().map(WireKey::of).collect(),
            capabilities: (descriptor.capabilities)(&config).map_err(|error| WireError::of(&error)),
        })
    });
    Promised(Some(done)).answer(described);
}

pub(super) extern "C" fn open<E: Exports>(options: Text, log: Log, done: Done) {
    // SAFETY: the host keeps them during the call.
    let bytes = unsafe { options.bytes() };
    let promised = Promised(Some(done));
    let options = match decode::<WireOptions>(bytes) {
        Ok(options) => options,
        Err(error) => return promised.fail(&error),
    };
    forward::to(log, options.level);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return promised.fail(&error),
    };
    runtime.spawn(async move {
        let opening = async {
            let WireOptions { config, program, worker_processes, max_workers, secrets, .. } = options;
            let options = BackendOptions::new(config.read(), program, worker_processes, max_workers);
            (E::descriptor().connect)(options.with_secrets(secrets)).await
        };
        let backend = match AssertUnwindSafe(opening).catch_unwind().await {
            Ok(Ok(backend)) => backend,
            Ok(Err(error)) => return promised.fail(&error),
            Err(panic) => {
                return promised.tell(PluginStatus::Panicked, std::ptr::null_mut(), said(&*panic).as_bytes());
            }
        };
        let described = catch_unwind(AssertUnwindSafe(|| {
            let info = backend.info();
            let capabilities = backend.capabilities().clone();
            encode(&Opened { region: info.region, location: info.location, capabilities })
        }));
        let instance = Instance { backend, invocations: Mutex::default(), next: AtomicU64::new(1) };
        match described {
            Ok(Ok(bytes)) => {
                let opened = Arc::into_raw(Arc::new(instance)).cast_mut().cast();
                promised.tell(PluginStatus::Ok, opened, &bytes);
            }
            other => promised.answer(other),
        }
    });
}

/// The instance behind a pointer. The handle keeps it alive for as long as it is used.
///
/// # Safety
/// The pointer came from `open`, and `drop` was not called with it.
unsafe fn instance(pointer: *mut c_void) -> Arc<Instance> {
    let pointer: *const Instance = pointer.cast_const().cast();
    // SAFETY: as above; the count is raised for the handle that is returned.
    unsafe {
        Arc::increment_strong_count(pointer);
        Arc::from_raw(pointer)
    }
}

pub(super) extern "C" fn call(pointer: *mut c_void, operation: u32, request: Text, done: Done) {
    // SAFETY: the host has opened the instance, and keeps the bytes during the call.
    let (instance, request) = unsafe { (instance(pointer), request.bytes().to_vec()) };
    spawn(done, async move {
        let backend = &instance.backend;
        let operation = Operation::of(operation).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("the plugin knows no operation {operation}"))
        })?;
        match operation {
            Operation::Invoke => instance.listen(backend.invoke(read_request(&request)?).await?),
            Operation::Cancel => encode(&backend.cancel(&InvocationId(decode(&request)?)).await?),
            Operation::Check => encode(&backend.check().await),
            Operation::Close => encode(&backend.close(close_mode(&request)?).await?),
            Operation::Build => encode(&backend.build_runtime(&decode(&request)?).await?),
            Operation::Deploy => encode(&backend.deploy_runtime(&decode(&request)?).await?),
            Operation::List => encode(&backend.list_runtimes().await?),
            Operation::Delete => encode(&backend.delete_runtime(&RuntimeId(decode(&request)?)).await?),
            Operation::Sized => encode(&backend.sized(decode(&request)?)?),
            Operation::Scale => {
                let Scale { launch, workers } = decode(&request)?;
                encode(&backend.scale(&launch, workers).await?)
            }
            Operation::FleetEnded => encode(&backend.fleet_ended(&decode(&request)?).await?),
            Operation::Leftovers => encode(&backend.leftovers().await?),
            Operation::RemoveLeftover => encode(&backend.remove_leftover(&decode(&request)?).await?),
            Operation::Awaited => encode(&backend.awaited()),
            Operation::Withdraw => encode(&backend.withdraw().await?),
            Operation::Discard => encode(&backend.discard(&InvocationId(decode(&request)?)).await?),
            Operation::CheckLive => encode(&backend.check_live().await),
        }
    });
}

/// Decodes a request, which has the form that a worker gets.
fn read_request(mut bytes: &[u8]) -> Result<InvokeRequest> {
    let (mut job, mut calls, mut stored): (Option<JobSpec>, _, _) = (None, Vec::new(), Vec::new());
    while let Some(frame) = read_frame(&mut bytes)? {
        match frame.kind {
            FrameKind::Job => job = Some(frame.decode()?),
            FrameKind::Calls => calls.push(Calls::read(&frame.body)?),
            FrameKind::StoredCalls => stored.push(StoredCalls::read(&frame)?),
            kind => return Err(Error::new(ErrorKind::Unexpected, format!("{kind:?} in a request"))),
        }
    }
    let job = job.ok_or_else(|| Error::new(ErrorKind::Unexpected, "a request without its job"))?;
    let mut request = InvokeRequest::new(Arc::new(job), calls);
    request.stored = stored;
    Ok(request)
}

pub(super) extern "C" fn next_event(pointer: *mut c_void, invocation: u64, done: Done) {
    // SAFETY: the host has opened the instance.
    let instance = unsafe { instance(pointer) };
    let promised = Promised(Some(done));
    let listened = instance.invocations().get(&invocation).map(|(listened, _)| Arc::clone(listened));
    match listened {
        Some(listened) => listened.next(promised),
        None => promised.tell(PluginStatus::Ended, std::ptr::null_mut(), &[]),
    }
}

pub(super) extern "C" fn feed(pointer: *mut c_void, invocation: u64, frame: Text) {
    // SAFETY: the host has opened the instance, and keeps the bytes during the call.
    let (instance, frame) = unsafe { (instance(pointer), frame.bytes()) };
    // A panic cannot be reported from here: the host sees that the worker stays silent.
    drop(catch_unwind(AssertUnwindSafe(|| {
        let feed = instance.invocations().get(&invocation).and_then(|(listened, _)| listened.feed.clone());
        if let (Some(feed), Ok(command)) = (feed, read_command(frame)) {
            let _guard = runtime().ok().map(Runtime::enter);
            feed.send(command);
        }
    })));
}

/// Decodes a command, which has the form that a worker gets.
fn read_command(mut bytes: &[u8]) -> Result<FeedCommand> {
    let frame = read_frame(&mut bytes)?;
    let frame = frame.ok_or_else(|| Error::new(ErrorKind::Unexpected, "an empty command"))?;
    let Frame { kind, body, .. } = &frame;
    Ok(match kind {
        FrameKind::Calls => FeedCommand::Chunk(Calls::read(&Bytes::clone(body))?),
        FrameKind::StoredCalls => FeedCommand::StoredChunk(Box::new(StoredCalls::read(&frame)?)),
        FrameKind::Cancel => FeedCommand::CancelCalls(frame.decode()?),
        FrameKind::Processes => FeedCommand::Processes(frame.decode()?),
        FrameKind::Forget => FeedCommand::Drain,
        kind => return Err(Error::new(ErrorKind::Unexpected, format!("a {kind:?} frame as a command"))),
    })
}

pub(super) extern "C" fn cancel(pointer: *mut c_void, invocation: u64) {
    // SAFETY: the host has opened the instance.
    let instance = unsafe { instance(pointer) };
    let gone = instance.invocations().remove(&invocation);
    // The values that are dropped here may be the plugin author's, and their `drop` may panic or need the
    // runtime.
    drop(catch_unwind(AssertUnwindSafe(|| {
        let _guard = runtime().ok().map(Runtime::enter);
        if let Some((listened, listening)) = gone {
            listening.abort();
            drop(listened);
        }
        drop(instance);
    })));
}

pub(super) extern "C" fn drop_instance(pointer: *mut c_void) {
    // SAFETY: the pointer came from `open`, and the host uses it no more.
    let instance = unsafe { Arc::from_raw(pointer.cast_const().cast::<Instance>()) };
    drop(catch_unwind(AssertUnwindSafe(|| {
        let _guard = runtime().ok().map(Runtime::enter);
        drop(instance);
    })));
}
