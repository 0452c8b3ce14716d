//! [`StoredJobs`]: durable jobs seen from outside the programs that have their functions.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{
    decode,
    durable::plan_of,
    pursuit::{Pursuit, only_reads},
    runtime,
};
use crate::{
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    fleet::all_posts,
    id::JobId,
    job::JobState,
    journal::{Bundle, JobRecord, Journal, LEASE, Lease, Owner, Watch, Watched},
    protocol::failed_together,
    storage::StorageClient,
};

/// The durable jobs of a storage.
#[derive(Debug)]
pub struct StoredJobs {
    storage: StorageClient,
    prefix: Option<String>,
}

/// A durable job, as it is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoredJob {
    /// What it is.
    pub record: JobRecord,
    /// How many of its calls have a stored outcome.
    pub stored: u64,
    /// Who drives it, as far as can be told.
    pub driver: Option<Owner>,
    is_driven: bool,
}

/// What is stored of a job that nobody will want any more.
#[derive(Debug)]
#[non_exhaustive]
pub struct Expired {
    /// The job.
    pub job: JobId,
    /// The job as it is stored; `None` when its program ended before it was stored whole.
    pub stored: Option<StoredJob>,
    journal: Journal,
    /// What fleets were told of it.
    posts: Vec<String>,
}

impl Expired {
    /// Removes it.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub fn remove(&self) -> Result<()> {
        runtime::start()?.block_on(async {
            // Nobody is to look for it while it goes.
            for post in &self.posts {
                self.journal.remove(post).await?;
            }
            self.journal.delete().await
        })
    }
}

impl StoredJob {
    /// Whether every call has a stored outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stored == self.record.calls
    }

    /// `finished`, `running`, or `interrupted` when nobody drives it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.is_finished(), self.is_driven) {
            (true, _) => "finished",
            (false, true) => "running",
            (false, false) => "interrupted",
        }
    }
}

impl StoredJobs {
    /// The jobs in the storage of a configuration: that of a file, or the one that is found.
    ///
    /// # Errors
    /// When the configuration is wrong, or the storage cannot be opened.
    pub fn open(config: Option<PathBuf>, storage: Option<String>) -> Result<Self> {
        let (storage, locator) = StorageClient::configured(config, storage)?;
        Ok(Self { storage, prefix: locator.prefix })
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn list(&self) -> Result<Vec<StoredJob>> {
        runtime::start()?.block_on(async {
            let mut found = Vec::new();
            for journal in Journal::list(&self.storage, self.prefix.as_deref()).await? {
                match look(journal).await {
                    Ok(job) => found.push(job),
                    // It was removed meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotDurable => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotDurable` when nothing is stored of it.
    pub fn find(&self, job: JobId) -> Result<StoredJob> {
        runtime::start()?.block_on(look(self.journal(job)))
    }

    /// Waits until a job is finished, and hands its outcomes over in order, values as JSON.
    ///
    /// # Errors
    /// When nobody drives the job; what is stored so far has been handed over then, as it has on every other error.
    pub fn attach(
        &self,
        job: JobId,
        mut take: impl FnMut(u64, Result<serde_json::Value, CallError>) -> Result<()>,
    ) -> Result<()> {
        runtime::start()?.block_on(async {
            let journal = self.journal(job);
            let record = journal.record().await?;
            let (state, commands) =
                JobState::new(record.job, &record.function_name, plan_of(&record, 1), Some(record.calls));
            let state = Arc::new(state);
            let calls = record.calls;
            let (means, owner) = (Err(only_reads(&record)), Owner::this_process());
            let followed = Arc::clone(&state);
            let pursuit = Pursuit { journal, record, job: followed, means, owner, leftover: None };
            runtime::driver().spawn(pursuit.follow(None, commands));
            for call in 0..calls {
                let waited = state.wait_for(|outcomes, _| outcomes.done().contains(call)).await;
                match decode::committed(&state, call) {
                    Some(outcome) => take(call, outcome)?,
                    None => waited?,
                }
            }
            Ok(())
        })
    }

    /// Ends a job, whoever drives it, and waits until all its calls have an outcome. Returns how many it has cancelled.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub fn cancel(&self, job: JobId) -> Result<u64> {
        runtime::start()?.block_on(async {
            let journal = self.journal(job);
            let record = journal.record().await?;
            let before = stored_calls(&journal, &record).await?;
            journal.ask_to_cancel().await?;
            let mut watch = Watch::default();
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
                sleep(LEASE / 100).await;
            }
        })
    }

    /// What is stored of jobs of this user that nobody drives and nothing was written of for so long.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn expired(&self, age: Duration) -> Result<Vec<Expired>> {
        runtime::start()?.block_on(async {
            let mut expired = Vec::new();
            // Before the jobs: a post comes after its job.
            let mut posts = all_posts(&self.storage, self.prefix.as_deref()).await?;
            let is_old = |changed: SystemTime| {
                SystemTime::now().duration_since(changed).is_ok_and(|since| since >= age)
            };
            for journal in Journal::list(&self.storage, self.prefix.as_deref()).await? {
                let told = posts.remove(&journal.job()).unwrap_or_default();
                let posts = told.into_iter().map(|post| post.key).collect();
                let changed = journal.last_change().await?;
                if !changed.is_some_and(is_old) {
                    continue;
                }
                // Whoever drives a job writes every few seconds.
                match look(journal.clone()).await {
                    Ok(job) if job.record.owner.is_this_user() && (age > LEASE || !job.is_driven) => {
                        expired.push(Expired { job: journal.job(), stored: Some(job), journal, posts });
                    }
                    // Its program has ended before it was stored whole.
                    Err(error) if error.kind() == ErrorKind::NotDurable => {
                        // A job that is not durable writes when something is too large for a message.
                        let left = |owner: Owner| owner.is_this_user() && !owner.lives();
                        if journal.lease(1).await?.is_some_and(left) {
                            expired.push(Expired { job: journal.job(), stored: None, journal, posts });
                        }
                    }
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
            // Nothing is stored of these jobs any more: nobody can do them.
            for (job, posts) in posts {
                if posts.iter().all(|post| is_old(post.modified)) {
                    let posts = posts.into_iter().map(|post| post.key).collect();
                    expired.push(Expired { job, stored: None, journal: self.journal(job), posts });
                }
            }
            Ok(expired)
        })
    }

    fn journal(&self, job: JobId) -> Journal {
        Journal::new(&self.storage, self.prefix.as_deref(), job)
    }
}

async fn look(journal: Journal) -> Result<StoredJob> {
    let record = journal.record().await?;
    let stored = stored_calls(&journal, &record).await?;
    let (is_driven, driver) = match Watch::default().look(&journal).await? {
        Watched::Driven { owner, .. } => (true, owner),
        Watched::Free { .. } => (false, None),
    };
    Ok(StoredJob { record, stored, driver, is_driven })
}

async fn stored_calls(journal: &Journal, record: &JobRecord) -> Result<u64> {
    let chunks = journal.committed().await?.into_iter().map(|chunk| record.calls_of(chunk));
    Ok(chunks.map(|(first, end)| end - first).sum())
}

/// Commits every chunk that has no outcomes as cancelled.
async fn cancel_all(journal: &Journal, record: &JobRecord) -> Result<()> {
    let committed: std::collections::BTreeSet<_> = journal.committed().await?.into_iter().collect();
    let error = CallError::new(CallErrorKind::Cancelled, "the job was cancelled");
    let error = rmp_serde::to_vec_named(&error)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode an error: {error}")))?;
    for chunk in (0..record.chunks()).filter(|chunk| !committed.contains(chunk)) {
        let calls = record.calls_of(chunk);
        let reports = failed_together(record.job, vec![calls], &error).collect();
        // Another may have been first; then its outcomes count.
        journal.commit(chunk, calls, &Bundle { logs: Vec::new(), reports }).await?;
    }
    Ok(())
}
