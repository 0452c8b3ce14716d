//! [`StoredJobs`]: durable jobs, seen by programs that do not have the jobs' functions.

use std::{path::PathBuf, sync::Arc};

use futures_util::{StreamExt, stream};
use tokio::{task::JoinHandle, time::sleep};

use super::{durable_job::Leadership, leadership::only_reads, start::plan_of};
use crate::{
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    executor::{job::JobState, results::values},
    id::JobId,
    journal::{ChunkOutcomes, JobRecord, Journal, LEASE, Lease, LeaseWatch, Owner, Survey, Waiting, Watched},
    protocol::failed_together,
    runtime,
    storage::StorageClient,
    tracker::Ranges,
};

/// At most this many jobs are read at once.
pub(crate) const AT_ONCE: usize = 16;

/// The durable jobs in one storage.
#[derive(Debug)]
pub struct StoredJobs {
    pub(crate) storage: StorageClient,
}

/// A durable job, as read from the storage.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoredJob {
    /// The job's record: its function, number of calls, granularity and owner.
    pub record: JobRecord,
    /// How many of the job's calls have a stored outcome.
    pub stored: u64,
    /// The client that drives the job; `None` if none does, or its lease does not say which.
    pub driver: Option<Owner>,
    /// The workers that the platform cannot start for now, as the driver has last said; `None` if none waits, or no
    /// client drives the job.
    pub waiting: Option<Waiting>,
    is_driven: bool,
    is_cancelled: bool,
}

/// The jobs of a storage that can be read, and the errors of those that cannot.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The jobs, oldest first.
    pub jobs: Vec<StoredJob>,
    /// One error for each object or job that cannot be read.
    pub unreadable: Vec<Error>,
}

impl StoredJob {
    /// Whether every call has a stored outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stored == self.record.calls
    }

    /// `finished`, `running`, `interrupted` when no client holds the job's lease, or `cancelled`: its calls have
    /// outcomes too, those that had none before are [`Cancelled`](CallErrorKind::Cancelled).
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.is_finished(), self.is_driven) {
            (true, _) if self.is_cancelled => "cancelled",
            (true, _) => "finished",
            (false, true) => "running",
            (false, false) => "interrupted",
        }
    }
}

impl StoredJobs {
    /// Opens the storage of a configuration: that of the file `config`, or of the one that is found.
    /// `storage` names another storage than the configuration does.
    ///
    /// # Errors
    /// When the configuration is wrong, or the storage cannot be opened.
    pub fn open(config: Option<PathBuf>, storage: Option<String>) -> Result<Self> {
        // All methods run on the driver's runtime.
        runtime::start()?;
        let (storage, _) = StorageClient::configured(config, storage)?;
        Ok(Self { storage })
    }

    /// All jobs in the storage. A job that cannot be read does not keep the others from being listed.
    pub fn list(&self) -> Listing {
        runtime::driver().block_on(async {
            let survey = Survey::of(&self.storage).await;
            let mut listing = Listing { jobs: Vec::new(), unreadable: survey.unreadable };
            let jobs = stream::iter(survey.jobs.into_keys()).map(|job| look(self.journal(job)));
            let mut jobs = jobs.buffered(AT_ONCE);
            while let Some(looked) = jobs.next().await {
                match looked {
                    Ok(job) => listing.jobs.push(job),
                    // The job was removed meanwhile, or was never stored completely.
                    Err(error) if error.kind() == ErrorKind::NotDurable => {}
                    Err(error) => listing.unreadable.push(error),
                }
            }
            listing
        })
    }

    /// One job.
    ///
    /// # Errors
    /// `NotDurable` when the job is not stored.
    pub fn find(&self, job: JobId) -> Result<StoredJob> {
        runtime::start()?.block_on(look(self.journal(job)))
    }

    /// Waits until a job is finished, and passes its outcomes to `take` in the order of the calls, values as
    /// JSON.
    ///
    /// # Errors
    /// When no client drives the job, the storage cannot be read, or `take` returns an error. Outcomes that
    /// were stored before the error have been passed to `take`.
    pub fn attach(
        &self,
        job: JobId,
        mut take: impl FnMut(u64, Result<serde_json::Value, CallError>) -> Result<()>,
    ) -> Result<()> {
        runtime::start()?.block_on(async {
            let (state, watching) = self.followed(job).await?;
            for call in 0..state.progress().known {
                let waited = state.wait_for(|outcomes, _| outcomes.done().contains(call)).await;
                match values::committed(&state, call) {
                    Some(outcome) => take(call, outcome)?,
                    None => waited?,
                }
            }
            ended(watching).await
        })
    }

    /// Passes what the calls of a job have printed to `take`, a call at a time: what is stored now, or, with
    /// `follow`, what comes until the job is finished, as it comes. The output of a call is stored with its
    /// outcome.
    ///
    /// # Errors
    /// The storage cannot be read, or `take` returns an error; with `follow` also when no client drives the job.
    pub fn logs(
        &self,
        job: JobId,
        follow: bool,
        mut take: impl FnMut(u64, String) -> Result<()>,
    ) -> Result<()> {
        runtime::start()?.block_on(async {
            if !follow {
                let journal = self.journal(job);
                let record = journal.record().await?;
                let mut chunks = journal.committed().await?;
                chunks.retain(|chunk| *chunk < record.chunks());
                chunks.sort_unstable();
                for chunk in chunks {
                    let bundle = journal.bundle(chunk, record.calls_of(chunk)).await?;
                    let mut logs = bundle.map(|bundle| bundle.logs).unwrap_or_default();
                    logs.sort_by_key(|entry| entry.call);
                    logs.iter().try_for_each(|entry| take(entry.call, entry.text()))?;
                }
                return Ok(());
            }
            let (state, watching) = self.followed(job).await?;
            let mut seen = Ranges::default();
            loop {
                let waited = state
                    .wait_for(|outcomes, progress| {
                        outcomes.done().len() > seen.len() || progress.is_finished()
                    })
                    .await;
                let logs: Vec<_> = state.read(|outcomes| {
                    let done = outcomes.done();
                    let fresh: Vec<_> =
                        done.iter().flat_map(|(first, end)| seen.missing(first, end)).collect();
                    fresh.iter().for_each(|(first, end)| seen.insert(*first, *end));
                    let calls = fresh.into_iter().flat_map(|(first, end)| first..end);
                    calls.filter_map(|call| Some((call, outcomes.log(call)?.text()))).collect()
                });
                logs.into_iter().try_for_each(|(call, text)| take(call, text))?;
                waited?;
                if state.progress().done == seen.len() && state.progress().is_finished() {
                    return ended(watching).await;
                }
            }
        })
    }

    /// The state of a job that this process reads, as it goes on.
    async fn followed(&self, job: JobId) -> Result<(Arc<JobState>, JoinHandle<()>)> {
        let journal = self.journal(job);
        let record = journal.record().await?;
        let (state, commands) =
            JobState::new(record.job, &record.function_name, plan_of(&record, 1), Some(record.calls));
        let state = Arc::new(state);
        let (resources, owner) = (Err(only_reads(&record)), Owner::this_process());
        let followed = Arc::clone(&state);
        let leadership = Leadership { journal, record, job: followed, resources, owner, cleanup: None };
        Ok((state, runtime::driver().spawn(leadership.watch(commands))))
    }

    /// Cancels a job, even if another client drives it, and waits until all its calls have an outcome.
    /// Returns how many calls had no outcome before.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub fn cancel(&self, job: JobId) -> Result<u64> {
        runtime::start()?.block_on(async {
            let journal = self.journal(job);
            let record = journal.record().await?;
            let before = stored_calls(&journal, &record).await?;
            if before == record.calls {
                return Ok(0);
            }
            journal.ask_to_cancel().await?;
            let mut watch = LeaseWatch::default();
            loop {
                if stored_calls(&journal, &record).await? == record.calls {
                    return Ok(record.calls - before);
                }
                if let Watched::Free { epoch } = watch.look(&journal).await?
                    && let Some(lease) = Lease::take(&journal, epoch + 1, &Owner::this_process()).await?
                {
                    cancel_all(&journal, &record).await?;
                    lease.release().await?;
                }
                // The driver of the job looks for the request at each heartbeat; 100 ms between looks is
                // often enough.
                sleep(LEASE / 100).await;
            }
        })
    }

    /// The journal of a job in this storage.
    pub(crate) fn journal(&self, job: JobId) -> Journal {
        Journal::new(&self.storage, job)
    }
}

/// Reads a job: its record, how many outcomes are stored, and whether its lease is held.
pub(crate) async fn look(journal: Journal) -> Result<StoredJob> {
    let record = journal.record().await?;
    let stored = stored_calls(&journal, &record).await?;
    let (is_driven, driver) = match LeaseWatch::default().look(&journal).await? {
        Watched::Driven { owner, .. } => (true, owner),
        Watched::Free { .. } => (false, None),
    };
    let is_finished = stored == record.calls;
    let is_cancelled = is_finished && journal.is_to_be_cancelled().await?;
    let waiting = if is_driven && !is_finished { journal.waiting().await? } else { None };
    Ok(StoredJob { record, stored, driver, waiting, is_driven, is_cancelled })
}

/// Waits until the task that read a job has taken its mark away.
async fn ended(watching: JoinHandle<()>) -> Result<()> {
    watching.await.map_err(|_| Error::new(ErrorKind::Unexpected, "what reads the job has panicked"))
}

/// How many calls of a job have a stored outcome.
async fn stored_calls(journal: &Journal, record: &JobRecord) -> Result<u64> {
    let chunks = journal.committed().await?.into_iter().map(|chunk| record.calls_of(chunk));
    // A chunk number beyond the last chunk is foreign to the job: `calls_of` gives it no calls.
    Ok(chunks.map(|(first, end)| end - first).sum())
}

/// Commits every chunk without outcomes as cancelled.
async fn cancel_all(journal: &Journal, record: &JobRecord) -> Result<()> {
    let committed: std::collections::BTreeSet<_> = journal.committed().await?.into_iter().collect();
    let error = CallError::new(CallErrorKind::Cancelled, "the job was cancelled").encode();
    for chunk in (0..record.chunks()).filter(|chunk| !committed.contains(chunk)) {
        let calls = record.calls_of(chunk);
        let reports = failed_together(record.job, vec![calls], &error).collect();
        // If a worker or client has committed the chunk first, its outcomes count.
        journal.commit(chunk, calls, &ChunkOutcomes { logs: Vec::new(), reports }).await?;
    }
    Ok(())
}
