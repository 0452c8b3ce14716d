//! [`AwsLambdaBackend`]: the [`ComputeBackend`] of AWS Lambda.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lithops_core::{
    artifact::{Artifact, ProgramRef, StoredProgram},
    compute::{
        Answer, BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode,
        ComputeBackend, ExitReason, Health, InFlight, Invocation, InvocationId, InvokeRequest, Package,
        Runtime, RuntimeId, RuntimeSpec,
    },
    error::{Error, ErrorKind, Result},
    protocol::{Envelope, Program},
    storage::{Locator, StorageClient},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    SCHEME,
    activation::Activation,
    client::Client,
    config::{self, AwsLambdaConfig, LONGEST_NAME, fits_a_name},
    deploy::{self, Wanted},
    doctor,
    mending::Mending,
    package::{Bootstrap, no_worker, target},
};

/// The most bytes of one response: a limit of Lambda.
const RESPONSE: u64 = 6_291_456;

/// The descriptor that this crate registers.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "AWS Lambda: functions that answer with the outcomes of their chunk",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: config::KEYS,
    capabilities: |config| AwsLambdaConfig::read(config)?.capabilities(None),
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(AwsLambdaBackend::new(options)?);
            Ok(backend)
        })
    },
};

/// Runs calls in functions of AWS Lambda.
#[derive(Debug)]
pub struct AwsLambdaBackend {
    config: AwsLambdaConfig,
    capabilities: Capabilities,
    program: Program,
    pub(crate) max_workers: usize,
    storage: Option<(StorageClient, Locator)>,
    client: OnceCell<Client>,
    /// The program that is in the storage, and the means to store it again.
    running: OnceCell<(ProgramRef, Mending)>,
    /// The names of functions that are ready, by the memory of their instances.
    ready: Arc<Mutex<HashMap<u64, Arc<OnceCell<String>>>>>,
    /// The state of the service, by its answers until now.
    health: Arc<Health>,
    /// The requests that this client waits for.
    in_flight: InFlight,
    started: Arc<AtomicU64>,
}

impl AwsLambdaBackend {
    /// The backend under a configuration. No connection is made before one is needed.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        let config = AwsLambdaConfig::read(&options.config)?;
        Ok(Self {
            capabilities: config.capabilities(None)?,
            config,
            program: options.program,
            max_workers: options.max_workers,
            storage: options.storage,
            client: OnceCell::new(),
            running: OnceCell::new(),
            ready: Arc::default(),
            health: Arc::default(),
            in_flight: InFlight::new(options.max_workers),
            started: Arc::default(),
        })
    }

    pub(crate) fn config(&self) -> &AwsLambdaConfig {
        &self.config
    }

    pub(crate) fn storage(&self) -> Option<&(StorageClient, Locator)> {
        self.storage.as_ref()
    }

    pub(crate) async fn client(&self) -> Result<&Client> {
        self.client.get_or_try_init(|| Client::of(&self.config, self.timeout())).await
    }

    fn timeout(&self) -> Duration {
        self.capabilities.timeout_limit.unwrap_or(Duration::from_secs(180))
    }

    /// The program that is deployed when the request names none.
    pub(crate) fn bootstrap(&self) -> Result<Bootstrap> {
        Bootstrap::of(&self.config, &self.program)
    }

    async fn wanted(&self, spec: &RuntimeSpec) -> Result<Wanted> {
        let mut config = self.config.clone();
        if !spec.name.is_empty() {
            // Without a namespace there is room for a name twice as long.
            let names = if config.namespace.is_some() { 1 } else { 2 };
            fits_a_name(&spec.name, names * LONGEST_NAME).map_err(|hint| {
                let problem =
                    format!("`{}` cannot be a part of the name of a function", spec.name.escape_debug());
                Error::new(ErrorKind::InvalidInput, problem).with_hint(hint)
            })?;
            config.runtime = Some(spec.name.clone());
        }
        let bootstrap = match spec.artifact.as_os_str().is_empty() {
            false => Bootstrap { path: spec.artifact.clone(), is_program: false },
            true => match self.bootstrap()? {
                // The program that asks, such as `lithops runtime`, is not the one that has the functions.
                bootstrap if bootstrap.is_program && self.config.artifact.is_none() => {
                    return Err(no_worker("there is no `lithops-worker` that can serve Lambda"));
                }
                bootstrap => bootstrap,
            },
        };
        let memory = spec.memory.unwrap_or(self.capabilities.worker_memory);
        Wanted::of(&config, &bootstrap, memory, self.timeout()).await
    }

    /// The name of the function with this much memory in each instance; the function is deployed if it does not exist.
    async fn function(&self, memory: u64) -> Result<String> {
        let cell = Arc::clone(self.ready.lock().await.entry(memory).or_default());
        let name = cell
            .get_or_try_init(|| async {
                let wanted = Wanted::of(&self.config, &self.bootstrap()?, memory, self.timeout()).await?;
                let storage = self.storage.as_ref().map(|(storage, _)| storage);
                let runtime =
                    deploy::ensure(self.client().await?, &self.config, &wanted, self.timeout(), storage)
                        .await?;
                Ok::<_, Error>(runtime.id.0)
            })
            .await?;
        Ok(name.clone())
    }

    /// The reference that instances fetch the program by. The program is stored first if it is not in the storage.
    async fn running(&self) -> Result<&(ProgramRef, Mending)> {
        let make = || async {
            let (storage, locator) = self.storage.as_ref().ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "the backend `aws_lambda` needs the storage of the jobs")
            })?;
            let path = self.config.artifact.as_ref().unwrap_or(&self.program.path);
            let artifact = Artifact::read(path, &target(self.config.machine)).await?;
            let shipped = StoredProgram::of(&artifact);
            if !self.bootstrap()?.is_program {
                shipped.put(&artifact, storage).await?;
            }
            let machine = self.config.machine;
            let mending = Mending::new(path.clone(), machine, shipped.clone(), storage.clone());
            let running = ProgramRef {
                program: shipped,
                storage: locator.clone(),
                arguments: self.program.arguments.clone(),
                answer_limit: Envelope::room(RESPONSE),
            };
            Ok((running, mending))
        };
        self.running.get_or_try_init(make).await
    }
}

#[async_trait]
impl ComputeBackend for AwsLambdaBackend {
    fn info(&self) -> BackendInfo {
        let region = self.config.access.region.clone();
        let location =
            region.as_ref().map_or("AWS Lambda".into(), |region| format!("AWS Lambda in {region}"));
        BackendInfo { scheme: SCHEME, region, location }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn sized(&self, memory: u64) -> Result<Capabilities> {
        self.config.capabilities(Some(memory))
    }

    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package> {
        if let Some(output) = &spec.output {
            let problem = format!("`{output}` is a place for an image, and Lambda is given a ZIP file");
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .with_hint("leave `--output` out: the file is written into this folder"));
        }
        deploy::build(&self.wanted(spec).await?).await
    }

    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime> {
        let wanted = self.wanted(spec).await?;
        let storage = self.storage.as_ref().map(|(storage, _)| storage);
        deploy::ensure(self.client().await?, &self.config, &wanted, self.timeout(), storage).await
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        deploy::list(self.client().await?, &self.config).await
    }

    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()> {
        deploy::delete(self.client().await?, &id.0).await?;
        self.ready.lock().await.retain(|_, name| name.get() != Some(&id.0));
        Ok(())
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        let memory = request.memory.unwrap_or(self.capabilities.worker_memory);
        let ((running, mending), function) = tokio::try_join!(self.running(), self.function(memory))?;
        mending.in_use();
        let client = self.client().await?.clone();
        let activation = Activation::new(function, running, &request, self.config.streams)?;
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let id = InvocationId(format!("{}/{}/{number}", activation.function, request.job.job));
        let (mending, ready, started) = (mending.clone(), Arc::clone(&self.ready), Arc::clone(&self.started));
        self.in_flight.spawn(id, activation.id, |events| {
            let request = self.health.begin();
            async move {
                let (function, once) = (activation.function.clone(), activation.once);
                match activation.run(&client, &events).await {
                    Answer::Said(ExitReason::Damaged(words)) => {
                        mending.mend(words, number, || started.load(Ordering::Relaxed)).await
                    }
                    answer => {
                        if let Answer::Gone(_) = answer {
                            // The next activation deploys it again.
                            ready.lock().await.retain(|_, name| name.get() != Some(&function));
                        }
                        let (reason, pause) = request.judge(answer, once);
                        tokio::time::sleep(pause).await;
                        reason
                    }
                }
            }
        })
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        // Lambda has no way to end an instance: this client only stops waiting for it.
        let what = if self.in_flight.abort(id) { "it runs on" } else { "it may run on" };
        let problem =
            format!("Lambda has no way to end an instance: {what}, for {:?} at most", self.timeout());
        Err(Error::new(ErrorKind::Unsupported, problem))
    }

    async fn check(&self) -> Vec<Check> {
        doctor::check(self).await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        if mode == CloseMode::Now {
            self.in_flight.abort_all();
        }
        Ok(())
    }
}
