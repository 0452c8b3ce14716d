//! [`ToPool`]: the socket between the part of a worker that finds calls and its pool, which runs them.

use lithops_core::protocol::{FrameReader, Incoming, Outbox};

/// The client's end of the socket to the pool of this process.
#[derive(Debug)]
pub(super) struct ToPool {
    /// For jobs and calls.
    pub(super) outbox: Outbox,
    /// Logs and reports.
    pub(super) frames: FrameReader<Incoming>,
}
