//! [`JobManifest`]: a job as a fleet is told of it.

use serde::{Deserialize, Serialize};

use crate::{
    board::{Chunks, LeaseConfig},
    error::{Error, ErrorKind, Result},
    journal::{Owner, Segment},
    protocol::JobSpec,
    tracker::Policy,
};

/// The form of posts this build writes; it reads this one and none else.
const FORM: u32 = 2;

/// A job as a fleet is told of it: all a worker needs, but for the inputs, of which it has the digests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobManifest {
    form: u32,
    /// Who has put it.
    pub owner: Owner,
    /// What a sub-worker is told of it.
    pub spec: JobSpec,
    /// How many calls.
    pub calls: u64,
    /// Calls per chunk.
    pub chunksize: u64,
    /// Where the inputs are.
    pub segments: Vec<Segment>,
    /// How often a call may be tried.
    pub policy: Policy,
    /// What all participants of its board agree on.
    pub lease_config: LeaseConfig,
}

impl JobManifest {
    /// A post of this build's form.
    #[must_use]
    pub fn new(
        spec: JobSpec,
        (calls, chunksize): (u64, u64),
        segments: Vec<Segment>,
        policy: Policy,
        lease_config: LeaseConfig,
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
        }
    }

    /// The calls, cut into chunks.
    #[must_use]
    pub fn chunks(&self) -> Chunks {
        Chunks::new(self.calls, self.chunksize)
    }

    /// The post before it is signed.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self)
            .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode a post: {error}")))
    }

    /// Reads a post whose signature was checked.
    ///
    /// # Errors
    /// When it is none, or of another form.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = |error: postcard::Error| {
            Error::new(ErrorKind::VersionMismatch, format!("a post of the fleet cannot be read: {error}"))
                .with_hint("client and workers must be of one version of lithops")
        };
        let (form, _): (u32, _) = postcard::take_from_bytes(bytes).map_err(malformed)?;
        if form != FORM {
            return Err(Error::new(
                ErrorKind::VersionMismatch,
                format!("a post of the fleet has form {form}, and this build of lithops reads form {FORM}"),
            )
            .with_hint("client and workers must be of one version of lithops"));
        }
        postcard::from_bytes(bytes).map_err(malformed)
    }
}
