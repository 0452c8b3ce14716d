//! [`Secrets`]: what opens a storage.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::storage::Locator;

/// What opens a storage, from a client to the workers of its own machine and from them to their sub-workers, over
/// channels that nobody else can read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Where the storage is.
    pub storage: Locator,
    /// Names and secrets.
    pub secrets: Vec<(String, String)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("storage", &self.storage).finish_non_exhaustive()
    }
}
