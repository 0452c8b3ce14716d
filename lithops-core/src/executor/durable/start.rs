//! The start of durable jobs, which are stored first so that another client can go on with them; and
//! attaching.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream::FuturesOrdered};

use super::durable_job::{JobResources, Leadership};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    executor::{
        api::options::JobOptions,
        core::{Core, PreparedJob},
        driver::payload_store::shared_parts,
        job::{InputQueue, JobState, Measured, cleanup::JobCleanup},
    },
    function::{self, Entry},
    id::JobId,
    journal::{JobRecord, Journal, Lease, Owner, Segment},
    nesting,
    plan::{Count, PlanRequest},
    protocol::{DurableSpec, InputBatch, JobSpec},
    runtime,
    storage::{Locator, was_given_up},
};

impl Core {
    /// Stores a job whose encoded inputs come through `queue`, and starts the job.
    pub(crate) async fn start_durable(
        self: Arc<Self>,
        entry: &'static Entry,
        options: JobOptions,
        shared: Vec<Bytes>,
        known: Option<u64>,
        queue: Arc<InputQueue>,
    ) -> Result<Arc<JobState>> {
        let earlier = self.earlier(entry, &options).await?;
        let prepared = self.prepare(entry, &options, known, earlier.as_ref())?;
        self.check_durable(entry, &prepared)?;
        self.check_pulled(&options)?;
        let prepared = (prepared, earlier);
        let journal = Journal::new(&self.storage, JobId::generate());
        let started = self.store_and_start(entry, &options, shared, &queue, prepared, &journal).await;
        if let Err(error) = &started {
            queue.close();
            // A job that is stored only in part cannot be used: it is removed, and the first error is
            // returned.
            if was_given_up(error) {
                // The storage does not answer, so the removal may take as long again. It runs in the
                // background, so that the error is returned at once.
                JobCleanup::new(journal, Arc::clone(&self.pending)).may_go();
            } else {
                drop(journal.delete().await);
            }
        }
        started
    }

    /// Checks that a job can be durable.
    ///
    /// # Errors
    /// `Unsupported`: the storage ends with this process, the function may run at most once, or the retry
    /// policy has a function, which cannot be stored.
    pub(crate) fn check_durable(&self, entry: &'static Entry, prepared: &PreparedJob) -> Result<()> {
        let refuse = |what: String, hint: &str| Err(Error::new(ErrorKind::Unsupported, what).with_hint(hint));
        if !self.storage_shared {
            return refuse(
                format!(
                    "a durable job cannot be stored in `{}`, which ends with this process",
                    self.locator.scheme
                ),
                "use another storage, such as `localhost`",
            );
        }
        if entry.at_most_once {
            return refuse(
                format!("`{}` may run at most once, and cannot be durable", entry.display_name()),
                "after a crash nobody knows which calls were begun; leave out `.durable()` or `at_most_once`",
            );
        }
        if prepared.retry_if.is_some() {
            return refuse(
                "a durable job cannot have `RetryPolicy::when`".to_owned(),
                "another client that goes on with the job would not know the function; return an error that says \
                 what it is, or leave out `.durable()`",
            );
        }
        Ok(())
    }

    /// Checks that a job sets no environment variables if its workers fetch jobs from the storage: the values
    /// of variables are not stored.
    fn check_pulled(&self, options: &JobOptions) -> Result<()> {
        if self.client_fleets.is_none() || options.env.is_empty() {
            return Ok(());
        }
        Err(no_values_for_fleets()
            .with_hint("give such values to the program itself, or hand them over as arguments"))
    }

    /// Stores the lease, the inputs, the shared values and the record, in this order, and then starts the
    /// job. The record comes last: a job without a record counts as not stored.
    async fn store_and_start(
        self: &Arc<Self>,
        entry: &'static Entry,
        options: &JobOptions,
        shared: Vec<Bytes>,
        queue: &InputQueue,
        (prepared, earlier): (PreparedJob, Option<Measured>),
        journal: &Journal,
    ) -> Result<Arc<JobState>> {
        let owner = Owner::this_process();
        // The lease is stored first: from then on `lithops clean` knows the owner, and that the job is
        // driven, even if this process dies before the record is stored.
        let lease = Lease::take(journal, 1, &owner).await?;
        let (calls, segments) = store_inputs(journal, queue).await?;
        let mut stored_shared = Vec::new();
        for (number, value) in shared.iter().enumerate() {
            stored_shared.push(journal.put_shared(number, value.clone()).await?);
        }
        // The chunk size is fixed from here on: outcomes are committed by chunk number.
        let plan = self.plan(options, calls, earlier.as_ref())?;
        let record = JobRecord {
            form: JobRecord::FORM,
            job: journal.job(),
            function: entry.id(),
            function_name: entry.display_name().to_owned(),
            calls,
            chunksize: plan.chunksize() as u64,
            worker_processes: plan.worker_processes() as u64,
            segments,
            shared: stored_shared,
            policy: prepared.policy,
            timeout: prepared.timeout,
            env: options.env.iter().map(|(name, _)| name.clone()).collect(),
            backend: self.backend.info().scheme.to_owned(),
            memory: options.runtime_memory.map(|memory| memory as u64),
            owner: owner.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        };
        journal.put_record(&record).await?;
        let shows_logs = options.show_logs.unwrap_or(self.show_logs);
        let mut spec = self.spec_of(&record, options.env.clone(), shared)?;
        spec.live_logs = shows_logs && self.sends_logs_live() && self.client_fleets.is_none();
        let backend = Arc::clone(&self.backend);
        let learn = Some(self.learn(entry, options)?);
        let client_fleet = self.fleet_of(record.memory)?;
        let (spec, speculate) = (Arc::new(spec), options.speculate);
        let payload_store = self.payload_store(record.job);
        let resources = JobResources { backend, spec, plan, speculate, learn, payload_store, client_fleet };
        let job =
            self.start_leadership(journal, record, Ok(resources), lease, (options.detached, shows_logs));
        Ok(job)
    }

    /// Attaches to a stored job: drives it if its lease is free, and reads it otherwise.
    pub(crate) async fn attach(self: Arc<Self>, id: JobId) -> Result<Arc<JobState>> {
        let journal = Journal::new(&self.storage, id);
        let record = journal.record().await?;
        let resources = self.resources_for(&journal, &record).await;
        Ok(self.start_leadership(&journal, record, resources, None, (false, self.show_logs)))
    }

    /// What this client needs to drive a stored job: its function, the values of its environment variables,
    /// its plan and shared values.
    ///
    /// # Errors
    /// When this program lacks one of them; the client can then only read the job.
    async fn resources_for(&self, journal: &Journal, record: &JobRecord) -> Result<JobResources> {
        let entry = function::find(&record.function)?;
        if self.client_fleets.is_some() && !record.env.is_empty() {
            return Err(no_values_for_fleets()
                .with_hint("attach with a backend whose workers are handed their calls"));
        }
        let env = env_of(record)?;
        let recorded = |count: u64| usize::try_from(count).ok().map(Count::Exactly);
        let capabilities = self.backend.capabilities().of_durable_jobs();
        let plan = PlanRequest {
            worker_processes: recorded(record.worker_processes),
            chunksize: recorded(record.chunksize),
            max_workers: Some(self.max_workers),
            ..PlanRequest::new(record.calls, &capabilities)
        }
        .plan()?;
        if entry.at_most_once != record.policy.at_most_once {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "`{}` may run at most once now, and could not when the job was started",
                    record.function_name
                ),
            ));
        }
        let spec = self.spec_of(record, env, journal.shared(&record.shared).await?)?;
        let backend = Arc::clone(&self.backend);
        let client_fleet = self.fleet_of(record.memory)?;
        let payload_store = self.payload_store(record.job);
        Ok(JobResources {
            backend,
            spec: Arc::new(spec),
            plan,
            speculate: false,
            learn: None,
            payload_store,
            client_fleet,
        })
    }

    /// The spec of a stored job.
    fn spec_of(&self, record: &JobRecord, env: Vec<(String, String)>, shared: Vec<Bytes>) -> Result<JobSpec> {
        let (depth, parent) = nesting::below()?;
        let capabilities = self.backend.capabilities();
        // Workers of a fleet read the shared values from the storage, where they already are. In a message
        // they may take half of the limit, and leave the rest to arguments.
        let half = capabilities.payload_limit.map(|limit| limit / 2);
        let limit = if capabilities.pull.is_some() { Some(0) } else { half };
        let (shared, stored_shared) = shared_parts(limit, shared, &record.shared);
        Ok(JobSpec {
            job: record.job,
            function: record.function.clone(),
            worker_processes: u32::try_from(record.worker_processes).unwrap_or(u32::MAX),
            timeout: record.timeout,
            at_most_once: record.policy.at_most_once,
            env,
            shared,
            stored_shared,
            inline_limit: capabilities.payload_limit.filter(|_| capabilities.pull.is_none()),
            storage: Some(self.locator.clone()),
            log_limit: crate::executor::core::LOG_LIMIT,
            live_logs: self.show_logs && self.sends_logs_live() && self.client_fleets.is_none(),
            durable: Some(DurableSpec {
                calls: record.calls,
                chunksize: record.chunksize,
                failures_are_final: record.policy.retries == 0,
            }),
            depth,
            parent,
        })
    }

    /// Makes the job's state and spawns its leadership. `lease` is `None` for a client that attaches.
    fn start_leadership(
        &self,
        journal: &Journal,
        record: JobRecord,
        resources: Result<JobResources>,
        lease: Option<Lease>,
        (detached, shows_logs): (bool, bool),
    ) -> Arc<JobState> {
        let cleanup = Arc::new(JobCleanup::new(journal.clone(), Arc::clone(&self.pending)));
        if detached {
            cleanup.stays();
        }
        let plan =
            resources.as_ref().map_or_else(|_| self.plan_of(&record), |resources| resources.plan.clone());
        let (state, commands) = JobState::new(record.job, &record.function_name, plan, Some(record.calls));
        let state = state.observed_by(self.observers.clone()).shown(self.progress).shows_logs(shows_logs);
        let state = Arc::new(state.stored_at(self.locator.clone(), Some(Arc::clone(&cleanup))));
        self.announce(&state);
        let (journal, job, owner) = (journal.clone(), Arc::clone(&state), Owner::this_process());
        let leadership = Leadership { journal, record, job, resources, owner, cleanup: Some(cleanup) };
        let followed = self.pending.follow(&state);
        runtime::driver().spawn(async move {
            leadership.follow(lease, commands).await;
            drop(followed);
        });
        state
    }

    fn plan_of(&self, record: &JobRecord) -> crate::plan::Plan {
        plan_of(record, self.max_workers)
    }
}

fn no_values_for_fleets() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "`extra_env` cannot reach workers that fetch their jobs from the storage: values that may be secret are not \
         stored",
    )
}

/// The environment variables of a stored job, whose values are those of this process.
///
/// # Errors
/// When one of them is not set.
pub(crate) fn env_of(record: &JobRecord) -> Result<Vec<(String, String)>> {
    let value = |name: &String| {
        let value = std::env::var(name).map_err(|_| {
            let problem = format!(
                "job {} has the environment variable `{name}`, whose value is not stored",
                record.job
            );
            Error::new(ErrorKind::InvalidInput, problem)
                .with_hint(format!("set `{name}` for the program that attaches"))
        });
        Ok((name.clone(), value?))
    };
    record.env.iter().map(value).collect()
}

/// The plan of a job that this client cannot drive, from the numbers in the job's record.
pub(crate) fn plan_of(record: &JobRecord, max_workers: usize) -> crate::plan::Plan {
    let worker_processes = usize::try_from(record.worker_processes).unwrap_or(1);
    let capabilities = crate::compute::Capabilities::local(worker_processes);
    let worker_processes = worker_processes.clamp(1, capabilities.max_worker_processes);
    let chunksize = usize::try_from(record.chunksize).unwrap_or(1).clamp(1, u32::MAX as usize);
    let request = PlanRequest {
        worker_processes: Some(Count::Exactly(worker_processes)),
        chunksize: Some(Count::Exactly(chunksize)),
        max_workers: Some(max_workers.clamp(1, capabilities.max_workers)),
        ..PlanRequest::new(record.calls, &capabilities)
    };
    request.plan().expect("every number is within its bounds")
}

/// The state of a stored job in a process that only has a deserialized handle. This client reads the job, and
/// never drives it.
pub(crate) fn read_only(id: JobId, locator: Locator) -> Arc<JobState> {
    let capabilities = crate::compute::Capabilities::local(1);
    let plan = PlanRequest::new(0, &capabilities).plan().expect("the defaults are within their bounds");
    let (state, commands) = JobState::new(id, "a function of another process", plan, None);
    let state = Arc::new(state.stored_at(locator.clone(), None));
    state.set_reading(true);
    let job = Arc::clone(&state);
    runtime::driver().spawn(async move {
        if let Err(error) = read(&job, &locator, commands).await {
            job.fail(error);
        }
    });
    state
}

/// Reads the job's record, and then follows the job to its end.
async fn read(
    job: &Arc<JobState>,
    locator: &Locator,
    commands: crate::executor::job::Commands,
) -> Result<()> {
    let storage = crate::storage::StorageClient::connect(locator)?;
    let journal = Journal::new(&storage, job.id());
    let record = journal.record().await?;
    job.set_plan(plan_of(&record, 1));
    job.set_known(record.calls, true);
    let resources = Err(super::leadership::only_reads(&record));
    let (job, owner) = (Arc::clone(job), Owner::this_process());
    Leadership { journal, record, job, resources, owner, cleanup: None }.follow(None, commands).await;
    Ok(())
}

/// At most this many segments of inputs are stored side by side.
const SEGMENTS_AT_ONCE: usize = 8;

/// Stores the inputs from the queue in segments. Returns the number of calls, and the segments.
///
/// A segment is stored when the queue is full or has ended, not before: the job begins when all are stored, and an
/// iterator that is slower than the storage would otherwise make an object of each input.
async fn store_inputs(journal: &Journal, queue: &InputQueue) -> Result<(u64, Vec<Segment>)> {
    let (mut stored, mut segments, mut number) = (FuturesOrdered::new(), Vec::new(), 0);
    let mut has_ended = false;
    while !has_ended || !stored.is_empty() {
        tokio::select! {
            () = queue.filled(), if !has_ended && stored.len() < SEGMENTS_AT_ONCE => {
                let taken: InputBatch = queue.take()?;
                has_ended = taken.ended;
                if !taken.inputs.is_empty() {
                    let put = async move { journal.put_inputs(number, &taken).await };
                    stored.push_back(put);
                    number += 1;
                }
            }
            Some(segment) = stored.next(), if !stored.is_empty() => segments.push(segment?),
        }
    }
    let calls = segments.iter().map(|segment: &Segment| segment.calls).sum();
    Ok((calls, segments))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::{MemoryStorage, StorageClient};

    #[tokio::test(start_paused = true)]
    async fn a_slow_iterator_makes_no_object_of_each_input() {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        let journal = Journal::new(&storage, JobId::generate());
        let queue = Arc::new(InputQueue::default());
        let producer = Arc::clone(&queue);
        let pushed = tokio::spawn(async move {
            for number in 0..200_u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(producer.push(&number.to_le_bytes()));
            }
            producer.end(None);
        });
        let (calls, segments) = store_inputs(&journal, &queue).await.expect("stored");
        pushed.await.expect("it has ended");
        assert_eq!((calls, segments.len()), (200, 1));
    }
}
