//! [`ProgramId`]: which program runs the calls of a fleet's job.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

/// Which program runs the calls of a fleet's job. It stands in the signed manifest, so that a worker that fetches the
/// program from the storage knows it by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramId {
    /// The digest of the bytes that are executed.
    pub digest: Digest,
    /// The number of these bytes.
    pub len: u64,
    /// The arguments that the program is started with.
    pub arguments: Vec<OsString>,
}

impl ProgramId {
    /// The id as JSON.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot encode which program is to run: {error}"))
        })
    }
}
