//! [`Shared`]: the account, which all connections and environments share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Settings, api::ApiError, counts::Ledger, environment::Pool, function::Function, names};

/// The account.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// Where packages and logs are.
    pub(crate) folder: PathBuf,
    pub(crate) functions: Mutex<BTreeMap<String, Arc<Function>>>,
    pub(crate) pool: Pool,
    pub(crate) ledger: Arc<Ledger>,
    room: Arc<Semaphore>,
}

/// The right to run one invocation.
#[derive(Debug)]
pub(crate) struct Permit {
    ledger: Arc<Ledger>,
    _room: OwnedSemaphorePermit,
}

impl Shared {
    pub(crate) fn new(settings: Settings, folder: PathBuf) -> Self {
        let room = Arc::new(Semaphore::new(settings.concurrency.min(Semaphore::MAX_PERMITS)));
        Self {
            settings,
            folder,
            functions: Mutex::default(),
            pool: Pool::default(),
            ledger: Arc::default(),
            room,
        }
    }

    /// The function that a request names.
    pub(crate) fn function(&self, named: &names::Named) -> Result<Arc<Function>, ApiError> {
        let found = lock(&self.functions).get(&named.name).map(Arc::clone);
        // There is no version but the one that can be changed.
        let is_there = named.qualifier.as_deref().is_none_or(|qualifier| qualifier == "$LATEST");
        found.filter(|_| is_there).ok_or_else(|| {
            let mut arn = names::arn(&self.settings.region, &named.name);
            if let Some(qualifier) = &named.qualifier {
                arn = format!("{arn}:{qualifier}");
            }
            ApiError::not_found(&arn)
        })
    }

    /// The right to run an invocation now, if there is room for one.
    pub(crate) fn permit(&self) -> Option<Permit> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(self.permitted(room))
    }

    /// The right to run an invocation as soon as there is room for one.
    pub(crate) async fn permit_later(&self) -> Permit {
        let room = Arc::clone(&self.room).acquire_owned().await.expect("never closed");
        self.permitted(room)
    }

    fn permitted(&self, room: OwnedSemaphorePermit) -> Permit {
        self.ledger.note(|counts| counts.running += 1);
        Permit { ledger: Arc::clone(&self.ledger), _room: room }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.ledger.note(|counts| counts.running -= 1);
    }
}

/// Locks what no panic leaves half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
