//! [`KnativeBackend`]: the [`ComputeBackend`] of Knative Serving.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lithops_activations::{Activation, Limits, ServiceClient, Services};
use lithops_core::{
    artifact::{Artifact, Glibc, ProgramRef, StoredProgram, Target as System},
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId, RuntimeSpec,
    },
    error::{Error, ErrorKind, Result},
    protocol::{Program, Secrets},
    storage::{Locator, StorageClient},
};
use lithops_kubernetes::Cluster;
use tokio::sync::OnceCell;

use crate::{
    SCHEME,
    config::{self, KnativeConfig},
    deploy, doctor, leftovers,
    manifest::{Wanted, WorkerImage},
    route::{self, Rules},
    secret,
};

/// The descriptor that this crate registers.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "Knative Serving: containers that come with requests and go without them",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: config::KEYS,
    capabilities: |config| KnativeConfig::read(config)?.capabilities(None),
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(KnativeBackend::new(options)?);
            Ok(backend)
        })
    },
};

/// What a request may wait for a worker beyond the time that Knative lets it wait.
const MARGIN: Duration = Duration::from_secs(30);

/// Runs calls in the pods of Services of Knative.
#[derive(Debug)]
pub struct KnativeBackend {
    pub(crate) config: KnativeConfig,
    capabilities: Capabilities,
    program: Program,
    max_workers: usize,
    pub(crate) storage: Option<(StorageClient, Locator)>,
    secrets: Option<Secrets>,
    cluster: OnceCell<Cluster>,
    image: OnceCell<WorkerImage>,
    running: OnceCell<ProgramRef>,
    services: Services,
}

impl KnativeBackend {
    /// The backend under a configuration. The cluster is not asked for anything yet.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        let config = KnativeConfig::read(&options.config)?;
        Ok(Self {
            capabilities: config.capabilities(None)?,
            config,
            program: options.program,
            max_workers: options.max_workers,
            storage: options.storage,
            secrets: options.secrets,
            cluster: OnceCell::new(),
            image: OnceCell::new(),
            running: OnceCell::new(),
            services: Services::new(SCHEME, options.max_workers),
        })
    }

    /// Whether workers need credentials of their own for the storage.
    pub(crate) fn has_secrets(&self) -> bool {
        self.secrets.is_some()
    }

    async fn cluster(&self) -> Result<&Cluster> {
        self.cluster.get_or_try_init(|| Cluster::connect(&self.config.access)).await
    }

    /// The image of the workers. That of the program is made and pushed the first time.
    async fn image(&self) -> Result<&WorkerImage> {
        let make = || async {
            let Some(name) = &self.config.images.runtime else {
                let program = self.config.images.artifact.as_ref().unwrap_or(&self.program.path);
                let image = self.image_of(program).await?;
                let arguments = self.program.arguments.iter();
                let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
                return Ok(WorkerImage { arguments, ..image });
            };
            Ok(WorkerImage { name: name.clone(), program: None, arguments: vec!["http".to_owned()] })
        };
        self.image.get_or_try_init(make).await
    }

    /// The image of a program, which is pushed unless it is there.
    async fn image_of(&self, program: &std::path::Path) -> Result<WorkerImage> {
        let artifact = Artifact::read(program, &self.system()).await?;
        let pushed = self.config.images.push(program).await?;
        let reference = pushed.reference.to_string();
        // Nodes speak to a registry as they are configured to.
        let name = reference.split_once("://").map_or(reference.as_str(), |(_, rest)| rest).to_owned();
        Ok(WorkerImage { name, program: Some(StoredProgram::of(&artifact)), arguments: Vec::new() })
    }

    /// What the program must fit. An image of the program has its libraries, and one with `lithops-worker` is not asked:
    /// a worker that cannot execute the program says so.
    fn system(&self) -> System {
        System {
            machine: self.config.images.machine,
            glibc: Glibc(u32::MAX, 0),
            name: "the image of the workers",
        }
    }

    /// The reference that workers find the program by. It is stored first unless it is in the image.
    async fn running(&self) -> Result<&ProgramRef> {
        let make = || async {
            let (storage, locator) = self.storage.as_ref().ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "the backend `knative` needs the storage of the jobs")
            })?;
            let program = match &self.image().await?.program {
                Some(program) => program.clone(),
                None => {
                    let path = self.config.images.artifact.as_ref().unwrap_or(&self.program.path);
                    let artifact = Artifact::read(path, &self.system()).await?;
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

    /// What a Service with this image is made of.
    fn wanted<'a>(&'a self, image: &'a WorkerImage, memory: u64) -> Result<Wanted<'a>> {
        let capabilities = self.config.capabilities(Some(memory))?;
        let secret = self.secrets.as_ref().map(secret::name).transpose()?;
        let (cpus, max_workers) = (capabilities.worker_cpus, self.max_workers);
        Ok(Wanted { config: &self.config, image, cpus, memory, max_workers, secret })
    }

    async fn deployed(&self, image: &WorkerImage, memory: u64, needs_url: bool) -> Result<deploy::Deployed> {
        let cluster = self.cluster().await?;
        if let Some(secrets) = &self.secrets {
            secret::apply(cluster, secrets).await?;
        }
        let deployed = deploy::ensure(cluster, &self.wanted(image, memory)?, needs_url).await?;
        if self.config.pod.min_workers > 0 {
            self.services.kept.begin(memory, &deployed.name);
            self.note_use(memory).await;
        }
        Ok(deployed)
    }

    /// Notes from time to time that this client uses the pods that are kept without requests.
    async fn note_use(&self, memory: u64) {
        let Some(service) = self.services.kept.due(memory) else { return };
        let noted = async { leftovers::note_use(self.cluster().await?, &service).await };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "others may take the kept pods for unused");
        }
    }

    /// The client of the Service whose workers have this much memory. The Service is created if it is not there.
    async fn client(&self, memory: u64) -> Result<Arc<ServiceClient>> {
        let deploy = || async {
            let (cluster, routing) = (self.cluster().await?, &self.config.routing);
            let deployed = self.deployed(self.image().await?, memory, route::needs_url(routing)).await?;
            let target = route::target(routing, &deployed, &cluster.namespace, self.config.http2)?;
            let rules = Rules::new(cluster, routing, &deployed)?;
            ServiceClient::new(target, Arc::new(rules))
        };
        self.services.client(memory, deploy).await
    }

    async fn image_of_spec(&self, spec: &RuntimeSpec) -> Result<WorkerImage> {
        match (&self.config.images.runtime, spec.artifact.as_os_str().is_empty()) {
            (Some(_), true) => self.image().await.cloned(),
            _ => self.image_of(self.config.images.program(spec)?).await,
        }
    }
}

#[async_trait]
impl ComputeBackend for KnativeBackend {
    fn info(&self) -> BackendInfo {
        let namespace = self.config.access.namespace.as_deref().unwrap_or("of the context");
        BackendInfo {
            scheme: SCHEME,
            region: None,
            location: format!("Knative in the namespace {namespace}"),
        }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn sized(&self, memory: u64) -> Result<Capabilities> {
        self.config.capabilities(Some(memory))
    }

    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package> {
        self.config.images.build(spec).await
    }

    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime> {
        let memory = spec.memory.unwrap_or(self.capabilities.worker_memory);
        let image = self.image_of_spec(spec).await?;
        let deployed = self.deployed(&image, memory, false).await?;
        Ok(Runtime { id: RuntimeId(deployed.name), memory: Some(memory) })
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        deploy::list(self.cluster().await?).await
    }

    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()> {
        deploy::delete(self.cluster().await?, id).await?;
        self.services.forget().await;
        Ok(())
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        let memory = request.memory.unwrap_or(self.capabilities.worker_memory);
        let (running, client) = tokio::try_join!(self.running(), self.client(memory))?;
        self.note_use(memory).await;
        let timeout = self.config.timeout;
        let activation = Activation::new(running, &request, Limits::new(timeout + MARGIN, Some(timeout)))?;
        self.services.begin(client, request.job.job, activation)
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.services.cancel(id);
        Ok(())
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        leftovers::find(self.cluster().await?).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        leftovers::remove(self.cluster().await?, leftover).await
    }

    async fn check(&self) -> Vec<Check> {
        doctor::check(self).await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        self.services.close(mode);
        Ok(())
    }
}
