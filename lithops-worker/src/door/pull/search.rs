//! The search for jobs.

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
    serve::ToPool,
    stint::{Left, Stint},
};

/// The longer there is no job, the less often is looked for one, up to so many pauses.
const RARELY: u32 = 8;

/// A job that was done and is wanted all the same is looked at again after a lease, or after so long: what was committed
/// of it may be gone, or damaged.
const AGAIN: Duration = Duration::from_secs(5);

/// Looks for jobs of the fleet and works at them, until there is none for too long.
pub(in crate::door) async fn search(launch: &Launch, mut pool: ToPool, leaves: &AtomicBool) -> Result<()> {
    let storage = StorageClient::connect(&launch.storage)?;
    let prefix = launch.storage.prefix.as_deref();
    let fleet = Fleet::new(&storage, prefix, &launch.fleet, launch.key.clone());
    if !is_worker(&launch.worker) {
        let problem = format!("`{}` cannot be the name of a worker", launch.worker.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("it is a part of keys: at most 180 letters, digits and `-_.:@+=~`"));
    }
    let mut done: HashMap<JobId, Done> = HashMap::new();
    // How often it was at a job: each time under another name, because it may have lost what it held the last time.
    let mut stints: HashMap<JobId, u64> = HashMap::new();
    let mut idle_since = Instant::now();
    let mut pause = launch.look;
    loop {
        // What it has begun is done; those that still wait for a worker get another.
        if leaves.load(Ordering::Relaxed) {
            return Ok(());
        }
        let jobs = fleet.jobs().await?;
        done.retain(|job, _| jobs.contains(job));
        stints.retain(|job, _| jobs.contains(job));
        // What was done and is wanted all the same may have lost a commit.
        for (job, done) in &mut done {
            done.look_again(&Journal::new(&storage, prefix, *job)).await?;
        }
        // The job it was at least often: with several, it goes round.
        let next = jobs.into_iter().filter(|job| done.get(job).is_none_or(|done| done.is_open));
        let next = next.min_by_key(|job| stints.get(job).copied().unwrap_or(0));
        let Some(post) = (match next {
            Some(job) => fleet.get(job).await?,
            None => None,
        }) else {
            if idle_since.elapsed() > launch.patience {
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(launch.look * RARELY);
            continue;
        };
        let job = post.spec.job;
        let (was_done, begun) = (done.contains_key(&job), Instant::now());
        let before = stints.entry(job).or_default();
        let name = if *before == 0 { launch.worker.clone() } else { format!("{}.{before}", launch.worker) };
        *before += 1;
        let journal = Journal::new(&storage, prefix, job);
        let (chunks, again) = (post.chunks().count(), post.terms.lease.min(AGAIN));
        let left = Stint::new(&name, post, &storage, &fleet, &journal).work(&mut pool, launch.look).await?;
        if left != Left::Idle {
            clear_away(&journal).await;
            done.insert(job, Done { chunks, again, looked: Instant::now(), is_open: false });
        }
        // Finding that nothing is left to do is no work.
        if !was_done || begun.elapsed() > AGAIN {
            idle_since = Instant::now();
        }
        pause = launch.look.max(Duration::from_millis(1));
    }
}

/// A job that this worker is done with.
#[derive(Debug)]
struct Done {
    chunks: u64,
    again: Duration,
    looked: Instant,
    is_open: bool,
}

impl Done {
    /// Looks from time to time whether it is not done after all.
    async fn look_again(&mut self, journal: &Journal) -> Result<()> {
        if self.looked.elapsed() >= self.again {
            self.looked = Instant::now();
            self.is_open = (journal.committed().await?.len() as u64) < self.chunks;
        }
        Ok(())
    }
}

/// What this worker has written of a job that was removed meanwhile would stay for ever.
async fn clear_away(journal: &Journal) {
    if journal.record().await.is_err_and(|error| error.kind() == lithops_core::error::ErrorKind::NotDurable) {
        // Should that fail, `lithops clean` does it.
        let _ = journal.delete().await;
    }
}
