//! [`JobRecord`]: what a durable job is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Owner;
use crate::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
    id::JobId,
    job::Policy,
    parcel::Parcel,
};

/// The form of records this build writes; it reads this one and none else.
const FORM: u32 = 2;

/// What a durable job is: everything another process needs to drive it, but for the function itself and the values of
/// environment variables, which are not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The form of the record.
    pub form: u32,
    /// The job.
    pub job: JobId,
    /// The registered name of its function.
    pub function: String,
    /// The name people know it by.
    pub function_name: String,
    /// How many calls.
    pub calls: u64,
    /// Calls per chunk, the unit of what is committed.
    pub chunksize: u64,
    /// Calls at once in one worker.
    pub worker_processes: u64,
    /// The objects that the inputs are stored in.
    pub segments: Vec<Segment>,
    /// Where the shared values are.
    pub shared: Vec<Parcel>,
    /// How often its calls may be tried.
    pub policy: Policy,
    /// How long a call may run.
    pub timeout: Option<Duration>,
    /// The names of its environment variables.
    pub env: Vec<String>,
    /// The backend it was started on.
    pub backend: String,
    /// Who started it.
    pub owner: Owner,
    /// When it was started, in seconds since the Unix epoch; for people only.
    pub created: u64,
}

/// An object that holds a part of the inputs, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// How many calls they are the inputs of.
    pub calls: u64,
    /// The digest of the object.
    pub digest: Digest,
}

impl JobRecord {
    /// The form this build writes.
    pub const FORM: u32 = FORM;

    /// How many chunks.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.calls.div_ceil(self.chunksize.max(1))
    }

    /// The calls of a chunk.
    #[must_use]
    pub fn calls_of(&self, chunk: u64) -> (u64, u64) {
        let first = chunk.saturating_mul(self.chunksize);
        (first.min(self.calls), first.saturating_add(self.chunksize).min(self.calls))
    }

    /// The record as it is stored.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot encode a job record: {error}"))
        })
    }

    /// Reads what is stored under a key.
    ///
    /// # Errors
    /// When it is no record, of another form, or damaged.
    pub fn decode(bytes: &[u8], key: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let broken = |error: serde_json::Error| {
            Error::new(ErrorKind::Unexpected, format!("`{key}` is not a job record: {error}"))
                .with_hint("another program has written there, or the storage is damaged")
        };
        let Form { form } = serde_json::from_slice(bytes).map_err(broken)?;
        if form != FORM {
            return Err(Error::new(
                ErrorKind::VersionMismatch,
                format!("`{key}` has form {form}, and this build of lithops reads form {FORM}"),
            )
            .with_hint("attach with the version of lithops that started the job"));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(broken)?;
        if record.chunksize == 0 || record.worker_processes == 0 {
            return Err(Error::new(ErrorKind::Unexpected, format!("`{key}` is damaged: a granularity is 0")));
        }
        Ok(record)
    }
}
