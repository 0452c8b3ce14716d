//! [`ClientFleet`]: the fleet of a client.

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

/// The fleet of a client: where its posts are, what its workers are told, and the terms of its boards.
#[derive(Debug, Clone)]
pub struct ClientFleet {
    /// The posts.
    pub fleet: Fleet,
    /// What its workers are told.
    pub launch: Launch,
    /// The terms of its boards.
    pub lease_config: LeaseConfig,
    /// The storage that posts and boards are in.
    pub storage: StorageClient,
    needs: Arc<Mutex<Needs>>,
}

/// What the jobs of a fleet need together.
#[derive(Debug, Default)]
struct Needs {
    workers: BTreeMap<JobId, u64>,
    commits: u64,
}

impl ClientFleet {
    /// A new fleet, of which no worker has been launched.
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

    /// A job needs so many workers; how many all of them need together.
    #[must_use]
    pub fn needs(&self, job: JobId, workers: u64) -> u64 {
        let mut needs = self.lock();
        needs.workers.insert(job, workers);
        needs.workers.values().sum()
    }

    /// A job needs none any more.
    pub fn needs_no_more(&self, job: JobId) {
        self.lock().workers.remove(&job);
    }

    /// A chunk of one of its jobs was committed: its workers get on.
    pub fn committed(&self) {
        self.lock().commits += 1;
    }

    /// How many chunks were committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    fn lock(&self) -> MutexGuard<'_, Needs> {
        self.needs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
