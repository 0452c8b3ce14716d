//! [`Core`]: what all jobs of an executor share, and how each of them is planned, checked and started.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::broadcast;

use super::{
    api::{RetryPolicy, options::JobOptions},
    driver::{self, Assignment, Ended, RetryIf, payload_store::PayloadStore},
    job::{
        InputQueue, JobEvent, JobState, Measured, Progress,
        background::BackgroundTasks,
        history::{self, History, Learn},
        interrupt,
    },
};
use crate::{
    bytes::Bytes,
    compute::{Capabilities, CloseMode, ComputeBackend, Granularity, Reports},
    error::{Error, ErrorKind, Result},
    fleet::{ClientFleet, ClientFleets},
    fork,
    function::Entry,
    id::JobId,
    journal::Journal,
    nesting,
    partition::ResolveContext,
    plan::{Count, Objective, Plan, PlanRequest},
    protocol::JobSpec,
    runtime,
    storage::{Locator, StorageClient},
    tracker::Policy,
};

/// At most this many bytes (1 MiB) of the output of one call are kept. The limit is sent to the workers in
/// the job spec, so that the output of a call cannot fill the client's memory.
pub(crate) const LOG_LIMIT: u64 = 1 << 20;

/// What all clones and jobs of an executor share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn ComputeBackend>,
    /// The executor's fleets, on backends whose workers fetch their chunks themselves; `None` on other
    /// backends.
    pub(crate) client_fleets: Option<ClientFleets>,
    pub(crate) storage: StorageClient,
    pub(crate) storage_shared: bool,
    pub(crate) locator: Locator,
    /// Sub-workers per worker for all jobs of this executor, unless a job sets its own; `None` is the
    /// backend's default.
    pub(crate) worker_processes: Option<Count>,
    pub(crate) max_workers: usize,
    pub(crate) chunksize: Option<Count>,
    pub(crate) objective: Objective,
    /// How long the calls of earlier jobs took; the planner uses these durations.
    pub(crate) history: Arc<History>,
    pub(crate) timeout: Option<Duration>,
    /// Whether waiting for a job shows a progress bar at a terminal.
    pub(crate) progress: bool,
    /// Whether what calls print is shown on stderr.
    pub(crate) show_logs: bool,
    /// Whether Ctrl-C in the program ends the executor's jobs.
    pub(crate) ctrl_c: bool,
    pub(crate) observers: broadcast::Sender<JobEvent>,
    /// Storage work that goes on after the last result of a job: cleanup, and writing the history.
    pub(crate) pending: Arc<BackgroundTasks>,
    /// The jobs that were begun, as long as anything holds them.
    pub(crate) jobs: Mutex<Vec<Weak<JobState>>>,
}

impl Core {
    /// The plan of a job of `calls` calls; `earlier` holds the durations that earlier jobs of the function
    /// measured.
    pub(crate) fn plan(&self, options: &JobOptions, calls: u64, earlier: Option<&Measured>) -> Result<Plan> {
        let capabilities = self.capabilities(options)?;
        let capabilities = if options.durable { capabilities.of_durable_jobs() } else { capabilities };
        let workload = options.workload()?.or_else(|| earlier.and_then(history::expected));
        PlanRequest {
            worker_processes: options.worker_processes.or(self.worker_processes),
            chunksize: options.chunksize.or(self.chunksize),
            max_workers: Some(self.max_workers),
            workload: workload.as_ref(),
            payload: earlier.and_then(Measured::payload),
            objective: options.objective.unwrap_or(self.objective),
            ..PlanRequest::new(calls, &capabilities)
        }
        .plan()
    }

    /// The storage, and its reachability, with which the objects in the inputs of a job are resolved.
    pub(crate) fn resolve_context(&self) -> ResolveContext {
        ResolveContext {
            storage: self.storage.clone(),
            workers_are_here: self.backend.capabilities().granularity == Granularity::Local,
            storage_is_shared: self.storage_shared,
        }
    }

    /// The backend's capabilities for workers with the memory that the job asks for.
    fn capabilities(&self, options: &JobOptions) -> Result<Capabilities> {
        match options.runtime_memory {
            None => Ok(self.backend.capabilities().clone()),
            Some(0) => Err(Error::new(ErrorKind::InvalidInput, "`runtime_memory` is 0")
                .with_hint("write MB of memory, or leave it out")
                .with_context("key", "runtime_memory")),
            Some(memory) => self.backend.sized(memory as u64),
        }
    }

    /// The fleet for a job whose workers are to have this memory in MB; `None` on backends without fleets.
    pub(crate) fn fleet_of(&self, memory: Option<u64>) -> Result<Option<Arc<ClientFleet>>> {
        let Some(fleets) = &self.client_fleets else { return Ok(None) };
        let usual = self.backend.capabilities().worker_memory;
        // Where memory is not sold, or the workers have it anyway, the usual ones serve the job.
        let is_other =
            |memory: &u64| self.backend.sized(*memory).is_ok_and(|sized| sized.worker_memory != usual);
        fleets.of(memory.filter(is_other)).map(Some)
    }

    /// Where the driver of a job records how long the calls took.
    pub(crate) fn learn(&self, entry: &Entry, options: &JobOptions) -> Result<Learn> {
        let memory = self.capabilities(options)?.worker_memory;
        let key = self.history.key(entry, self.backend.info().scheme, memory);
        Ok(Learn { history: Arc::clone(&self.history), key })
    }

    /// The durations that earlier jobs of the function measured, if this executor has them in memory. This
    /// method does not read the storage.
    pub(crate) fn known(&self, entry: &Entry, options: &JobOptions) -> Result<Option<Measured>> {
        let Learn { history, key } = self.learn(entry, options)?;
        Ok(history.known(&key))
    }

    /// The durations that earlier jobs of the function measured, read from the storage if they are not in
    /// memory.
    pub(crate) async fn earlier(&self, entry: &Entry, options: &JobOptions) -> Result<Option<Measured>> {
        let Learn { history, key } = self.learn(entry, options)?;
        Ok(history.load(&key).await)
    }

    /// Whether planning the job needs the history: some count is `Auto`, or a cost limit applies, and the
    /// options give no durations.
    pub(crate) fn plans_by_history(&self, options: &JobOptions) -> bool {
        let auto = |count: Option<Count>, of_all: Option<Count>| count.or(of_all) == Some(Count::Auto);
        let any = auto(options.worker_processes, self.worker_processes)
            || auto(options.chunksize, self.chunksize)
            || options.max_cost.is_some() && !self.backend.capabilities().price.is_free();
        any && !options.says_durations()
    }

    /// Plans a job and checks its options. `calls` is `None` while the number of inputs is not known.
    pub(crate) fn prepare(
        &self,
        entry: &'static Entry,
        options: &JobOptions,
        calls: Option<u64>,
        earlier: Option<&Measured>,
    ) -> Result<PreparedJob> {
        let plan = self.plan(options, calls.unwrap_or(0), earlier)?;
        if let Some(limit) = options.max_cost {
            refuse_too_expensive(&plan, calls, limit)?;
        }
        if entry.uses_storage && !self.storage_shared {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{}` takes the storage, and storage `{}` lives inside the client's process",
                    entry.display_name(),
                    self.locator.scheme
                ),
            )
            .with_hint("use a storage that workers can reach, such as `localhost`"));
        }
        if options.speculate && entry.at_most_once {
            let problem = format!(
                "`{}` may run at most once, and `.speculate(true)` runs slow calls twice",
                entry.display_name()
            );
            return Err(Error::new(ErrorKind::InvalidInput, problem).with_hint("leave one of the two out"));
        }
        let timeout = options.timeout.or_else(|| entry.timeout()).or(self.timeout);
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Error::new(ErrorKind::InvalidInput, "the timeout is 0")
                .with_hint("write a duration above 0, or leave it out for none"));
        }
        for (name, value) in &options.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("`{name}` cannot be an environment variable"),
                )
                .with_hint("a name has at least one character and neither `=` nor NUL"));
            }
        }
        let retries = options.retries.unwrap_or_else(|| RetryPolicy::new(entry.retries));
        let policy = Policy { at_most_once: entry.at_most_once, ..retries.policy };
        Ok(PreparedJob { plan, timeout, policy, retry_if: retries.retry_if })
    }

    /// Checks and starts a job whose encoded inputs come through `queue`.
    pub(crate) fn start(
        &self,
        entry: &'static Entry,
        options: &JobOptions,
        shared: Vec<Bytes>,
        known: Option<u64>,
        queue: &Arc<InputQueue>,
        earlier: Option<&Measured>,
    ) -> Result<Arc<JobState>> {
        let PreparedJob { plan, timeout, policy, retry_if } = self.prepare(entry, options, known, earlier)?;
        // A single call takes no part in the history: it is over before a plan could use the durations.
        let learn = if known == Some(1) { None } else { Some(self.learn(entry, options)?) };
        let (depth, parent) = nesting::below()?;
        let id = JobId::generate();
        let payload_store = self.payload_store(id);
        let show_logs = options.show_logs.unwrap_or(self.show_logs);
        let spec = JobSpec {
            job: id,
            function: entry.id(),
            worker_processes: u32::try_from(plan.worker_processes()).unwrap_or(u32::MAX),
            timeout,
            at_most_once: entry.at_most_once,
            env: options.env.clone(),
            shared,
            stored_shared: Vec::new(),
            inline_limit: payload_store.as_ref().map(PayloadStore::limit),
            storage: Some(self.locator.clone()),
            log_limit: LOG_LIMIT,
            live_logs: show_logs && self.sends_logs_live(),
            durable: None,
            depth,
            parent,
        };
        let (state, mut commands) = JobState::new(id, entry.display_name(), plan.clone(), known);
        let state = state.observed_by(self.observers.clone()).shown(self.progress).shows_logs(show_logs);
        let state = Arc::new(state.open());
        self.announce(&state);
        let assignment = Assignment {
            job: Arc::clone(&state),
            spec: Arc::new(spec),
            backend: Arc::clone(&self.backend),
            queue: Arc::clone(queue),
            policy,
            retry_if,
            speculate: options.speculate,
            plan,
            durable: None,
            payload_store: payload_store.clone(),
            learn: learn.clone(),
            stop: None,
        };
        // The history may be only in the storage. It is read while the job runs, so that the summary has
        // predictions.
        if let Some(learn) = learn.filter(|_| state.first_plan().workload().is_none()) {
            let job = Arc::downgrade(&state);
            runtime::driver().spawn(async move {
                let earlier = learn.history.load(&learn.key).await;
                if let (Some(job), Some(expected)) =
                    (job.upgrade(), earlier.as_ref().and_then(history::expected))
                {
                    job.expect(&expected);
                }
            });
        }
        // The history is written and the payloads are removed after the last result is visible. The executor
        // follows the job until then, so that the program does not exit in between.
        let is_followed = assignment.learn.is_some() || payload_store.is_some();
        let followed = is_followed.then(|| self.pending.follow(&state));
        let driven = async move {
            let job = Arc::clone(&assignment.job);
            let ended = driver::drive(assignment, &mut commands).await;
            if let Some(payload_store) = payload_store {
                let Progress { failed, lost_workers, speculated, .. } = job.progress();
                payload_store
                    .clear(ended == Ended::Finished && failed + lost_workers + speculated == 0)
                    .await;
            }
            drop(job);
            drop(followed);
        };
        if known == Some(1) {
            // Driving the job on this thread sends the single call without the delay of waking another
            // thread.
            runtime::start_here(driven);
        } else {
            runtime::driver().spawn(driven);
        }
        Ok(state)
    }

    /// The payload store of a job, on backends whose messages have a size limit; `None` where messages have
    /// no limit, and where workers pull their chunks from the storage anyway.
    pub(crate) fn payload_store(&self, job: JobId) -> Option<PayloadStore> {
        let capabilities = self.backend.capabilities();
        let limit = capabilities.payload_limit.filter(|_| !capabilities.only_pulls())?;
        let storage = self.storage_shared.then(|| self.storage.clone());
        let journal = Journal::new(&self.storage, job);
        Some(PayloadStore::new(limit, self.backend.info().scheme, storage, journal))
    }

    /// Whether outcomes come back through the storage only (workers pull), which makes every job durable.
    pub(crate) fn stores_outcomes(&self) -> bool {
        self.backend.capabilities().only_pulls()
    }

    /// Whether workers can send what a call prints while it runs.
    pub(crate) fn sends_logs_live(&self) -> bool {
        let capabilities = self.backend.capabilities();
        capabilities.reports == Reports::Streamed && !capabilities.only_pulls()
    }

    /// Announces a new job: observers get `Started`, and the job is registered for Ctrl-C if the executor
    /// asks for that.
    pub(crate) fn announce(&self, job: &Arc<JobState>) {
        if self.ctrl_c {
            interrupt::note(job);
        }
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|job| job.strong_count() > 0);
        jobs.push(Arc::downgrade(job));
        drop(jobs);
        job.tell(|| {
            let progress = job.progress();
            let calls = progress.complete.then_some(progress.known);
            JobEvent::Started { job: job.id(), function: job.function().to_owned(), calls }
        });
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if fork::is_copy() {
            // This process is a fork: the channels and the stored data belong to the parent process. Dropping
            // the handles here would close or remove them for the parent, so they are leaked.
            let kept = (Arc::clone(&self.backend), self.client_fleets.take(), self.storage.clone());
            mem::forget((kept, Arc::clone(&self.history), Arc::clone(&self.pending)));
            return;
        }
        let jobs = mem::take(self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner));
        interrupt::end_if_main_panics(&jobs);
        let capabilities = self.backend.capabilities();
        if capabilities.feed && capabilities.granularity != Granularity::Local {
            // Workers elsewhere are told that they are not needed any more, before this program ends.
            let (backend, pending) = (Arc::clone(&self.backend), Arc::clone(&self.pending));
            pending.begin();
            runtime::driver().spawn(async move {
                if let Err(error) = backend.close(CloseMode::Drain).await {
                    tracing::warn!(%error, "cannot end the workers");
                }
                pending.end();
            });
        }
        let fleets = self.client_fleets.as_ref().map(ClientFleets::take).unwrap_or_default();
        for fleet in fleets.into_iter().filter(|fleet| fleet.has_begun()) {
            let (backend, pending) = (Arc::clone(&self.backend), Arc::clone(&self.pending));
            pending.begin();
            runtime::driver().spawn(async move {
                let needed = end_fleet(fleet, &*backend, &pending).await;
                pending.end();
                if let Some(fleet) = needed {
                    end_fleet_later(fleet, &*backend).await;
                }
            });
        }
        // The driver's thread must not block here: it runs the very tasks that `wait` would wait for.
        if !runtime::is_driver() {
            self.pending.wait();
        }
    }
}

/// Ends a fleet once the last of its jobs has let it go, which takes a moment after the job's end. Jobs that still run
/// have the fleet too: it ends with the last of them, and is given back here.
async fn end_fleet(
    mut fleet: Arc<ClientFleet>,
    backend: &dyn ComputeBackend,
    pending: &BackgroundTasks,
) -> Option<Arc<ClientFleet>> {
    const PAUSE: Duration = Duration::from_millis(5);
    /// This often a handle of a fleet that no job needs is waited for: a reader of a job may keep one.
    const TRIES: u32 = 40;

    let mut tries = 0;
    while tries < TRIES {
        match Arc::try_unwrap(fleet) {
            // If this fails, the workers end when this client has been silent for long enough.
            Ok(fleet) => {
                if let Err(error) = fleet.end_at(backend).await {
                    tracing::warn!(%error, "cannot end the fleet");
                }
                return None;
            }
            Err(shared) => fleet = shared,
        }
        if pending.is_finishing() {
            tries = 0;
        } else if fleet.is_needed() {
            break;
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Some(fleet)
}

/// Ends a fleet whose jobs have outlived their executor, once they have let it go. The program does not wait for it.
async fn end_fleet_later(mut fleet: Arc<ClientFleet>, backend: &dyn ComputeBackend) {
    const PAUSE: Duration = Duration::from_millis(250);

    loop {
        match Arc::try_unwrap(fleet) {
            Ok(fleet) => {
                if let Err(error) = fleet.end_at(backend).await {
                    tracing::warn!(%error, "cannot end the fleet");
                }
                return;
            }
            Err(shared) => fleet = shared,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn refuse_too_expensive(plan: &Plan, calls: Option<u64>, limit: f64) -> Result<()> {
    let refuse = |problem: String, hint: &str| {
        Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint(hint.to_owned())
            .with_context("key", "max_cost"))
    };
    if !(limit >= 0.0 && limit.is_finite()) {
        return refuse(format!("`max_cost` is {limit}"), "write US dollars from 0 up, such as 0.5");
    }
    match plan.cost().usd {
        // Without the number of calls any cost is possible, unless the platform is free.
        _ if calls.is_none() && !plan.is_free() => refuse(
            "`max_cost` needs to know how many calls there are".into(),
            "collect the inputs into a `Vec` first",
        ),
        Some(usd) if usd > limit => {
            let problem = format!("the job would cost about {}, and `max_cost` is ${limit}", plan.cost());
            let hint = "raise it, make fewer calls, or use `Objective::Cost` with `chunksize(Auto)`; nothing was started";
            Err(Error::new(ErrorKind::TooExpensive, problem)
                .with_hint(hint)
                .with_context("plan", plan.to_string()))
        }
        Some(_) => Ok(()),
        None => refuse(
            "`max_cost` cannot be kept: it is not known how long calls take".into(),
            "say so with `.expected_duration(..)`, or run the function once on a few inputs: that is remembered",
        ),
    }
}

/// The plan and the checked options of a job.
#[derive(Debug)]
pub(crate) struct PreparedJob {
    pub(crate) plan: Plan,
    pub(crate) timeout: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) retry_if: Option<RetryIf>,
}
