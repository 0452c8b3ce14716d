//! Serialization of handles, which travel as arguments and results of functions, and between programs.
//!
//! A serialized handle consists of the job's id and the location of its storage. It contains no credentials:
//! the process that deserializes the handle opens the storage with its own.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use super::Mode;
use crate::{
    executor::{
        durable::start::read_only,
        job::JobState,
        results::{FuturesList, ResponseFuture},
    },
    id::JobId,
    storage::Locator,
};

#[derive(Serialize, Deserialize)]
struct Portable {
    job: JobId,
    stored_at: Locator,
    /// The number of the call in the handle of one call; `None` in the handle of a job.
    call: Option<u64>,
}

impl Portable {
    fn of(job: &JobState, call: Option<u64>) -> Result<Self, String> {
        let stored_at = job.locator().cloned().ok_or_else(|| {
            format!(
                "the handle of job {} cannot leave its process, because the job lives in it: start it with `.durable()`",
                job.id()
            )
        })?;
        // The process that gets the handle needs the stored data, so it must outlive this process's handles.
        job.detach();
        Ok(Self { job: job.id(), stored_at, call })
    }
}

impl<R, M: Mode> Serialize for FuturesList<R, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Portable::of(&self.values.job, None).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, R, M: Mode> Deserialize<'de> for FuturesList<R, M> {
    /// The handle reads what is stored; it does not drive the job.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Portable { job, stored_at, call } = Portable::deserialize(deserializer)?;
        match call {
            None => Ok(Self::new(read_only(job, stored_at))),
            Some(_) => Err(D::Error::custom("this is the handle of one call, and not of a job's")),
        }
    }
}

impl<R, M: Mode> Serialize for ResponseFuture<R, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Portable::of(&self.value.job, Some(self.value.call)).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, R, M: Mode> Deserialize<'de> for ResponseFuture<R, M> {
    /// The handle reads what is stored; it does not drive the job.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Portable { job, stored_at, call } = Portable::deserialize(deserializer)?;
        let call =
            call.ok_or_else(|| D::Error::custom("this is the handle of a job, and not of one call"))?;
        Ok(Self::new(read_only(job, stored_at), call))
    }
}
