//! [`Secrets`]: the credentials of a storage, as they are sent to workers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::storage::Locator;

/// The credentials of a storage. A client sends them to the workers of its own machine, and a worker to its
/// sub-workers, over channels that no other process can read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// The storage that the credentials open.
    pub storage: Locator,
    /// The credentials, as pairs of name and secret.
    pub secrets: Vec<(String, String)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("storage", &self.storage).finish_non_exhaustive()
    }
}
