//! [`GcpCloudRunBackend`]: the [`ComputeBackend`] of Cloud Run.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lithops_activations::{Activation, Limits, ServiceClient};
use lithops_core::{
    artifact::{Artifact, ProgramRef, StoredProgram},
    compute::{
        Answer, BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode,
        ComputeBackend, InFlight, Invocation, InvocationId, InvokeRequest, Package, Runtime, RuntimeId,
        RuntimeSpec,
    },
    error::{Error, ErrorKind, Result},
    protocol::Program,
    storage::{Locator, StorageClient},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    SCHEME,
    admin::Admin,
    config::{self, GcpCloudRunConfig},
    deploy::{self, Deployed},
    doctor,
    image::{self, Content, Shipped, target},
    rules::{self, Rules},
    service::{Parts, Wanted},
};

/// How long an instance may take to say hello: Cloud Run queues a request, and gives a container time to start.
const START: Duration = Duration::from_secs(240);
/// So long before the request timeout the worker ends its calls itself, so that their outcomes still come.
const MARGIN: Duration = Duration::from_secs(5);

/// The descriptor that this crate registers.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "Google Cloud Run: instances of a service, which stream the outcomes of their chunk",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: config::KEYS,
    capabilities: |config| GcpCloudRunConfig::read(config)?.capabilities(None),
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(GcpCloudRunBackend::new(options)?);
            Ok(backend)
        })
    },
};

/// Runs calls in instances of a service of Cloud Run.
#[derive(Debug)]
pub struct GcpCloudRunBackend {
    pub(crate) config: GcpCloudRunConfig,
    capabilities: Capabilities,
    pub(crate) program: Program,
    pub(crate) max_workers: usize,
    pub(crate) storage: Option<(StorageClient, Locator)>,
    admin: OnceCell<Arc<Admin>>,
    shipped: OnceCell<Shipped>,
    running: OnceCell<ProgramRef>,
    /// The clients of services that are ready, by the memory of their instances.
    ready: Arc<Mutex<HashMap<u64, Ready>>>,
    /// The requests that this client waits for.
    in_flight: InFlight,
    started: AtomicU64,
}

/// The client of a service, once that is ready.
type Ready = Arc<OnceCell<Arc<ServiceClient>>>;

impl GcpCloudRunBackend {
    /// The backend under a configuration. No connection is made before one is needed.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        let config = GcpCloudRunConfig::read(&options.config)?;
        Ok(Self {
            capabilities: config.capabilities(None)?,
            config,
            program: options.program,
            max_workers: options.max_workers,
            storage: options.storage,
            admin: OnceCell::new(),
            shipped: OnceCell::new(),
            running: OnceCell::new(),
            ready: Arc::default(),
            in_flight: InFlight::new(options.max_workers),
            started: AtomicU64::new(0),
        })
    }

    pub(crate) async fn admin(&self) -> Result<&Arc<Admin>> {
        self.admin.get_or_try_init(|| async { Ok(Arc::new(Admin::new(&self.config).await?)) }).await
    }

    fn timeout(&self) -> Duration {
        self.capabilities.timeout_limit.unwrap_or(Duration::from_secs(300))
    }

    /// The program that has the functions.
    pub(crate) fn functions(&self) -> &Path {
        self.config.artifact.as_ref().unwrap_or(&self.program.path)
    }

    /// The image of the instances. It is made and pushed the first time.
    async fn shipped(&self) -> Result<&Shipped> {
        let make = || async {
            let content = Content::of(&self.config, &self.program.path);
            image::ship(self.admin().await?, &self.config, &content).await
        };
        self.shipped.get_or_try_init(make).await
    }

    /// The reference that instances find the program by. It is stored first unless it is in the image.
    async fn running(&self) -> Result<&ProgramRef> {
        let make = || async {
            let (storage, locator) = self.storage.as_ref().ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "the backend `gcp_cloudrun` needs the storage of the jobs")
            })?;
            let artifact = Artifact::read(self.functions(), &target()).await?;
            let program = StoredProgram::of(&artifact);
            if self.shipped().await?.program.is_none() {
                program.put(&artifact, storage).await?;
            }
            let arguments = self.program.arguments.clone();
            Ok(ProgramRef { program, storage: locator.clone(), arguments, answer_limit: 0 })
        };
        self.running.get_or_try_init(make).await
    }

    async fn deployed(&self, shipped: &Shipped, memory: u64, arguments: Vec<String>) -> Result<Deployed> {
        let admin = self.admin().await?;
        let capabilities = self.config.capabilities(Some(memory))?;
        let parts = Parts {
            image: shipped.image.clone(),
            program: shipped.program,
            arguments,
            account: admin.service_account(&self.config).await?,
            cpus: capabilities.worker_cpus,
            memory,
            timeout: self.timeout().as_secs(),
            max_workers: self.max_workers,
        };
        deploy::ensure(admin, &Wanted::of(&self.config, &parts)).await
    }

    /// The client of the service whose instances have this much memory. It is deployed if it is not there.
    async fn client(&self, memory: u64) -> Result<Arc<ServiceClient>> {
        let cell = Arc::clone(self.ready.lock().await.entry(memory).or_default());
        let make = || async {
            let shipped = self.shipped().await?;
            // A program in the image gets the arguments of this one: a test binary would run its tests else.
            let arguments = self.program.arguments.iter();
            let arguments = match shipped.program {
                Some(_) => arguments.map(|argument| argument.to_string_lossy().into_owned()).collect(),
                None => vec!["http".to_owned()],
            };
            let deployed = self.deployed(shipped, memory, arguments).await?;
            let target = rules::target(&deployed)?;
            let rules = Rules::new(Arc::clone(self.admin().await?), deployed, self.timeout().as_secs());
            Ok::<_, Error>(Arc::new(ServiceClient::new(target, Arc::new(rules))?))
        };
        cell.get_or_try_init(make).await.cloned()
    }
}

#[async_trait]
impl ComputeBackend for GcpCloudRunBackend {
    fn info(&self) -> BackendInfo {
        let region = self.config.region.clone();
        let location = region.as_ref().map_or("Cloud Run".into(), |region| format!("Cloud Run in {region}"));
        BackendInfo { scheme: SCHEME, region, location }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn sized(&self, memory: u64) -> Result<Capabilities> {
        self.config.capabilities(Some(memory))
    }

    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package> {
        image::build(&self.config, &Content::of_spec(&self.config, spec)?, spec).await
    }

    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime> {
        let memory = spec.memory.unwrap_or(self.capabilities.worker_memory);
        let content = Content::of_spec(&self.config, spec)?;
        let admin = self.admin().await?;
        let before = admin.writes();
        let shipped = image::ship(admin, &self.config, &content).await?;
        let arguments = if shipped.program.is_some() { Vec::new() } else { vec!["http".to_owned()] };
        let deployed = self.deployed(&shipped, memory, arguments).await?;
        tracing::info!(service = deployed.name, writes = admin.writes() - before, "deployed");
        Ok(Runtime { id: RuntimeId(deployed.name), memory: Some(memory) })
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        deploy::list(self.admin().await?).await
    }

    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()> {
        deploy::delete(self.admin().await?, &id.0).await?;
        // The next activation deploys again what it needs.
        self.ready.lock().await.clear();
        Ok(())
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        let memory = request.memory.unwrap_or(self.capabilities.worker_memory);
        let (running, client) = tokio::try_join!(self.running(), self.client(memory))?;
        let run = self.timeout().saturating_sub(MARGIN).max(self.timeout() / 2);
        let activation = Activation::new(running, &request, Limits::new(START, Some(run)))?;
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let id = InvocationId(format!("{SCHEME}/{}/{number}", request.job.job));
        let ready = Arc::clone(&self.ready);
        self.in_flight.spawn(id, activation.id, |events| async move {
            let pending = client.health().begin();
            let answer = client.run(&activation, &events).await;
            if let Answer::Gone(_) = answer {
                // The next activation deploys the service again.
                ready
                    .lock()
                    .await
                    .retain(|_, known| known.get().is_none_or(|known| !Arc::ptr_eq(known, &client)));
            }
            let (reason, pause) = pending.judge(answer, activation.once);
            tokio::time::sleep(pause).await;
            reason
        })
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.in_flight.cancel(id);
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        doctor::check(self).await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        // Without requests the instances go by themselves.
        if mode == CloseMode::Now {
            self.in_flight.abort_all();
        }
        Ok(())
    }
}
