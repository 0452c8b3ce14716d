//! [`Builder`]: from configuration and calls of the program to an executor.

use std::{marker::PhantomData, path::PathBuf, sync::Arc};

use tokio::sync::broadcast;

use super::{Executor, Mode};
use crate::{
    compute::BackendOptions,
    config::{Config, Environment, FindingSeverity, Origin, Sources, Value},
    error::{Error, ErrorKind, Result},
    executor::{
        core::Core,
        job::{background::BackgroundTasks, history::History},
    },
    fleet::ClientFleet,
    nesting,
    plan::{Count, Objective, PlanRequest},
    process,
    protocol::Secrets,
    registry::{Registry, findings},
    runtime,
    storage::{self, Locator, StorageClient, StorageDescriptor},
};

/// Who watches a job and falls further behind than this misses the oldest events.
const EVENTS: usize = 4096;

/// Makes an executor. What is set here wins over the environment and over the configuration file.
#[derive(Debug, Clone)]
pub struct Builder<M: Mode> {
    sources: Sources,
    settings: Vec<Setting>,
    progress: bool,
    ctrl_c: bool,
    mode: PhantomData<M>,
}

#[derive(Debug, Clone)]
struct Setting {
    /// `None` is the section of the chosen backend.
    section: Option<&'static str>,
    key: String,
    value: Value,
    call: &'static str,
}

impl<M: Mode> Executor<M> {
    /// Makes an executor.
    #[must_use]
    pub fn builder() -> Builder<M> {
        Builder::default()
    }
}

impl<M: Mode> Default for Builder<M> {
    fn default() -> Self {
        Self {
            sources: Sources::default(),
            settings: Vec::new(),
            progress: true,
            ctrl_c: true,
            mode: PhantomData,
        }
    }
}

impl<M: Mode> Builder<M> {
    /// The backend, by its one word; else the configuration's `lithops.backend`, else `localhost`.
    #[must_use]
    pub fn backend(self, backend: impl Into<String>) -> Self {
        self.setting(Some("lithops"), "backend", Value::from(backend.into()), "backend")
    }

    /// The storage, by its one word; else the configuration's `lithops.storage`, else `localhost`.
    #[must_use]
    pub fn storage(self, storage: impl Into<String>) -> Self {
        self.setting(Some("lithops"), "storage", Value::from(storage.into()), "storage")
    }

    /// The configuration file; else the usual search order.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.file = Some(path.into());
        self
    }

    /// The configuration itself, as YAML.
    #[must_use]
    pub fn config_yaml(mut self, yaml: impl Into<String>) -> Self {
        self.sources.yaml = Some(yaml.into());
        self
    }

    /// How many calls may run at once in one worker.
    #[must_use]
    pub fn worker_processes(self, worker_processes: impl Into<Count>) -> Self {
        let value = match worker_processes.into() {
            Count::Exactly(count) => Value::from(count),
            Count::Auto => Value::from("AUTO"),
        };
        self.setting(None, "worker_processes", value, "worker_processes")
    }

    /// What `Auto` is to make small: the time, the price, or their product.
    #[must_use]
    pub fn objective(self, objective: Objective) -> Self {
        self.setting(Some("lithops"), "objective", Value::from(objective.to_string()), "objective")
    }

    /// How many workers may live at once.
    #[must_use]
    pub fn max_workers(self, max_workers: usize) -> Self {
        self.setting(None, "max_workers", Value::from(max_workers), "max_workers")
    }

    /// The memory of a worker, in MB, where the platform sells it.
    #[must_use]
    pub fn runtime_memory(self, megabytes: usize) -> Self {
        self.setting(None, "runtime_memory", Value::from(megabytes), "runtime_memory")
    }

    /// Whether a progress bar is shown on stderr while the program waits for results. It is unless this says no, and
    /// never where stderr is not a terminal.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Whether ctrl-C ends the jobs of this executor wherever they run, and then the program. It does unless this says
    /// no, or the program handles or ignores the signal already when its first job starts. A program that handles it
    /// itself later says no, and calls `futures.cancel()`.
    #[must_use]
    pub fn ctrl_c(mut self, ctrl_c: bool) -> Self {
        self.ctrl_c = ctrl_c;
        self
    }

    /// Any key of the backend's section.
    #[must_use]
    pub fn set(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.setting(None, key, value.into(), "set")
    }

    /// Reads the configuration, checks it, and connects to backend and storage. No job is started, no money spent.
    ///
    /// # Errors
    /// What is wrong with the configuration, where it stands, and what to write instead.
    pub fn build(self) -> M::Out<Result<Executor<M>>> {
        M::run(async move { self.connect().await.map(Executor::new) })
    }

    fn setting(
        mut self,
        section: Option<&'static str>,
        key: impl Into<String>,
        value: Value,
        call: &'static str,
    ) -> Self {
        self.settings.push(Setting { section, key: key.into(), value, call });
        self
    }

    async fn connect(self) -> Result<Core> {
        refuse_stray_child();
        runtime::start()?;
        let config = self.configuration()?;
        let registry = Registry::of(&config)?;
        let descriptor = registry.find(config.backend())?;
        let wrong = findings(&config, &registry)?
            .into_iter()
            .find(|finding| finding.severity == FindingSeverity::Error);
        if let Some(finding) = wrong {
            return Err(finding.into());
        }

        let section = config.section(descriptor.scheme);
        let capabilities = descriptor.capabilities(&config)?;
        let storage_descriptor = storage::descriptor(&registry.storage_of(&config)?)?;
        let lithops = config.section("lithops");
        let request = PlanRequest::new(0, &capabilities).with_config(&config, section)?;
        let plan = request.plan()?;
        let PlanRequest { worker_processes, chunksize, objective, .. } = request;
        let max_workers = plan.max_workers();
        let timeout = lithops.duration("execution_timeout")?;
        let keeps_history = lithops.bool("history")?.unwrap_or(true);

        let locator = locate(storage_descriptor, &config)?;
        let credentials = (storage_descriptor.credentials)(&config)?;
        let secrets = (!credentials.is_empty())
            .then(|| Secrets { storage: locator.clone(), secrets: credentials.expose_all() });
        storage::give(&locator, credentials);
        let store = storage::connect(&locator)?;
        let options = BackendOptions::new(config, process::program()?, plan.worker_processes(), max_workers)
            .with_secrets(secrets.clone())
            .with_storage(StorageClient::new(Arc::clone(&store), locator.bucket.clone()), locator.clone());
        let backend = descriptor.connect(options).await?;
        // Inside of a call the backend has one worker, however many the configuration gives a client.
        let max_workers = max_workers.min(backend.capabilities().max_workers);
        let storage = StorageClient::new(Arc::clone(&store), locator.bucket.clone());
        let pending = Arc::new(BackgroundTasks::default());
        let history = History::new(storage.clone(), keeps_history, Arc::clone(&pending));
        let lease_config = backend.capabilities().pull;
        let client_fleet = lease_config
            .map(|lease_config| ClientFleet::new(&storage, &locator, secrets, lease_config))
            .transpose()?;
        Ok(Core {
            client_fleet: client_fleet.map(Arc::new),
            backend,
            storage_shared: store.capabilities().shared_between_processes,
            storage,
            history: Arc::new(history),
            objective,
            locator,
            worker_processes,
            max_workers,
            chunksize,
            timeout,
            progress: self.progress,
            ctrl_c: self.ctrl_c,
            observers: broadcast::channel(EVENTS).0,
            pending,
        })
    }

    fn configuration(&self) -> Result<Config> {
        let mut config = Config::load(&self.sources, &Environment::from_process())?;
        for setting in self.settings.iter().filter(|setting| setting.section.is_some()) {
            let section = setting.section.unwrap_or_default();
            config.set(section, &setting.key, setting.value.clone(), Origin::Builder(setting.call));
        }
        let backend = config.backend().to_owned();
        for setting in self.settings.iter().filter(|setting| setting.section.is_none()) {
            config.set(&backend, &setting.key, setting.value.clone(), Origin::Builder(setting.call));
        }
        Ok(config)
    }
}

/// Where the storage is: what the configuration names, else that of the call which this runs in.
fn locate(descriptor: &StorageDescriptor, config: &Config) -> Result<Locator> {
    let section = config.section(descriptor.scheme);
    let named = config.section("lithops").get("storage").is_some()
        || descriptor.keys.iter().any(|key| section.get(key.name).is_some());
    match nesting::place().and_then(|place| place.storage).filter(|_| !named) {
        Some(inherited) => Ok(inherited),
        None => (descriptor.locate)(config),
    }
}

/// A process that was started as a worker must never go on as a client: it would start workers of its own, which
/// would do the same.
#[expect(
    clippy::exit,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the process has no business here"
)]
fn refuse_stray_child() {
    if process::is_stray_child() {
        let error = Error::new(
            ErrorKind::InvalidInput,
            "this process was started as a lithops worker and has built an executor",
        )
        .with_hint("call `lithops::init()` before anything else in `main`");
        eprintln!("lithops: {error}");
        std::process::exit(process::EXIT_NOT_INITIALISED);
    }
}
