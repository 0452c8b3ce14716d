//! [`Price`]: the price of workers, as platforms bill them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The price of workers. A part that is not charged is 0; workers are free when all parts are 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Price {
    /// US dollars for each activation.
    pub request_usd: f64,
    /// US dollars per second for each GiB of a worker's memory.
    pub gb_second_usd: f64,
    /// US dollars per second for each vCPU of a worker.
    pub vcpu_second_usd: f64,
    /// US dollars for each hour of a worker, independent of its size.
    pub worker_hour_usd: f64,
    /// US dollars for each hour of the public address that a worker has; it is never cheaper.
    #[serde(default)]
    pub address_hour_usd: f64,
    /// US dollars for each hour of the disks that a worker has; they are never cheaper either.
    #[serde(default)]
    pub disk_hour_usd: f64,
    /// US dollars for the requests to the storage that each chunk of a fleet costs.
    #[serde(default)]
    pub chunk_usd: f64,
    /// Time is billed in steps of this; exactly when it is 0.
    pub increment: Duration,
    /// The least time that is billed.
    pub minimum: Duration,
    /// Whether the time a worker takes to start is billed too.
    pub bills_startup: bool,
}

impl Price {
    /// Whether workers are free.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let times = [
            self.gb_second_usd,
            self.vcpu_second_usd,
            self.worker_hour_usd,
            self.address_hour_usd,
            self.disk_hour_usd,
        ];
        times == [0.0; 5] && self.hand_over_usd() <= 0.0
    }

    /// The seconds that are billed for a worker that was busy for `seconds`.
    #[must_use]
    pub fn billed_seconds(&self, seconds: f64) -> f64 {
        let increment = self.increment.as_secs_f64();
        // Without the tolerance, rounding errors of a sum could add a whole step.
        let stepped = if increment > 0.0 { (seconds / increment - 1e-9).ceil() * increment } else { seconds };
        stepped.max(self.minimum.as_secs_f64()).max(0.0)
    }

    /// US dollars for each chunk that is handed over, beside the time of workers.
    #[must_use]
    pub fn hand_over_usd(&self) -> f64 {
        self.request_usd + self.chunk_usd
    }

    /// US dollars for an hour of what comes with a worker, its address and its disks: these are no cheaper where workers are.
    #[must_use]
    pub fn extras_hour_usd(&self) -> f64 {
        self.address_hour_usd + self.disk_hour_usd
    }

    /// US dollars for one billed second of a worker with this memory and these vCPUs.
    #[must_use]
    pub fn second_usd(&self, memory_mb: u64, vcpus: f64) -> f64 {
        self.gb_second_usd * memory_mb as f64 / 1024.0
            + self.vcpu_second_usd * vcpus
            + self.worker_hour_usd / 3600.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_billed_in_steps_and_no_less_than_the_minimum() {
        let price = Price {
            increment: Duration::from_millis(100),
            minimum: Duration::from_secs(1),
            ..Price::default()
        };
        assert!((price.billed_seconds(0.2) - 1.0).abs() < 1e-9);
        assert!((price.billed_seconds(1.21) - 1.3).abs() < 1e-9);
        assert!((price.billed_seconds(1.3) - 1.3).abs() < 1e-9, "a whole step is not rounded up");
        assert!((Price::default().billed_seconds(0.25) - 0.25).abs() < 1e-9);
    }
}
