//! [`ClientFleet`]: a client's handle to its fleet.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{ClientState, Fleet, JobManifest};
use crate::{
    board::LeaseConfig,
    compute::ComputeBackend,
    error::{Error, ErrorKind, Result},
    fork,
    id::{JobId, new_uuid},
    protocol::{Launch, SignKey},
    runtime,
    storage::{Locator, StorageClient},
};

/// The longest pause between two heartbeats of a client.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// How long a platform may take to remove what it would still start of a fleet that has ended.
const AT_PLATFORM: Duration = Duration::from_secs(10);

/// A client's handle to its fleet: where its job manifests are stored, the launch document of its
/// workers, and the lease settings of its boards.
#[derive(Debug)]
pub struct ClientFleet {
    /// What is stored of the fleet.
    pub fleet: Fleet,
    /// The launch document that all its workers share.
    pub launch: Launch,
    /// The lease settings of its boards.
    pub lease_config: LeaseConfig,
    /// The storage with the manifests and the boards.
    pub storage: StorageClient,
    sign: SignKey,
    /// What was said last of this client. The lock is held during the put, so that an older state never takes the place
    /// of a newer one.
    said: tokio::sync::Mutex<ClientState>,
    /// Whether anything of the fleet was stored, and whether it was removed for good.
    has_begun: AtomicBool,
    has_ended: AtomicBool,
    /// Whether a job goes on without this client.
    has_detached: AtomicBool,
    needs: Mutex<Needs>,
}

/// What the jobs of a fleet need and have done, over all jobs.
#[derive(Debug, Default)]
struct Needs {
    /// How many workers each job needs.
    workers: BTreeMap<JobId, u64>,
    /// How many chunks of all jobs were committed.
    commits: u64,
}

impl ClientFleet {
    /// A new fleet with a new key. No worker of it has been launched.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn new(storage: &StorageClient, locator: &Locator, lease_config: LeaseConfig) -> Result<Self> {
        let (sign, name) = (SignKey::generate()?, new_uuid().to_string());
        let verify = sign.verify_key();
        let LeaseConfig { look, patience, orphan, grace, .. } = lease_config;
        let launch = Launch::new(&name, verify, locator.clone());
        Ok(Self {
            fleet: Fleet::new(storage, &name, verify),
            launch: Launch { look: launch.look.min(look), patience, orphan, grace, ..launch },
            lease_config,
            storage: storage.clone(),
            sign,
            said: tokio::sync::Mutex::default(),
            has_begun: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            has_detached: AtomicBool::new(false),
            needs: Mutex::default(),
        })
    }

    /// Says that this client lives, and goes on saying so until it is dropped.
    ///
    /// # Errors
    /// When the storage refuses it.
    pub async fn open(self: &Arc<Self>) -> Result<()> {
        let is_open = self.has_begun.swap(true, Ordering::AcqRel);
        if !is_open {
            let (fleet, pause) = (Arc::downgrade(self), BEAT.min(self.lease_config.orphan / 4));
            runtime::driver().spawn(keep_alive(fleet, pause));
        }
        if !is_open || self.said.lock().await.is_closed {
            self.say(|state| state.is_closed = false).await?;
        }
        Ok(())
    }

    /// Stores the manifest of a job and says that there is one.
    ///
    /// # Errors
    /// When the storage refuses the manifest, or the manifest is too large.
    pub async fn put(self: &Arc<Self>, manifest: &JobManifest) -> Result<()> {
        // The state comes first: a worker that finds no state takes the fleet for closed.
        self.open().await?;
        self.has_detached.fetch_or(manifest.detached, Ordering::AcqRel);
        self.fleet.put(manifest, &self.sign).await?;
        self.say(|state| state.news += 1).await
    }

    /// Removes the manifest of a job, so that workers leave the job.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn remove(&self, job: JobId) -> Result<()> {
        self.fleet.remove(job).await?;
        self.say(|state| state.news += 1).await
    }

    /// Says that no worker is wanted any more once the jobs that there are have ended.
    ///
    /// # Errors
    /// When the storage refuses it. The workers end all the same when this client has been silent for long enough.
    pub async fn close(&self) -> Result<()> {
        if !self.has_begun() {
            return Ok(());
        }
        self.say(|state| state.is_closed = true).await
    }

    /// Removes what is stored of the fleet beside manifests, when this client ends. For workers that is the same as a
    /// fleet that is closed.
    ///
    /// # Errors
    /// When the storage refuses it. The workers end all the same when this client has been silent for long enough.
    pub async fn end(&self) -> Result<()> {
        let _said = self.said.lock().await;
        self.has_ended.store(true, Ordering::Release);
        self.fleet.remove_state().await
    }

    /// The same, and removes what the platform would still start. A fleet with a detached job is left to its workers.
    ///
    /// # Errors
    /// When the storage or the platform refuses it.
    pub async fn end_at(&self, backend: &dyn ComputeBackend) -> Result<()> {
        let ended = self.end().await;
        if !self.has_begun() || self.has_detached.load(Ordering::Acquire) {
            return ended;
        }
        let limit = tokio::time::timeout(AT_PLATFORM, backend.fleet_ended(&self.launch)).await;
        let late =
            |_| Error::new(ErrorKind::Timeout, "the platform does not answer that the fleet has ended");
        limit.map_err(late)?.and(ended)
    }

    /// Whether anything of the fleet was stored.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Says something of this client, with another heartbeat.
    async fn say(&self, what: impl FnOnce(&mut ClientState)) -> Result<()> {
        let mut said = self.said.lock().await;
        if self.has_ended.load(Ordering::Acquire) {
            return Ok(());
        }
        said.beat += 1;
        what(&mut said);
        self.fleet.put_client(*said).await
    }

    /// Notes how many workers a job needs. Returns how many workers all jobs of the fleet need together.
    #[must_use]
    pub fn needs(&self, job: JobId, workers: u64) -> u64 {
        let mut needs = self.lock();
        needs.workers.insert(job, workers);
        needs.workers.values().sum()
    }

    /// Notes that a job needs no workers any more.
    pub fn needs_no_more(&self, job: JobId) {
        self.lock().workers.remove(&job);
    }

    /// Whether a job still needs workers.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.lock().workers.is_empty()
    }

    /// Notes that a chunk of one of the fleet's jobs was committed, which shows that its workers
    /// make progress.
    pub fn committed(&self) {
        self.lock().commits += 1;
    }

    /// How many chunks of all jobs were committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    fn lock(&self) -> MutexGuard<'_, Needs> {
        self.needs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientFleet {
    fn drop(&mut self) {
        if !self.has_begun() || self.has_ended.load(Ordering::Acquire) || fork::is_copy() {
            return;
        }
        // The last job has ended after its executor. A program that ends at once leaves the object to `lithops clean`.
        let fleet = self.fleet.clone();
        runtime::driver().spawn(async move { fleet.remove_state().await });
    }
}

/// Says regularly that the client lives, as long as it has its handle to the fleet.
async fn keep_alive(fleet: Weak<ClientFleet>, pause: Duration) {
    loop {
        sleep(pause).await;
        let Some(fleet) = fleet.upgrade() else { return };
        if let Err(error) = fleet.say(|_| {}).await {
            tracing::warn!(%error, "cannot tell the fleet that its client lives");
        }
    }
}
