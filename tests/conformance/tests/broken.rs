//! The conformance suite is tried itself: backends that are broken on purpose are caught by the promise they break, and
//! the same backend unbroken keeps all of these.

use std::{
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use libtest_mimic::{Arguments, Failed, Trial};
use lithops_backend_localhost::LocalhostBackend;
use lithops_conformance::compute::{enter, promises, put_to};
use lithops_core::{
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Connecting, EventKind, Feed, FeedCommand, FeedSink, Invocation, InvocationId, InvokeRequest, Package,
        Runtime, RuntimeId, RuntimeSpec,
    },
    config::Config,
    error::{Error, ErrorKind, Result},
    protocol::JobSpec,
};

/// What a backend does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    None,
    DropsAResult,
    RunsTwice,
    ReportsBeforeCommit,
    IgnoresCancel,
    LiesAboutALimit,
    ExceedsWorkerProcesses,
    MixesLogs,
    LeaksAProcess,
}

/// Each with its scheme, and the promise that catches it.
const BROKEN: &[(Sabotage, &str, &str)] = &[
    (Sabotage::DropsAResult, "drops_a_result", "every_call_is_reported_and_reported_once"),
    (Sabotage::RunsTwice, "runs_twice", "a_call_runs_once_when_nothing_goes_wrong"),
    (Sabotage::ReportsBeforeCommit, "reports_before_commit", "an_outcome_is_stored_before_it_is_reported"),
    (Sabotage::IgnoresCancel, "ignores_cancel", "cancel_ends_what_runs"),
    (Sabotage::LiesAboutALimit, "lies_about_a_limit", "values_up_to_the_limit_come_back"),
    (
        Sabotage::ExceedsWorkerProcesses,
        "exceeds_worker_processes",
        "no_more_calls_run_at_once_than_worker_processes",
    ),
    (Sabotage::MixesLogs, "mixes_logs", "what_a_call_prints_is_its_own"),
    (Sabotage::LeaksAProcess, "leaks_a_process", "close_leaves_no_process_behind"),
];

const HONEST: &str = "honest";

/// The broken wait in vain for what never happens: not for long.
const SHORT: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    enter();
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("localhost: {{storage_root: '{}'}}", folder.path().display());
    let mut trials = Vec::new();
    for (_, scheme, promise) in BROKEN {
        let (broken, honest) = (yaml.clone(), yaml.clone());
        trials.push(Trial::test(format!("{scheme}_is_caught"), move || {
            match play(promise, scheme, &broken, SHORT) {
                Ok(()) => Err(Failed::from(format!("`{promise}` is said to be kept"))),
                Err(why)
                    if ["cannot connect", "it does not promise"]
                        .iter()
                        .any(|other| why.starts_with(other)) =>
                {
                    Err(Failed::from(format!("it is refused for another reason: {why}")))
                }
                Err(_) => Ok(()),
            }
        }));
        trials.push(Trial::test(format!("{HONEST}_keeps::{promise}"), move || {
            play(promise, HONEST, &honest, LONG).map_err(Failed::from)
        }));
    }
    let done = libtest_mimic::run(&Arguments::from_args(), trials);
    drop(folder);
    done.exit_code()
}

fn play(promise: &str, scheme: &str, yaml: &str, patience: Duration) -> Result<(), String> {
    let promise = promises().into_iter().find(|other| other.name == promise);
    let promise = promise.ok_or("there is no such promise")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let tried = runtime.block_on(put_to(&promise, scheme, yaml, patience));
    runtime.shutdown_background();
    tried
}

const fn descriptor(scheme: &'static str, connect: fn(BackendOptions) -> Connecting) -> BackendDescriptor {
    BackendDescriptor {
        scheme,
        summary: "localhost, broken on purpose",
        package: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        keys: &[],
        capabilities: |_: &Config| Ok(Capabilities::local(2)),
        connect,
    }
}

fn connect(scheme: &'static str, options: BackendOptions) -> Connecting {
    Box::pin(async move {
        let sabotage = BROKEN.iter().find(|(_, other, _)| *other == scheme);
        let sabotage = sabotage.map_or(Sabotage::None, |(sabotage, ..)| *sabotage);
        let capabilities = Capabilities::local(2);
        let inner = LocalhostBackend::new(options)?;
        let backend: Arc<dyn ComputeBackend> = Arc::new(Broken { scheme, sabotage, capabilities, inner });
        Ok(backend)
    })
}

macro_rules! register {
    ($($scheme:literal),*) => {
        $(lithops_core::inventory::submit! { descriptor($scheme, |options| connect($scheme, options)) })*
    };
}

register!(
    "honest",
    "drops_a_result",
    "runs_twice",
    "reports_before_commit",
    "ignores_cancel",
    "lies_about_a_limit",
    "exceeds_worker_processes",
    "mixes_logs",
    "leaks_a_process"
);

#[derive(Debug)]
struct Broken {
    scheme: &'static str,
    sabotage: Sabotage,
    capabilities: Capabilities,
    inner: LocalhostBackend,
}

/// The channel down, with what the sabotage does to commands.
struct BrokenFeed {
    sabotage: Sabotage,
    inner: Feed,
}

impl FeedSink for BrokenFeed {
    fn send(&self, command: FeedCommand) {
        match (&command, self.sabotage) {
            (FeedCommand::CancelCalls(_), Sabotage::IgnoresCancel) => return,
            (FeedCommand::Chunk(_), Sabotage::RunsTwice) => self.inner.send(command.clone()),
            _ => {}
        }
        self.inner.send(command);
    }
}

#[async_trait]
impl ComputeBackend for Broken {
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
        let sabotage = self.sabotage;
        let again = request.calls.clone();
        match sabotage {
            Sabotage::ReportsBeforeCommit => {
                request.job = Arc::new(JobSpec { durable: None, ..(*request.job).clone() });
            }
            Sabotage::ExceedsWorkerProcesses => {
                let worker_processes = request.job.worker_processes + 2;
                request.job = Arc::new(JobSpec { worker_processes, ..(*request.job).clone() });
            }
            Sabotage::LiesAboutALimit if again.iter().any(|calls| calls.arguments.bytes() > 1 << 20) => {
                return Err(Error::new(ErrorKind::PayloadTooLarge, "the platform takes 1 MiB"));
            }
            Sabotage::LeaksAProcess => {
                // It ends by itself, long after anybody has looked.
                Command::new("sleep").arg("20").stdin(Stdio::null()).spawn()?;
            }
            _ => {}
        }
        let Invocation { id, events, feed } = self.inner.invoke(request).await?;
        let feed = feed.map(|inner| Feed::new(Arc::new(BrokenFeed { sabotage, inner })));
        if sabotage == Sabotage::RunsTwice
            && let Some(feed) = &feed
        {
            again.into_iter().for_each(|calls| feed.send(FeedCommand::Chunk(calls)));
        }
        let mut dropped = false;
        let events = events.filter_map(move |mut event| {
            if let Ok(event) = &mut event {
                match (&mut event.kind, sabotage) {
                    (EventKind::Report(_), Sabotage::DropsAResult) if !dropped => {
                        dropped = true;
                        return std::future::ready(None);
                    }
                    (EventKind::Report(report), Sabotage::ReportsBeforeCommit) => report.header.stored = true,
                    (EventKind::Logs(logs), Sabotage::MixesLogs) => {
                        logs.entries.iter_mut().for_each(|entry| entry.call ^= 1);
                    }
                    _ => {}
                }
            }
            std::future::ready(Some(event))
        });
        let events = stream::StreamExt::boxed(events);
        Ok(Invocation { id, events, feed })
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        if self.sabotage == Sabotage::IgnoresCancel { Ok(()) } else { self.inner.cancel(id).await }
    }

    async fn check(&self) -> Vec<Check> {
        self.inner.check().await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        self.inner.close(mode).await
    }
}
