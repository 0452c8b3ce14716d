//! [`Subject`]: the backend under trial, and the ways to it.

use std::{
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lithops_core::{
    compute::{BackendOptions, Capabilities, ComputeBackend, InvokeRequest},
    config::{Config, Environment, Sources},
    error::Result,
    executor::FunctionExecutor,
    function::{Argument, Function, entry_of},
    id::{ActivationId, JobId},
    process,
    protocol::{Calls, JobSpec, PayloadsBuilder, Run, Secrets, now_nanos},
    registry::{Backend, Registry},
    storage::{self, Locator, StorageClient},
};

use super::{marks::Marks, running::Running};

/// What one call may print.
const LOG_LIMIT: u64 = 1 << 20;

/// The backend under trial, and the ways to it.
#[derive(Debug, Clone)]
pub struct Subject {
    pub(super) name: Arc<str>,
    pub(super) yaml: Arc<str>,
    pub(super) config: Config,
    pub(super) descriptor: Backend,
    pub(super) backend: Arc<dyn ComputeBackend>,
    pub(super) storage: StorageClient,
    locator: Locator,
    secrets: Arc<[(String, String)]>,
    /// How long anything may take that is to happen.
    pub(super) patience: Duration,
    /// The marks that were used.
    marks: Arc<Mutex<Vec<Marks>>>,
}

impl Subject {
    /// The backend of a scheme under a configuration.
    ///
    /// # Errors
    /// When there is none, or it cannot be connected to.
    pub async fn connect(scheme: &str, yaml: &str, patience: Duration) -> Result<Self> {
        let config = config(scheme, yaml)?;
        let registry = Registry::of(&config)?;
        let descriptor = registry.find(scheme)?;
        let credentials = (storage::descriptor(&registry.storage_of(&config)?)?.credentials)(&config)?;
        let (storage, locator) = StorageClient::open(&config)?;
        let secrets = (!credentials.is_empty())
            .then(|| Secrets { storage: locator.clone(), secrets: credentials.expose_all() });
        let exposed = secrets.iter().flat_map(|secrets| secrets.secrets.iter().cloned()).collect();
        let options = BackendOptions::new(config.clone(), process::program()?, 2, 2)
            .with_secrets(secrets)
            .with_storage(storage.clone(), locator.clone());
        Ok(Self {
            name: scheme.into(),
            yaml: yaml.into(),
            config,
            descriptor,
            backend: descriptor.connect(options).await?,
            storage,
            locator,
            secrets: exposed,
            patience,
            marks: Arc::default(),
        })
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        self.backend.capabilities()
    }

    /// An executor on the backend, with two sub-workers in each of `max_workers` workers at most.
    pub(super) async fn executor(&self, max_workers: usize) -> FunctionExecutor {
        let builder = FunctionExecutor::builder().config_yaml(&*self.yaml).backend(&*self.name);
        let built =
            builder.worker_processes(2).max_workers(max_workers).progress(false).ctrl_c(false).build();
        built.await.unwrap_or_else(|error| panic!("no executor: {error:?}"))
    }

    /// The address of the storage.
    pub(super) fn locator(&self) -> &Locator {
        &self.locator
    }

    /// What opens the storage.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.secrets.iter().map(|(_, secret)| secret.clone()).collect()
    }

    /// Marks of this trial alone.
    pub(super) fn marks(&self) -> Marks {
        let marks = Marks::anew(self.storage.clone());
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(marks.clone());
        marks
    }

    pub(super) async fn clear(&self) -> Result<()> {
        let marks = std::mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner));
        for marks in marks {
            marks.clear().await?;
        }
        Ok(())
    }

    /// A job of a function, for `invoke`.
    #[track_caller]
    pub(super) fn job<F: Function<K>, K>(&self, _function: F, worker_processes: u32) -> JobSpec {
        let entry = entry_of::<F, K>(Location::caller()).unwrap_or_else(|error| panic!("{error:?}"));
        JobSpec {
            job: JobId::generate(),
            function: entry.id(),
            worker_processes,
            timeout: None,
            at_most_once: false,
            env: Vec::new(),
            shared: Vec::new(),
            stored_shared: Vec::new(),
            inline_limit: self.capabilities().payload_limit,
            storage: Some(self.locator.clone()),
            log_limit: LOG_LIMIT,
            live_logs: false,
            durable: None,
            depth: 0,
            parent: None,
        }
    }

    /// Hands the calls from `first` on over, as one activation.
    pub(super) async fn invoke<T: Argument>(&self, job: &JobSpec, first: u64, inputs: &[T]) -> Running {
        self.try_invoke(job, first, inputs).await.unwrap_or_else(|error| panic!("not invoked: {error:?}"))
    }

    pub(super) async fn try_invoke<T: Argument>(
        &self,
        job: &JobSpec,
        first: u64,
        inputs: &[T],
    ) -> Result<Running> {
        let calls = calls(job, first, inputs);
        let run = calls.run;
        let request = InvokeRequest::new(Arc::new(job.clone()), vec![calls]);
        let invocation = self.backend.invoke(request).await?;
        Ok(Running::new(invocation, run, self.patience))
    }
}

/// Calls that are one activation, numbered like their first call.
pub(super) fn calls<T: Argument>(job: &JobSpec, first: u64, inputs: &[T]) -> Calls {
    let mut arguments = PayloadsBuilder::default();
    for input in inputs {
        let encoded = lithops_core::value::encode(input).unwrap_or_else(|error| panic!("an input: {error}"));
        arguments.data().extend_from_slice(&encoded);
        arguments.end_value();
    }
    let count = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
    let activation = ActivationId(1000 + first);
    let run = Run { job: job.job, activation, offset: 0, chunksize: count.max(1), attempt: 1, first, count };
    Calls { run, batch: 0, queued_at: now_nanos(), arguments: arguments.finish() }
}

/// What the backend of a scheme can do under a configuration.
pub(super) fn capabilities(scheme: &str, yaml: &str) -> Result<Capabilities> {
    let config = config(scheme, yaml)?;
    Registry::of(&config)?.find(scheme)?.capabilities(&config)
}

fn config(scheme: &str, yaml: &str) -> Result<Config> {
    let sources = Sources { file: None, yaml: Some(yaml.to_owned()) };
    let mut config = Config::load(&sources, &Environment::new("."))?;
    config.set("lithops", "backend", scheme.to_owned(), lithops_core::config::Origin::Builder("backend"));
    Ok(config)
}
