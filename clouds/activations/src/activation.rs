//! [`Activation`]: a request that is made once, and what it is allowed.

use std::time::Duration;

use bytes::Bytes;
use lithops_core::{
    artifact::ProgramRef,
    compute::{InvokeRequest, encode_request},
    error::Result,
    id::ActivationId,
};

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a worker may take to say hello: its start, and the time that the platform lets a request wait.
    pub start: Duration,
    /// How often at least a worker sends something.
    pub heartbeat: Duration,
    /// After this time without a frame the worker is lost: some heartbeats.
    pub silence: Duration,
    /// How long the calls may run; the worker ends what takes longer. `None` where there is no limit.
    pub run: Option<Duration>,
}

impl Limits {
    /// A heartbeat every 15 s, and a loss after three that are missing.
    #[must_use]
    pub fn new(start: Duration, run: Option<Duration>) -> Self {
        Self { start, heartbeat: Duration::from_secs(15), silence: Duration::from_secs(45), run }
    }
}

/// A request, encoded.
#[derive(Debug)]
pub struct Activation {
    /// The activation of its first calls.
    pub id: ActivationId,
    /// Whether its calls must not begin a second time.
    pub once: bool,
    pub(crate) frames: Bytes,
    pub(crate) limits: Limits,
}

impl Activation {
    /// The request to run calls of a program.
    ///
    /// # Errors
    /// When the request cannot be encoded.
    pub fn new(running: &ProgramRef, request: &InvokeRequest, limits: Limits) -> Result<Self> {
        // The limit travels as a header: it counts from the arrival of the request.
        let mut request = request.clone();
        request.time_limit = None;
        let frames = encode_request(running, &request)?.into();
        Ok(Self { id: request.activation(), once: request.job.at_most_once, frames, limits })
    }
}
