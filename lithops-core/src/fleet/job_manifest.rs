//! [`JobManifest`]: the description of a job for the workers of a fleet.

use serde::{Deserialize, Serialize};

use crate::{
    board::{Chunks, LeaseConfig},
    error::{Error, ErrorKind, Result},
    journal::{Owner, Segment},
    protocol::{JobSpec, ProgramId},
    tracker::Policy,
};

/// The version of the manifest's form. This build writes and reads only this one.
const FORM: u32 = 3;

/// The description of a job for the workers of a fleet: all that a worker needs but the inputs, of
/// which the manifest has the digests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobManifest {
    form: u32,
    /// The process that stored the manifest.
    pub owner: Owner,
    /// The description of the job for sub-workers.
    pub spec: JobSpec,
    /// The number of calls of the job.
    pub calls: u64,
    /// The number of calls per chunk; the last chunk may have fewer.
    pub chunksize: u64,
    /// The objects with the inputs, in order.
    pub segments: Vec<Segment>,
    /// The retry policy of the job's calls.
    pub policy: Policy,
    /// The lease and the related times of the job's board.
    pub lease_config: LeaseConfig,
    /// Whether the fleet goes on with the job when its client is gone.
    pub detached: bool,
    /// The program that runs the calls; `None` where the worker itself is that program.
    pub program: Option<ProgramId>,
}

impl JobManifest {
    /// A manifest in this build's form, owned by this process.
    #[must_use]
    pub fn new(
        spec: JobSpec,
        (calls, chunksize): (u64, u64),
        segments: Vec<Segment>,
        policy: Policy,
        lease_config: LeaseConfig,
        (detached, program): (bool, Option<ProgramId>),
    ) -> Self {
        Self {
            form: FORM,
            owner: Owner::this_process(),
            spec,
            calls,
            chunksize,
            segments,
            policy,
            lease_config,
            detached,
            program,
        }
    }

    /// How the calls are divided into chunks.
    #[must_use]
    pub fn chunks(&self) -> Chunks {
        Chunks::new(self.calls, self.chunksize)
    }

    /// The encoded manifest, before it is signed.
    ///
    /// # Errors
    /// When the manifest cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot encode a job manifest: {error}"))
        })
    }

    /// Decodes a manifest. The caller must have checked its signature.
    ///
    /// # Errors
    /// `VersionMismatch` when the bytes are not a manifest, or one of another form.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = |error: postcard::Error| {
            Error::new(
                ErrorKind::VersionMismatch,
                format!("a job manifest of the fleet cannot be read: {error}"),
            )
            .with_hint("client and workers must be of one version of lithops")
        };
        let (form, _): (u32, _) = postcard::take_from_bytes(bytes).map_err(malformed)?;
        if form != FORM {
            return Err(Error::new(
                ErrorKind::VersionMismatch,
                format!(
                    "a job manifest of the fleet has form {form}, and this build of lithops reads form {FORM}"
                ),
            )
            .with_hint("client and workers must be of one version of lithops"));
        }
        postcard::from_bytes(bytes).map_err(malformed)
    }
}
