//! [`GcpCloudRunBackend`]: the [`ComputeBackend`] of Cloud Run.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use lithops_activations::{Activation, Limits, ServiceClient, Services};
use lithops_core::{
    artifact::{Artifact, ProgramRef, StoredProgram},
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId, RuntimeSpec,
    },
    error::{Error, ErrorKind, Result},
    protocol::Program,
    storage::{Locator, StorageClient},
};
use tokio::sync::OnceCell;

use crate::{
    SCHEME,
    admin::Admin,
    config::{self, GcpCloudRunConfig},
    deploy::{self, Deployed},
    doctor,
    image::{self, Content, Shipped, target},
    leftovers,
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
    services: Services,
}

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
            services: Services::new(SCHEME, options.max_workers),
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
            let program = match &self.shipped().await?.program {
                Some(program) => program.clone(),
                None => {
                    let artifact = Artifact::read(self.functions(), &target()).await?;
                    let program = StoredProgram::of(&artifact);
                    program.put(&artifact, storage).await?;
                    program
                }
            };
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
            program: shipped.program.as_ref().map(|program| program.digest),
            arguments,
            account: admin.service_account(&self.config).await?,
            cpus: capabilities.worker_cpus,
            memory,
            timeout: self.timeout().as_secs(),
            max_workers: self.max_workers,
        };
        let deployed = deploy::ensure(admin, &Wanted::of(&self.config, &parts)).await?;
        if self.config.min_workers > 0 {
            self.services.kept.begin(memory, &deployed.name);
            self.note_use(memory).await;
        }
        Ok(deployed)
    }

    /// Notes from time to time that this client uses the instances that are kept without requests.
    async fn note_use(&self, memory: u64) {
        let Some(service) = self.services.kept.due(memory) else { return };
        let noted = async { leftovers::note_use(self.admin().await?, &service).await };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "others may take the kept instances for unused");
        }
    }

    /// The client of the service whose instances have this much memory. It is deployed if it is not there.
    async fn client(&self, memory: u64) -> Result<Arc<ServiceClient>> {
        let deploy = || async {
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
            ServiceClient::new(target, Arc::new(rules))
        };
        self.services.client(memory, deploy).await
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
        self.services.forget().await;
        Ok(())
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        let memory = request.memory.unwrap_or(self.capabilities.worker_memory);
        let (running, client) = tokio::try_join!(self.running(), self.client(memory))?;
        self.note_use(memory).await;
        let run = self.timeout().saturating_sub(MARGIN).max(self.timeout() / 2);
        let activation = Activation::new(running, &request, Limits::new(START, Some(run)))?;
        self.services.begin(client, request.job.job, activation)
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.services.cancel(id);
        Ok(())
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        leftovers::find(self.admin().await?).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        leftovers::remove(self.admin().await?, leftover).await
    }

    async fn check(&self) -> Vec<Check> {
        doctor::check(self).await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        self.services.close(mode);
        Ok(())
    }
}
