//! [`Launch`]: what a worker of a fleet is told when it is launched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FleetKey, Secrets};
use crate::storage::Locator;

/// What a worker of a fleet is told when it is launched, over a way that nobody else can read: it holds secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// The fleet.
    pub fleet: String,
    /// The worker's own name, which no other has ever had.
    pub worker: String,
    /// What the fleet's posts are signed with.
    pub key: FleetKey,
    /// Where they are.
    pub storage: Locator,
    /// What opens that storage.
    pub secrets: Option<Secrets>,
    /// The pause between two looks for a job.
    pub look: Duration,
    /// How long it stays without a job.
    pub patience: Duration,
}

impl Launch {
    /// The same for a worker of this name.
    #[must_use]
    pub fn named(&self, worker: impl Into<String>) -> Self {
        Self { worker: worker.into(), ..self.clone() }
    }
}
