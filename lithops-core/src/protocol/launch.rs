//! [`Launch`]: the settings of a worker of a fleet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FleetKey, Secrets};
use crate::storage::Locator;

/// The settings that a worker of a fleet is given when it is launched. They hold secrets: they may travel
/// only over a channel that no other process can read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// The name of the fleet, unique in its storage.
    pub fleet: String,
    /// The worker's own name, which no other worker has ever had: claims and heartbeats bear it.
    pub worker: String,
    /// The key that signs the fleet's job manifests.
    pub key: FleetKey,
    /// The storage that holds the job manifests.
    pub storage: Locator,
    /// The credentials of that storage; `None` where the worker has some from its platform.
    pub secrets: Option<Secrets>,
    /// The pause between two looks for a job manifest.
    pub look: Duration,
    /// How long the worker stays without a job before it ends.
    pub patience: Duration,
}

impl Launch {
    /// The same settings for a worker of this name.
    #[must_use]
    pub fn named(&self, worker: impl Into<String>) -> Self {
        Self { worker: worker.into(), ..self.clone() }
    }
}
