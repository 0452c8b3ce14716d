//! [`Waiting`]: what the workers of a job wait for, as its driver has stored it for other programs.

use serde::{Deserialize, Serialize};

use super::Journal;
use crate::error::{Error, ErrorKind, Result};

/// The most bytes that are read of it.
const LONGEST: u64 = 64 << 10;

/// Workers of a job that the platform cannot start for now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waiting {
    /// How many workers wait.
    pub workers: u64,
    /// What they wait for, in the platform's own words.
    pub why: String,
}

impl Journal {
    /// Stores what the workers of the job wait for; no workers when they do not wait any more.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub(crate) async fn put_waiting(&self, waiting: &Waiting) -> Result<()> {
        let unexpected = |error: serde_json::Error| Error::new(ErrorKind::Unexpected, error.to_string());
        let bytes = serde_json::to_vec(waiting).map_err(unexpected)?;
        self.put(&self.keys.waiting(), bytes.into()).await
    }

    /// What the workers of the job wait for; `None` when none waits. It is only told to people, so that an object that
    /// cannot be understood counts as none.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn waiting(&self) -> Result<Option<Waiting>> {
        let Some(bytes) = self.get(&self.keys.waiting(), LONGEST).await? else { return Ok(None) };
        let waiting = serde_json::from_slice(&bytes).ok();
        Ok(waiting.filter(|waiting: &Waiting| waiting.workers > 0))
    }
}
