//! [`Price`]: what workers cost, as platforms bill them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What workers cost. Every part that is not charged is 0; all of them 0 is free.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Price {
    /// US dollars for each activation.
    pub request_usd: f64,
    /// US dollars for each GiB of a worker's memory and second.
    pub gb_second_usd: f64,
    /// US dollars for each vCPU of a worker and second.
    pub vcpu_second_usd: f64,
    /// US dollars for each hour of a worker, whatever it has.
    pub worker_hour_usd: f64,
    /// Time is billed in steps of this.
    pub increment: Duration,
    /// No less time than this is billed.
    pub minimum: Duration,
    /// Whether the time a worker takes to start is billed too.
    pub bills_startup: bool,
}

impl Price {
    /// Whether nothing costs anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        [self.request_usd, self.gb_second_usd, self.vcpu_second_usd, self.worker_hour_usd] == [0.0; 4]
    }

    /// The seconds that are billed for a worker that was busy for so many.
    #[must_use]
    pub fn billed_seconds(&self, seconds: f64) -> f64 {
        let increment = self.increment.as_secs_f64();
        // A sum of fractions may lie a hair above a whole step.
        let stepped = if increment > 0.0 { (seconds / increment - 1e-9).ceil() * increment } else { seconds };
        stepped.max(self.minimum.as_secs_f64()).max(0.0)
    }

    /// US dollars for one billed second of a worker.
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
