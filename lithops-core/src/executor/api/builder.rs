//! [`Builder`]: makes an executor from the configuration and from what the program sets.

use std::{
    marker::PhantomData,
    path::PathBuf,
    sync::{Arc, Mutex},
};

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
    fleet::ClientFleets,
    nesting,
    plan::{Count, Objective, PlanRequest},
    process,
    protocol::Secrets,
    registry::{Registry, findings},
    runtime,
    storage::{self, Locator, StorageClient, StorageDescriptor},
};

/// An observer that falls behind by more than this many events misses the oldest of them.
const EVENTS: usize = 4096;

/// Makes an executor. A value that is set here takes precedence over the environment and the configuration
/// file.
#[derive(Debug, Clone)]
pub struct Builder<M: Mode> {
    sources: Sources,
    settings: Vec<Setting>,
    progress: bool,
    show_logs: bool,
    ctrl_c: bool,
    mode: PhantomData<M>,
}

#[derive(Debug, Clone)]
struct Setting {
    /// The section of the configuration; `None` is the section of the chosen backend.
    section: Option<&'static str>,
    key: String,
    value: Value,
    call: &'static str,
}

impl<M: Mode> Executor<M> {
    /// A builder of an executor.
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
            show_logs: false,
            ctrl_c: true,
            mode: PhantomData,
        }
    }
}

impl<M: Mode> Builder<M> {
    /// Sets the backend by its scheme; the default is the configuration's `lithops.backend`, else
    /// `localhost`.
    #[must_use]
    pub fn backend(self, backend: impl Into<String>) -> Self {
        self.setting(Some("lithops"), "backend", Value::from(backend.into()), "backend")
    }

    /// Sets the storage by its scheme. The default is the configuration's `lithops.storage`, else
    /// `localhost`, or the first storage that the backend's workers can open.
    #[must_use]
    pub fn storage(self, storage: impl Into<String>) -> Self {
        self.setting(Some("lithops"), "storage", Value::from(storage.into()), "storage")
    }

    /// Sets the configuration file; by default the file is searched for, as `Config::load` describes.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.file = Some(path.into());
        self
    }

    /// Sets the text of the configuration, as YAML, instead of a file.
    #[must_use]
    pub fn config_yaml(mut self, yaml: impl Into<String>) -> Self {
        self.sources.yaml = Some(yaml.into());
        self
    }

    /// Sets how many calls may run at once in one worker.
    #[must_use]
    pub fn worker_processes(self, worker_processes: impl Into<Count>) -> Self {
        let value = match worker_processes.into() {
            Count::Exactly(count) => Value::from(count),
            Count::Auto => Value::from("AUTO"),
        };
        self.setting(None, "worker_processes", value, "worker_processes")
    }

    /// Sets what `Auto` minimizes: the time, the price, or their product.
    #[must_use]
    pub fn objective(self, objective: Objective) -> Self {
        self.setting(Some("lithops"), "objective", Value::from(objective.to_string()), "objective")
    }

    /// Sets how many workers may live at once.
    #[must_use]
    pub fn max_workers(self, max_workers: usize) -> Self {
        self.setting(None, "max_workers", Value::from(max_workers), "max_workers")
    }

    /// Sets the memory of a worker, in MB, on platforms that sell memory.
    #[must_use]
    pub fn runtime_memory(self, megabytes: usize) -> Self {
        self.setting(None, "runtime_memory", Value::from(megabytes), "runtime_memory")
    }

    /// Sets whether a progress bar is shown on stderr while the program waits for results; the default is
    /// `true`. The bar is never shown where stderr is not a terminal.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Sets whether what calls print, on stdout and stderr, is shown on stderr, with the call and its worker in
    /// front; the default is `false`. On `localhost` a line is shown as soon as it is printed; elsewhere when
    /// the outcome of the call, or of its chunk, arrives. `futures[i].logs()` has the text either way.
    #[must_use]
    pub fn show_logs(mut self, show: bool) -> Self {
        self.show_logs = show;
        self
    }

    /// Sets whether Ctrl-C ends the jobs of this executor, on any backend, and then the program; the default
    /// is `true`. The setting has no effect if the program already handles or ignores the signal when its
    /// first job starts. A program that installs its own handler later passes `false`, and calls
    /// `futures.cancel()`.
    #[must_use]
    pub fn ctrl_c(mut self, ctrl_c: bool) -> Self {
        self.ctrl_c = ctrl_c;
        self
    }

    /// Sets any key of the backend's section.
    #[must_use]
    pub fn set(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.setting(None, key, value.into(), "set")
    }

    /// Reads the configuration, checks it, and connects to backend and storage. The method starts no job and
    /// spends no money.
    ///
    /// # Errors
    /// The configuration is wrong: the error says what is wrong, where it stands, and what to write instead.
    /// Or backend or storage cannot be reached.
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
        let secrets = Secrets::of(&locator, &credentials);
        storage::give(&locator, credentials);
        let store = storage::connect(&locator)?;
        let options = BackendOptions::new(config, process::program()?, plan.worker_processes(), max_workers)
            .with_secrets(secrets)
            .with_storage(StorageClient::new(Arc::clone(&store), locator.bucket.clone()), locator.clone());
        let backend = descriptor.connect(options).await?;
        // Inside of a call the backend has one worker, independent of the configuration's number for a
        // client.
        let max_workers = max_workers.min(backend.capabilities().max_workers);
        let storage = StorageClient::new(Arc::clone(&store), locator.bucket.clone());
        let pending = Arc::new(BackgroundTasks::default());
        let history = History::new(storage.clone(), keeps_history, Arc::clone(&pending));
        let lease_config = backend.capabilities().pull;
        Ok(Core {
            jobs: Mutex::default(),
            client_fleets: lease_config.map(|config| ClientFleets::new(&storage, &locator, config)),
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
            show_logs: self.show_logs,
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

/// Where the storage is: the one that the configuration names, else the one of the call that this code runs
/// in.
fn locate(descriptor: &StorageDescriptor, config: &Config) -> Result<Locator> {
    let section = config.section(descriptor.scheme);
    let named = config.section("lithops").get("storage").is_some()
        || descriptor.keys.iter().any(|key| section.get(key.name).is_some());
    match nesting::place().and_then(|place| place.storage).filter(|_| !named) {
        Some(inherited) => Ok(inherited),
        None => (descriptor.locate)(config),
    }
}

/// Ends a process that was started as a worker and goes on as a client: it would start workers of its own,
/// which would do the same without end.
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
