//! [`LeaseConfig`] and [`Chunks`]: what all participants of a board agree on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What all participants agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseConfig {
    /// How long a beat must stand still until its worker is given up, on the observer's own clock.
    pub lease: Duration,
    /// The pause between two beats, and between two looks at those of others; a quarter of the lease.
    pub beat: Duration,
    /// The pause between two looks of a client for commits.
    pub look: Duration,
    /// How long a worker that was started may take to its first beat.
    pub start: Duration,
    /// How long a worker stays that finds nothing to claim; the client starts others when they are needed.
    pub patience: Duration,
    /// How many epochs may be lost at a call before it is committed as lost.
    pub losses: u32,
}

impl LeaseConfig {
    /// The usual terms with another lease.
    #[must_use]
    pub fn with_lease(lease: Duration) -> Self {
        Self { lease, beat: lease / 4, ..Self::default() }
    }
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            beat: Duration::from_millis(7500),
            look: Duration::from_secs(1),
            start: Duration::from_secs(120),
            patience: Duration::from_secs(300),
            losses: 3,
        }
    }
}

/// The calls of a job, cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    calls: u64,
    chunksize: u64,
}

impl Chunks {
    /// So many calls, so many to a chunk; the last chunk may have fewer.
    #[must_use]
    pub fn new(calls: u64, chunksize: u64) -> Self {
        Self { calls, chunksize: chunksize.max(1) }
    }

    /// How many chunks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.calls.div_ceil(self.chunksize)
    }

    /// The first call of a chunk, and the call after its last.
    #[must_use]
    pub fn calls_of(&self, chunk: u64) -> (u64, u64) {
        let first = chunk.saturating_mul(self.chunksize).min(self.calls);
        (first, first.saturating_add(self.chunksize).min(self.calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_are_the_calls() {
        let chunks = Chunks::new(10, 4);
        assert_eq!(chunks.count(), 3);
        assert_eq!([0, 1, 2].map(|chunk| chunks.calls_of(chunk)), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(Chunks::new(0, 4).count(), 0);
    }
}
