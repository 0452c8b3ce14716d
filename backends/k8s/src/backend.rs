//! [`K8sBackend`]: the [`ComputeBackend`] of a cluster of Kubernetes.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::future::join_all;
use lithops_core::{
    artifact::{Artifact, Glibc, StoredProgram, Target},
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId, RuntimeSpec, Scaled,
        WaitingWorkers,
    },
    error::{Error, ErrorKind, Result},
    protocol::{Launch, Program, ProgramId, Secrets},
    storage::{Locator, StorageClient},
};
use lithops_kubernetes::Cluster;
use tokio::sync::{Mutex, OnceCell};

use crate::{
    SCHEME,
    config::{self, K8sConfig},
    doctor,
    fed::{FedFleet, FedStart},
    fleet::{K8sFleet, Start},
    leftovers,
    manifest::{Transport, WorkerImage},
    version, waves,
};

/// The descriptor that this crate registers.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "pods of a cluster of Kubernetes",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: config::KEYS,
    capabilities: |config| Ok(K8sConfig::read(config)?.capabilities),
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(K8sBackend::new(options)?);
            Ok(backend)
        })
    },
};

/// Runs calls in pods of a cluster of Kubernetes.
#[derive(Debug)]
pub struct K8sBackend {
    pub(crate) config: K8sConfig,
    pub(crate) program: Program,
    pub(crate) max_workers: usize,
    pub(crate) storage: Option<(StorageClient, Locator)>,
    secrets: Option<Secrets>,
    cluster: OnceCell<Cluster>,
    image: OnceCell<WorkerImage>,
    /// The fleets whose workers pull, by their name.
    fleets: Mutex<HashMap<String, K8sFleet>>,
    /// The fleets whose workers are fed, by the memory of a worker.
    fed: std::sync::Mutex<HashMap<u64, Arc<FedFleet>>>,
}

impl K8sBackend {
    /// The backend under a configuration. The cluster is not asked for anything yet.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        Ok(Self {
            config: K8sConfig::read(&options.config)?,
            program: options.program,
            max_workers: options.max_workers,
            storage: options.storage,
            secrets: options.secrets,
            cluster: OnceCell::new(),
            image: OnceCell::new(),
            fleets: Mutex::default(),
            fed: std::sync::Mutex::default(),
        })
    }

    /// What opens the storage for workers, where they need it.
    pub(crate) fn secrets(&self) -> Option<&Secrets> {
        self.secrets.as_ref()
    }

    /// The cluster, which is asked for its version the first time.
    pub(crate) async fn cluster(&self) -> Result<&Cluster> {
        let connect = || async {
            let cluster = Cluster::connect(&self.config.access).await?;
            version::check(&cluster).await?;
            Ok(cluster)
        };
        self.cluster.get_or_try_init(connect).await
    }

    /// The fleet of workers with this memory that are fed.
    async fn fed_fleet(&self, memory: Option<u64>) -> Result<Arc<FedFleet>> {
        let (cluster, image) = (self.cluster().await?, self.image().await?);
        let memory = memory.unwrap_or(self.config.pod.memory);
        let known = || self.fed().get(&memory).cloned();
        if let Some(fleet) = known() {
            return Ok(fleet);
        }
        let program = self.fleet_program().await?;
        let start = FedStart {
            cluster: cluster.clone(),
            config: self.config.with_memory(memory),
            image: image.clone(),
            program,
            secrets: self.secrets.clone(),
            storage: self
                .storage
                .as_ref()
                .map_or_else(|| Locator::new("none", ""), |(_, place)| place.clone()),
            client: client_name(),
            max_workers: self.max_workers,
        };
        Ok(Arc::clone(self.fed().entry(memory).or_insert_with(|| FedFleet::new(start))))
    }

    fn fed_fleets(&self) -> Vec<Arc<FedFleet>> {
        self.fed().values().cloned().collect()
    }

    fn fed(&self) -> MutexGuard<'_, HashMap<u64, Arc<FedFleet>>> {
        self.fed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image of the workers. That of the program is made and pushed the first time.
    pub(crate) async fn image(&self) -> Result<&WorkerImage> {
        let make = || async {
            match &self.config.images.runtime {
                Some(name) => {
                    Ok(WorkerImage { name: name.clone(), is_program: false, arguments: Vec::new() })
                }
                None => {
                    let program = self.config.images.artifact.as_ref().unwrap_or(&self.program.path);
                    let pushed = self.config.images.push(program).await?;
                    let arguments = self.program.arguments.iter();
                    let arguments =
                        arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
                    Ok(WorkerImage { name: pushed.reference.to_string(), is_program: true, arguments })
                }
            }
        };
        self.image.get_or_try_init(make).await
    }
}

#[async_trait]
impl ComputeBackend for K8sBackend {
    fn info(&self) -> BackendInfo {
        let namespace = self.config.access.namespace.as_deref().unwrap_or("of the context");
        BackendInfo { scheme: SCHEME, region: None, location: format!("the namespace {namespace}") }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.config.capabilities
    }

    fn sized(&self, memory: u64) -> Result<Capabilities> {
        self.config.capabilities_of(memory)
    }

    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package> {
        self.config.images.build(spec).await
    }

    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime> {
        let images = &self.config.images;
        let pushed = images.push(images.program(spec)?).await?;
        Ok(Runtime {
            id: RuntimeId(pushed.reference.with(pushed.reference.tag(), None).to_string()),
            memory: None,
        })
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        self.config.images.list().await
    }

    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()> {
        self.config.images.delete(id).await
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        if !self.config.capabilities.feed {
            return Err(Error::new(ErrorKind::Unsupported, "nothing is handed over: the workers pull")
                .with_hint("write `k8s: {dispatch: fed}`, or `auto`"));
        }
        self.fed_fleet(request.memory).await?.invoke(&request).await
    }

    fn awaited(&self) -> Vec<WaitingWorkers> {
        self.fed_fleets().iter().flat_map(|fleet| fleet.awaited()).collect()
    }

    async fn withdraw(&self) -> Result<()> {
        let withdrawn = self.fed_fleets().into_iter().map(|fleet| async move { fleet.withdraw().await });
        join_all(withdrawn).await.into_iter().collect()
    }

    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Scaled> {
        let (cluster, image) = (self.cluster().await?, self.image().await?);
        let client = client_name();
        let sized = launch.memory.map(|memory| self.config.with_memory(memory));
        let config = sized.as_ref().unwrap_or(&self.config);
        let (secrets, transport) = (self.secrets.as_ref(), Transport::Pull);
        let start = Start { cluster, config, image, secrets, client: &client, transport };
        let most = workers.min(self.max_workers);
        let mut fleets = self.fleets.lock().await;
        let fleet = fleets.entry(launch.fleet.clone()).or_insert_with(|| K8sFleet::new(cluster, launch));
        let mut scaled = fleet.scale(most, start).await?;
        if workers > most {
            let why = format!("at most {most} workers may run at once (`max_workers`)");
            scaled.waiting.push(WaitingWorkers { count: workers - most, why, is_hopeless: false });
        }
        Ok(scaled)
    }

    async fn fleet_program(&self) -> Result<Option<ProgramId>> {
        let image = self.image().await?;
        let Some((storage, _)) = self.storage.as_ref().filter(|_| !image.is_program) else { return Ok(None) };
        // The image says which C library it has, and is not asked: a worker that cannot execute the program says so.
        let target = Target {
            machine: self.config.images.machine,
            glibc: Glibc(u32::MAX, 0),
            name: "the image of `runtime`",
        };
        let program = self.config.images.artifact.as_ref().unwrap_or(&self.program.path);
        let artifact = Artifact::read(program, &target).await?;
        let stored = StoredProgram::of(&artifact);
        stored.put(&artifact, storage).await?;
        let arguments = self.program.arguments.clone();
        Ok(Some(ProgramId { digest: stored.digest, len: stored.len, arguments }))
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        self.fed_fleets().iter().for_each(|fleet| fleet.cancel(id));
        Ok(())
    }

    async fn discard(&self, id: &InvocationId) -> Result<()> {
        self.fed_fleets().iter().for_each(|fleet| fleet.discard(id));
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        doctor::check(self).await
    }

    async fn check_live(&self) -> Vec<Check> {
        doctor::check_live(self).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        leftovers::find(self.cluster().await?, &self.config.capabilities.price).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        waves::delete(self.cluster().await?, &leftover.id).await
    }

    async fn fleet_ended(&self, launch: &Launch) -> Result<()> {
        let mut fleets = self.fleets.lock().await;
        let Some(fleet) = fleets.get_mut(&launch.fleet) else { return Ok(()) };
        fleet.end(self.cluster().await?, false).await?;
        // The watches end with it.
        fleets.remove(&launch.fleet);
        Ok(())
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        let now = mode == CloseMode::Now;
        let closed = self.fed_fleets().into_iter().map(|fleet| async move { fleet.close(now).await });
        join_all(closed).await.into_iter().collect::<Result<()>>()?;
        // Workers read in the storage that their fleet is closed, and end; so does their Job.
        if mode == CloseMode::Drain {
            return Ok(());
        }
        let mut fleets = self.fleets.lock().await;
        let mut failed = None;
        for fleet in fleets.values_mut() {
            if let Err(error) = fleet.end(self.cluster().await?, true).await {
                failed.get_or_insert(error);
            }
        }
        fleets.clear();
        failed.map_or(Ok(()), Err)
    }
}

/// Who asks for workers, for people that look at the cluster.
pub(crate) fn client_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} {}", host.trim(), std::process::id())
}
