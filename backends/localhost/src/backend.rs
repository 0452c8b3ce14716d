//! [`LocalhostBackend`]: the [`ComputeBackend`] of this machine.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lithops_core::{
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId, RuntimeSpec, Scaled,
        Severity, WaitingWorkers, WorkerProcesses,
    },
    error::{Error, ErrorKind, Result},
    nesting::is_nested,
    protocol::{Launch, Program, ProgramId},
    storage::StorageClient,
};

use crate::{
    SCHEME,
    config::{self, LocalhostConfig},
    fleet::{Fleets, Start},
    leftovers, nesting,
};

/// The descriptor that this crate registers.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "processes of this machine",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: config::KEYS,
    capabilities: config::capabilities,
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(LocalhostBackend::new(options)?);
            Ok(backend)
        })
    },
};

/// Runs calls in processes of this machine.
#[derive(Debug)]
pub struct LocalhostBackend {
    capabilities: Capabilities,
    max_workers: usize,
    /// Whether the executor is inside of a call: its worker is then the one that the call runs in, and none is started.
    nested: bool,
    /// Whether workers of a fleet are started with their launch document alone.
    from_document: bool,
    /// Whether a `lithops-worker` plays the worker, and not the program.
    has_runtime: bool,
    storage: Option<StorageClient>,
    processes: WorkerProcesses,
    fleets: Fleets,
}

impl LocalhostBackend {
    /// The backend under a configuration. No process is started yet.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        let config = LocalhostConfig::read(&options.config)?;
        let has_runtime = config.runtime.is_some();
        let (runtime, program) = match config.runtime {
            None => (options.program.clone(), options.program),
            Some(path) => {
                // Another program would find itself at `/proc/self/exe`: it is told which process to look at.
                let own = format!("/proc/{}/exe", std::process::id()).into();
                (Program { path, arguments: Vec::new() }, Program { path: own, ..options.program })
            }
        };
        let (nested, mut capabilities) = (is_nested(), config::capabilities(&options.config)?);
        if nested {
            capabilities.max_workers = 1;
        }
        Ok(Self {
            capabilities,
            max_workers: options.max_workers,
            nested,
            from_document: config.from_document,
            has_runtime,
            storage: options.storage.map(|(storage, _)| storage),
            processes: WorkerProcesses::new(runtime, program, options.secrets, options.max_workers),
            fleets: Fleets::default(),
        })
    }
}

#[async_trait]
impl ComputeBackend for LocalhostBackend {
    fn info(&self) -> BackendInfo {
        BackendInfo { scheme: SCHEME, region: None, location: "this machine".into() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        Err(needs_no_runtime())
    }

    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        Err(needs_no_runtime())
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        Ok(Vec::new())
    }

    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        Err(needs_no_runtime())
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        if self.nested { nesting::invoke(&request) } else { self.processes.invoke(&request) }
    }

    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Scaled> {
        let (runtime, program) = (self.processes.runtime(), self.processes.program());
        let start = Start {
            runtime,
            program,
            secrets: self.processes.secrets(),
            from_document: self.from_document,
            has_runtime: self.has_runtime,
        };
        let mut scaled = self.fleets.scale(launch, workers.min(self.max_workers), start)?;
        let count = workers.saturating_sub(self.max_workers);
        if count > 0 {
            let why = format!("at most {} workers may run here (`max_workers`)", self.max_workers);
            scaled.waiting.push(WaitingWorkers { count, why, is_hopeless: false });
        }
        Ok(scaled)
    }

    fn fleet_changes(&self, _: &Launch) -> BoxStream<'static, ()> {
        self.fleets.changes()
    }

    async fn fleet_program(&self) -> Result<Option<ProgramId>> {
        match (&self.storage, self.from_document && self.has_runtime) {
            #[cfg(feature = "artifacts")]
            (Some(storage), true) => crate::program::store(self.processes.program(), storage).await.map(Some),
            #[cfg(not(feature = "artifacts"))]
            (Some(_), true) => Err(Error::new(
                ErrorKind::Unsupported,
                "a `runtime` fetches its program, and this build cannot store one",
            )
            .with_hint(
                "enable the feature `artifacts` of `lithops-backend-localhost`, or leave out `runtime`",
            )),
            _ => Ok(None),
        }
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        Ok(leftovers::find())
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        leftovers::remove(leftover)
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.processes.cancel(id);
        if self.nested {
            nesting::known_worker().iter().for_each(|worker| worker.cancel(id));
        }
        Ok(())
    }

    async fn discard(&self, id: &InvocationId) -> Result<()> {
        if self.nested {
            return self.cancel(id).await;
        }
        self.processes.discard(id);
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        let cpus = self.capabilities.worker_cpus;
        vec![Check {
            finding: format!(
                "this machine has {cpus} CPUs; `{}` plays the worker",
                self.processes.runtime().path.display()
            ),
            severity: Severity::Fine,
            remedy: None,
        }]
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        // Inside of a call there is no worker to end: jobs that the call has started go on as long as it does.
        self.fleets.close(mode == CloseMode::Now);
        self.processes.close(mode);
        Ok(())
    }
}

fn needs_no_runtime() -> Error {
    Error::new(ErrorKind::Unsupported, "localhost has no runtimes: the program itself is what runs")
}
