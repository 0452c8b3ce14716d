//! [`LeaseConfig`] and [`Chunks`]: the settings that all participants of a board share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The lease and its related times. All participants of a board must use the same values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseConfig {
    /// How long a beat must stay unchanged, on the observer's own clock, before its worker counts as gone.
    pub lease: Duration,
    /// The pause between two heartbeats, and between two readings of the beats of others. A quarter
    /// of the lease by default.
    pub beat: Duration,
    /// The longest pause between two looks of a client for new commits.
    pub look: Duration,
    /// How long a worker without a chunk to claim stays, at least twice the lease. The client starts new workers when
    /// they are needed.
    pub patience: Duration,
    /// How long a client may be silent until its workers end by themselves.
    pub orphan: Duration,
    /// How long calls may run on in a worker that was told to leave. It counts in the launch document.
    pub grace: Duration,
    /// How many epochs may end at a call: if more epochs end at it, the call is committed as lost.
    pub losses: u32,
}

impl LeaseConfig {
    /// The settings for a fleet of this many workers: beyond a hundred workers the lease and the heartbeat interval
    /// grow with the fleet, up to four times as long at a thousand, because heartbeats are most of what an idle board
    /// costs. A lost worker's chunk then waits longer, while the other workers go on.
    #[must_use]
    pub fn for_workers(self, workers: u64) -> Self {
        let times = u32::try_from(workers.div_ceil(250).clamp(1, 4)).unwrap_or(1);
        let times = if workers <= 100 { 1 } else { times.max(2) };
        Self { lease: self.lease * times, beat: self.beat * times, ..self }.with_patience()
    }

    /// The default settings with another lease, and a quarter of that lease as the heartbeat interval.
    #[must_use]
    pub fn with_lease(lease: Duration) -> Self {
        Self { lease, beat: lease / 4, ..Self::default() }.with_patience()
    }

    /// The same settings with so much patience that a worker without a chunk sees a lease expire.
    fn with_patience(self) -> Self {
        Self { patience: self.patience.max((self.lease + self.beat) * 2), ..self }
    }
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            beat: Duration::from_millis(7500),
            look: Duration::from_secs(1),
            patience: Duration::from_secs(300),
            orphan: Duration::from_secs(600),
            grace: Duration::from_secs(25),
            losses: 3,
        }
    }
}

/// How the calls of a job are divided into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    calls: u64,
    chunksize: u64,
}

impl Chunks {
    /// `calls` calls in chunks of `chunksize` calls (at least 1). The last chunk may have fewer.
    #[must_use]
    pub fn new(calls: u64, chunksize: u64) -> Self {
        Self { calls, chunksize: chunksize.max(1) }
    }

    /// The number of chunks of the job.
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
