//! [`Hired`]: the fleet of a client.

use std::time::Duration;

use uuid::Uuid;

use super::{Fleet, FleetKey, Launch};
use crate::{
    board::Terms,
    error::Result,
    protocol::Secrets,
    storage::{Locator, StorageClient},
};

/// The fleet of a client: where its posts are, what its workers are told, and the terms of its boards.
#[derive(Debug, Clone)]
pub struct Hired {
    /// The posts.
    pub fleet: Fleet,
    /// What its workers are told.
    pub launch: Launch,
    /// The terms of its boards.
    pub terms: Terms,
    /// The storage that posts and boards are in.
    pub storage: StorageClient,
}

impl Hired {
    /// A new fleet, of which no worker has been launched.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn new(
        storage: &StorageClient,
        locator: &Locator,
        secrets: Option<Secrets>,
        terms: Terms,
    ) -> Result<Self> {
        let (key, name) = (FleetKey::generate()?, Uuid::now_v7().to_string());
        Ok(Self {
            fleet: Fleet::new(storage, locator.prefix.as_deref(), &name, key.clone()),
            launch: Launch {
                fleet: name,
                worker: String::new(),
                key,
                storage: locator.clone(),
                secrets,
                look: terms.look.min(Duration::from_secs(1)),
                patience: terms.patience,
            },
            terms,
            storage: storage.clone(),
        })
    }
}
