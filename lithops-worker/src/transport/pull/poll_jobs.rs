//! [`poll_jobs`]: a worker of a fleet looks for jobs in the storage, and works at them one after another.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lithops_core::{
    board::keys::is_worker,
    error::{Error, ErrorKind, Result},
    fleet::{Fleet, JobManifest},
    id::JobId,
    journal::Journal,
    protocol::Launch,
    storage::StorageClient,
};
use tokio::{task::JoinSet, time::sleep};

use super::{
    client_watch::{ClientWatch, FRESH, FRESH_LOOKS, Seen},
    job_session::{JobSession, Listed, OtherJobs, SessionEnd},
    leave::{Leave, Leaving},
    running_pool::RunningPool,
};

/// The longest name of a worker, in bytes.
const LONGEST_NAME: usize = 180;

/// After this time without a job a worker looks less often, once in four times `launch.look`: an idle fleet must not
/// cost many requests, and a new job must not wait for long.
const LONG_IDLE: Duration = Duration::from_secs(60);
const LONG_IDLE_LOOKS: u32 = 4;

/// A finished job whose manifest is still there is looked at again after its lease, or after this long if the lease is
/// longer: a commit of it may have been removed or damaged since.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Looks for jobs of the fleet and works at them, until there has been none for `launch.patience`, or the worker is not
/// wanted any more.
pub(super) async fn poll_jobs(launch: &Launch, pool: RunningPool, leaving: &Leaving) -> Result<()> {
    let mut removals = JoinSet::new();
    let polled = poll(launch, pool, leaving, &mut removals).await;
    while removals.join_next().await.is_some() {}
    polled
}

async fn poll(
    launch: &Launch,
    mut pool: RunningPool,
    leaving: &Leaving,
    removals: &mut JoinSet<()>,
) -> Result<()> {
    let storage = StorageClient::connect(&launch.storage)?;
    let fleet = Fleet::new(&storage, &launch.fleet, launch.verify);
    let own_name = launch.worker.clone().unwrap_or_default();
    // The number of a session is appended to it.
    if !is_worker(&own_name) || own_name.len() > LONGEST_NAME {
        let problem = format!("`{}` cannot be the name of a worker", own_name.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("it is a part of keys: at most 180 letters, digits and `-_.:@+=~`"));
    }
    let mut told = leaving.subscribe();
    let mut client = ClientWatch::new(launch.orphan);
    let mut finished: HashMap<JobId, FinishedJob> = HashMap::new();
    // Each session has another name on the board, because this worker may have lost the leases it held under the last
    // one.
    let mut session_number = 0_u64;
    // How many sessions this worker had at each job.
    let mut sessions: HashMap<JobId, u64> = HashMap::new();
    let mut idle_since = Instant::now();
    let mut listed = Vec::new();
    // After a session there may be news that the client has told during it.
    let mut must_list = true;
    // What the last session has listed at its end.
    let mut fresh: Option<Listed> = None;
    loop {
        if matches!(*told.borrow(), Leave::By(_)) {
            return Ok(());
        }
        let (seen, just_listed) = match fresh.take() {
            Some((seen, jobs)) => (seen, Some(jobs)),
            None => (client.look(&fleet).await?, None),
        };
        let due = finished.values().any(FinishedJob::is_due);
        let mut next = None;
        if must_list || due || seen != Seen::Nothing || *told.borrow() == Leave::WhenIdle {
            must_list = false;
            let jobs = match just_listed {
                Some(jobs) => jobs,
                None => {
                    client.listed();
                    fleet.jobs().await?
                }
            };
            listed.clone_from(&jobs);
            finished.retain(|job, _| jobs.contains(job));
            sessions.retain(|job, _| jobs.contains(job));
            // The client removes the manifest of a job that it sees finished. One that stays may have lost a commit.
            for (job, finished) in &mut finished {
                finished.look_again(&Journal::new(&storage, *job)).await?;
            }
            next = choose(jobs, &finished, &sessions, &fleet, seen).await?;
        }
        let Some(manifest) = next else {
            let is_unwanted = matches!(seen, Seen::Closed | Seen::Gone) || *told.borrow() == Leave::WhenIdle;
            let idle = idle_since.elapsed();
            if is_unwanted || idle > launch.patience {
                return Ok(());
            }
            let pause = match idle {
                idle if idle < FRESH => launch.look / FRESH_LOOKS,
                idle if idle < LONG_IDLE => launch.look,
                _ => launch.look * LONG_IDLE_LOOKS,
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = told.changed() => {}
            }
            continue;
        };
        must_list = true;
        let job = manifest.spec.job;
        *sessions.entry(job).or_default() += 1;
        let is_done = |(job, finished): (&JobId, &FinishedJob)| (!finished.is_open).then_some(*job);
        let others = OtherJobs {
            listed: listed.clone(),
            known: sessions.keys().copied().collect(),
            finished: finished.iter().filter_map(is_done).collect(),
        };
        let name =
            if session_number == 0 { own_name.clone() } else { format!("{own_name}.{session_number}") };
        session_number += 1;
        let journal = Journal::new(&storage, job);
        let (chunks, again) = (manifest.chunks().count(), manifest.lease_config.lease.min(LOOK_AGAIN));
        let to_pool = pool.of(manifest.program.as_ref(), &launch.storage).await?;
        let session = JobSession::new(&name, manifest, &storage, &fleet, &journal);
        let worked = session.work(to_pool, launch.look, &mut client, (told.clone(), others)).await?;
        let (end, had_chunks, listed_last) = worked;
        fresh = listed_last;
        // A worker that has left a job because the client is gone goes on with jobs that are detached.
        if !matches!(end, SessionEnd::Idle | SessionEnd::Left) {
            // The next job does not wait for that.
            removals.spawn(remove_own_objects(journal));
            while removals.try_join_next().is_some() {}
            finished.insert(job, FinishedJob { chunks, again, looked: Instant::now(), is_open: false });
        }
        // A session that has found nothing to do is no work, and must not keep an idle worker alive.
        if had_chunks {
            idle_since = Instant::now();
        } else if end == SessionEnd::Patience || idle_since.elapsed() > launch.patience {
            return Ok(());
        }
    }
}

/// The manifest of the job with the fewest sessions, so that this worker goes round when several jobs wait. When the client
/// is gone only detached jobs go on.
async fn choose(
    jobs: Vec<JobId>,
    finished: &HashMap<JobId, FinishedJob>,
    sessions: &HashMap<JobId, u64>,
    fleet: &Fleet,
    seen: Seen,
) -> Result<Option<JobManifest>> {
    let is_open = |job: &JobId| finished.get(job).is_none_or(|finished| finished.is_open);
    let mut open: Vec<_> = jobs.into_iter().filter(is_open).collect();
    open.sort_by_key(|job| sessions.get(job).copied().unwrap_or(0));
    for job in open {
        if let Some(manifest) = fleet.get(job).await?
            && (seen != Seen::Gone || manifest.detached)
        {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
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
    /// Whether the commits are to be counted again.
    fn is_due(&self) -> bool {
        self.looked.elapsed() >= self.again
    }

    /// Counts the commits again, if that is due.
    async fn look_again(&mut self, journal: &Journal) -> Result<()> {
        if self.is_due() {
            self.looked = Instant::now();
            let committed = journal.committed().await?;
            let of_the_job = committed.into_iter().filter(|chunk| *chunk < self.chunks).count();
            self.is_open = (of_the_job as u64) < self.chunks;
        }
        Ok(())
    }
}

/// Removes what this worker has written of a job that was removed meanwhile: it would stay for ever.
async fn remove_own_objects(journal: Journal) {
    if journal.record().await.is_err_and(|error| error.kind() == ErrorKind::NotDurable) {
        // If this fails, `lithops clean` removes them.
        let _ = journal.delete().await;
    }
}
