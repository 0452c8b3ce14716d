//! [`LocalhostBackend`]: the [`ComputeBackend`] of this machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lithops_core::{
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Package, Runtime, RuntimeId, RuntimeSpec, Severity,
        WorkerProcess,
    },
    error::{Error, ErrorKind, Result},
    nesting::is_nested,
    protocol::{Launch, Program, Secrets},
};

use crate::{
    SCHEME,
    config::{self, LocalhostConfig},
    fleet::Fleets,
    nesting,
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
    /// The program that plays the worker.
    runtime: Program,
    /// The program that plays the sub-worker.
    program: Program,
    /// The credentials of the storage.
    secrets: Option<Secrets>,
    max_workers: usize,
    /// Whether the executor is inside of a call: its worker is then the one that the call runs in, and none is started.
    nested: bool,
    workers: Mutex<Vec<Arc<WorkerProcess>>>,
    fleets: Fleets,
}

impl LocalhostBackend {
    /// The backend under a configuration. No process is started yet.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        let config = LocalhostConfig::read(&options.config)?;
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
            runtime,
            program,
            secrets: options.secrets,
            max_workers: options.max_workers,
            nested,
            workers: Mutex::default(),
            fleets: Fleets::default(),
        })
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<WorkerProcess>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker that does not serve the job yet: a warm one, or a new one while fewer than `max_workers` live.
    fn worker_for(&self, request: &InvokeRequest) -> Result<Arc<WorkerProcess>> {
        let mut workers = self.workers();
        workers.retain(|worker| worker.is_alive());
        let job = request.job.job;
        let warm = workers.iter().filter(|worker| !worker.serves(job)).min_by_key(|worker| worker.jobs());
        // A busy worker is shared only when no further one may live.
        if let Some(worker) = warm.filter(|worker| worker.jobs() == 0 || workers.len() >= self.max_workers) {
            return Ok(Arc::clone(worker));
        }
        if workers.len() >= self.max_workers {
            return Err(Error::new(
                ErrorKind::RateLimited,
                format!("all {} workers serve the job already", self.max_workers),
            ));
        }
        let worker = Arc::new(WorkerProcess::start(&self.runtime, &self.program, self.secrets.as_ref())?);
        workers.push(Arc::clone(&worker));
        Ok(worker)
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
        // A worker may end after it was chosen and before it is asked; the next one is new then.
        for _ in 0..3 {
            let invocation = if self.nested {
                nesting::worker()?.invoke(&request)?
            } else {
                self.worker_for(&request)?.invoke(&request)?
            };
            if let Some(invocation) = invocation {
                return Ok(invocation);
            }
        }
        Err(Error::new(ErrorKind::WorkerLost, "three workers in a row ended as soon as they were started"))
    }

    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Vec<String>> {
        self.fleets.scale(launch, workers.min(self.max_workers), &self.runtime, &self.program)
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.workers().iter().for_each(|worker| worker.cancel(id));
        if self.nested {
            nesting::known_worker().iter().for_each(|worker| worker.cancel(id));
        }
        Ok(())
    }

    async fn discard(&self, id: &InvocationId) -> Result<()> {
        if self.nested {
            return self.cancel(id).await;
        }
        self.workers().iter().filter(|worker| worker.has(id)).for_each(|worker| worker.kill());
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        let cpus = self.capabilities.worker_cpus;
        vec![Check {
            finding: format!(
                "this machine has {cpus} CPUs; `{}` plays the worker",
                self.runtime.path.display()
            ),
            severity: Severity::Fine,
            remedy: None,
        }]
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        // Inside of a call there is no worker to end: jobs that the call has started go on as long as it does.
        // A worker ends when its last handle is dropped: at once when it is idle, else with its last job.
        self.fleets.close(mode == CloseMode::Now);
        let workers = std::mem::take(&mut *self.workers());
        if mode == CloseMode::Now {
            workers.iter().for_each(|worker| worker.kill());
        }
        Ok(())
    }
}

fn needs_no_runtime() -> Error {
    Error::new(ErrorKind::Unsupported, "localhost has no runtimes: the program itself is what runs")
}
