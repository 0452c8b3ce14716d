//! [`Secrets`]: the credentials of a storage, as they are sent to workers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    storage::{Credentials, Locator},
};

/// The credentials of a storage. A client sends them to the workers of its own machine, and a worker to its
/// sub-workers, over channels that no other process can read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// The storage that the credentials open.
    pub storage: Locator,
    /// The credentials, as pairs of name and secret.
    pub secrets: Vec<(String, String)>,
}

impl Secrets {
    /// The credentials that open a storage; `None` where it needs none.
    #[must_use]
    pub fn of(storage: &Locator, credentials: &Credentials) -> Option<Self> {
        let is_needed = !credentials.is_empty();
        is_needed.then(|| Self { storage: storage.clone(), secrets: credentials.expose_all() })
    }

    /// The JSON text of a file in which a platform hands secrets to workers.
    ///
    /// # Errors
    /// When they cannot be encoded.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|_| Error::new(ErrorKind::Unexpected, "cannot encode the secrets of the storage"))
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// When it is another text. The error shows none of it.
    pub fn from_json(text: &str) -> Result<Self> {
        let problem = "the secrets of the storage are not the JSON text that a backend writes";
        serde_json::from_str(text).map_err(|_| Error::new(ErrorKind::InvalidInput, problem))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("storage", &self.storage).finish_non_exhaustive()
    }
}
