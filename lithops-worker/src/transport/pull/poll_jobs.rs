//! [`poll_jobs`]: a worker of a fleet looks for jobs in the storage, and works at them one after another.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use lithops_core::{
    board::keys::is_worker,
    error::{Error, ErrorKind, Result},
    fleet::Fleet,
    id::JobId,
    journal::Journal,
    protocol::Launch,
    storage::StorageClient,
};
use tokio::time::sleep;

use super::{
    job_session::{JobSession, SessionEnd},
    to_pool::ToPool,
};

/// The pause between two polls doubles while there is no job, up to this many times `launch.look`: an idle fleet must
/// not cost many requests, and a new job must not wait for long.
const LONGEST_PAUSE: u32 = 8;

/// A finished job whose manifest is still there is looked at again after its lease, or after this long if the lease is
/// longer: a commit of it may have been removed or damaged since.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Looks for jobs of the fleet and works at them, until there has been none for `launch.patience`.
pub(super) async fn poll_jobs(launch: &Launch, mut pool: ToPool, leaves: &AtomicBool) -> Result<()> {
    let storage = StorageClient::connect(&launch.storage)?;
    let fleet = Fleet::new(&storage, &launch.fleet, launch.key.clone());
    if !is_worker(&launch.worker) {
        let problem = format!("`{}` cannot be the name of a worker", launch.worker.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("it is a part of keys: at most 180 letters, digits and `-_.:@+=~`"));
    }
    let mut finished: HashMap<JobId, FinishedJob> = HashMap::new();
    // How many sessions this worker had at each job. Each has another name on the board, because this worker may have
    // lost the leases it held under the last one.
    let mut sessions: HashMap<JobId, u64> = HashMap::new();
    let mut idle_since = Instant::now();
    let mut pause = launch.look;
    loop {
        // The job that this worker was at is finished. Jobs that still wait for a worker get another one.
        if leaves.load(Ordering::Relaxed) {
            return Ok(());
        }
        let jobs = fleet.jobs().await?;
        finished.retain(|job, _| jobs.contains(job));
        sessions.retain(|job, _| jobs.contains(job));
        // The client removes the manifest of a job that it sees finished. One that stays may have lost a commit.
        for (job, finished) in &mut finished {
            finished.look_again(&Journal::new(&storage, *job)).await?;
        }
        // The job with the fewest sessions: this worker goes round when several jobs wait.
        let next = jobs.into_iter().filter(|job| finished.get(job).is_none_or(|finished| finished.is_open));
        let next = next.min_by_key(|job| sessions.get(job).copied().unwrap_or(0));
        let Some(manifest) = (match next {
            Some(job) => fleet.get(job).await?,
            None => None,
        }) else {
            if idle_since.elapsed() > launch.patience {
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(launch.look * LONGEST_PAUSE);
            continue;
        };
        let job = manifest.spec.job;
        let (was_finished, begun) = (finished.contains_key(&job), Instant::now());
        let before = sessions.entry(job).or_default();
        let name = if *before == 0 { launch.worker.clone() } else { format!("{}.{before}", launch.worker) };
        *before += 1;
        let journal = Journal::new(&storage, job);
        let (chunks, again) = (manifest.chunks().count(), manifest.lease_config.lease.min(LOOK_AGAIN));
        let session = JobSession::new(&name, manifest, &storage, &fleet, &journal);
        let end = session.work(&mut pool, launch.look).await?;
        if end != SessionEnd::Idle {
            remove_own_objects(&journal).await;
            finished.insert(job, FinishedJob { chunks, again, looked: Instant::now(), is_open: false });
        }
        // A short second session that has found nothing to do is no work, and must not keep an idle worker alive.
        if !was_finished || begun.elapsed() > LOOK_AGAIN {
            idle_since = Instant::now();
        }
        // A pause of zero would never grow.
        pause = launch.look.max(Duration::from_millis(1));
    }
}

/// A job that this worker has finished with.
#[derive(Debug)]
struct FinishedJob {
    chunks: u64,
    /// How long after the last look the next one is due.
    again: Duration,
    looked: Instant,
    /// Whether the last look has found fewer commits than chunks.
    is_open: bool,
}

impl FinishedJob {
    /// Counts the commits again, if that is due.
    async fn look_again(&mut self, journal: &Journal) -> Result<()> {
        if self.looked.elapsed() >= self.again {
            self.looked = Instant::now();
            self.is_open = (journal.committed().await?.len() as u64) < self.chunks;
        }
        Ok(())
    }
}

/// Removes what this worker has written of a job that was removed meanwhile: it would stay for ever.
async fn remove_own_objects(journal: &Journal) {
    if journal.record().await.is_err_and(|error| error.kind() == ErrorKind::NotDurable) {
        // If this fails, `lithops clean` removes them.
        let _ = journal.delete().await;
    }
}
