//! [`ClientFleet`]: a client's handle to its fleet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Fleet;
use crate::{
    board::LeaseConfig,
    error::Result,
    id::{JobId, new_uuid},
    protocol::{FleetKey, Launch, Secrets},
    storage::{Locator, StorageClient},
};

/// A client's handle to its fleet: where its job manifests are stored, the launch data of its
/// workers, and the lease settings of its boards.
#[derive(Debug, Clone)]
pub struct ClientFleet {
    /// The stored job manifests.
    pub fleet: Fleet,
    /// The launch data that all its workers share.
    pub launch: Launch,
    /// The lease settings of its boards.
    pub lease_config: LeaseConfig,
    /// The storage with the manifests and the boards.
    pub storage: StorageClient,
    needs: Arc<Mutex<Needs>>,
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
    pub fn new(
        storage: &StorageClient,
        locator: &Locator,
        secrets: Option<Secrets>,
        lease_config: LeaseConfig,
    ) -> Result<Self> {
        let (key, name) = (FleetKey::generate()?, new_uuid().to_string());
        Ok(Self {
            fleet: Fleet::new(storage, &name, key.clone()),
            launch: Launch {
                fleet: name,
                worker: String::new(),
                key,
                storage: locator.clone(),
                secrets,
                look: lease_config.look.min(Duration::from_secs(1)),
                patience: lease_config.patience,
            },
            lease_config,
            storage: storage.clone(),
            needs: Arc::default(),
        })
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
