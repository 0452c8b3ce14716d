//! [`ClientFleets`]: the fleets of an executor, one for each size of its workers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::ClientFleet;
use crate::{
    board::LeaseConfig,
    error::Result,
    storage::{Locator, StorageClient},
};

/// The fleets of an executor. Every worker of a fleet takes every job of the fleet, so that jobs whose workers are to
/// have different memory have different fleets.
#[derive(Debug)]
pub struct ClientFleets {
    storage: StorageClient,
    locator: Locator,
    lease_config: LeaseConfig,
    /// By the memory of their workers in MB; `None` is that of the backend's configuration.
    fleets: Mutex<BTreeMap<Option<u64>, Arc<ClientFleet>>>,
}

impl ClientFleets {
    /// No fleet yet; those to come have their manifests in this storage.
    #[must_use]
    pub fn new(storage: &StorageClient, locator: &Locator, lease_config: LeaseConfig) -> Self {
        let (storage, locator) = (storage.clone(), locator.clone());
        Self { storage, locator, lease_config, fleets: Mutex::default() }
    }

    /// The fleet whose workers have this memory in MB, or that of the backend's configuration.
    ///
    /// # Errors
    /// When the operating system gives no random numbers for the key of a new fleet.
    pub fn of(&self, memory: Option<u64>) -> Result<Arc<ClientFleet>> {
        let mut fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fleet) = fleets.get(&memory) {
            return Ok(Arc::clone(fleet));
        }
        let mut fleet = ClientFleet::new(&self.storage, &self.locator, self.lease_config)?;
        fleet.launch.memory = memory;
        let fleet = Arc::new(fleet);
        fleets.insert(memory, Arc::clone(&fleet));
        Ok(fleet)
    }

    /// All fleets that jobs have asked for.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClientFleet>> {
        self.fleets.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes all fleets out.
    pub(crate) fn take(&self) -> Vec<Arc<ClientFleet>> {
        let fleets = std::mem::take(&mut *self.fleets.lock().unwrap_or_else(PoisonError::into_inner));
        fleets.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn jobs_share_a_fleet_if_their_workers_have_the_same_memory() {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        let fleets = ClientFleets::new(&storage, &Locator::new("memory", "bucket"), LeaseConfig::default());
        let of = |memory| fleets.of(memory).expect("a fleet");
        let (usual, large) = (of(None), of(Some(8192)));
        assert!(Arc::ptr_eq(&usual, &of(None)) && Arc::ptr_eq(&large, &of(Some(8192))));
        assert_eq!((usual.launch.memory, large.launch.memory), (None, Some(8192)));
        assert_ne!(usual.launch.fleet, large.launch.fleet);
        assert_eq!(fleets.all().len(), 2);
        assert_eq!((fleets.take().len(), fleets.all().len()), (2, 0));
    }
}
