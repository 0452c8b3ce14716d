//! [`Plan`]: what will be started, before anything is.

use std::fmt;

use super::Warning;
use crate::compute::{Granularity, Price};

/// What a job will start: workers, chunks, sub-workers, waves.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan(Numbers);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) calls: u64,
    pub(super) worker_processes: usize,
    pub(super) chunksize: usize,
    pub(super) max_workers: usize,
    pub(super) fed: bool,
    pub(super) granularity: Granularity,
    pub(super) price: Price,
    pub(super) warnings: Vec<Warning>,
}

impl Plan {
    pub(super) fn new(numbers: Numbers) -> Self {
        Self(numbers)
    }

    /// The same plan for another number of calls, as more of a lazy input becomes known.
    #[must_use]
    pub fn for_calls(&self, calls: u64) -> Self {
        Self(Numbers { calls, ..self.0.clone() })
    }

    /// How many calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls
    }

    /// How many times a chunk is handed over to a worker: ceil(calls / chunksize).
    #[must_use]
    pub fn workers(&self) -> u64 {
        self.0.calls.div_ceil(self.0.chunksize as u64)
    }

    /// The chunks: how many calls each hand-over has, in order; all have `chunksize` but perhaps the last.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = u64> + use<> {
        let (calls, chunksize) = (self.0.calls, self.0.chunksize as u64);
        let count = usize::try_from(self.workers()).unwrap_or(usize::MAX);
        (0..count).map(move |index| chunksize.min(calls - index as u64 * chunksize))
    }

    /// Calls given to one worker at a time.
    #[must_use]
    pub fn chunksize(&self) -> usize {
        self.0.chunksize
    }

    /// How many calls may run at once in one worker.
    #[must_use]
    pub fn worker_processes(&self) -> usize {
        self.0.worker_processes
    }

    /// How many sub-workers one worker starts: no more than it has calls for.
    #[must_use]
    pub fn sub_workers(&self) -> usize {
        let calls = usize::try_from(self.0.calls).unwrap_or(usize::MAX);
        // A worker that is fed gets further chunks while it lives, so that a chunk is no bound.
        let at_once = if self.0.fed { calls } else { self.0.chunksize.min(calls) };
        self.0.worker_processes.min(at_once)
    }

    /// How many workers live at once, at the most.
    #[must_use]
    pub fn live_workers(&self) -> u64 {
        self.workers().min(self.0.max_workers as u64)
    }

    /// How many workers may live at once, whatever the number of calls.
    #[must_use]
    pub fn live_workers_limit(&self) -> u64 {
        self.0.max_workers as u64
    }

    /// How many rounds of workers start one after another; 1 where a live worker is given further chunks.
    #[must_use]
    pub fn waves(&self) -> u64 {
        if self.0.fed { self.workers().min(1) } else { self.workers().div_ceil(self.0.max_workers as u64) }
    }

    /// What would be better.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// What it will cost.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self.0.price {
            Price::Free => Cost { usd: 0.0 },
        }
    }

    /// What kind of worker it is for.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.0.granularity
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls: {} workers x {} sub-workers, chunks of {}",
            self.calls(),
            self.workers(),
            self.worker_processes(),
            self.chunksize()
        )?;
        let live = self.live_workers();
        if self.0.fed {
            write!(f, ", fed to {live} live worker{}", if live == 1 { "" } else { "s" })?;
        } else {
            let waves = self.waves();
            write!(f, ", {live} at once in {waves} wave{}", if waves == 1 { "" } else { "s" })?;
        }
        write!(f, ", {}", self.cost())
    }
}

/// What a job costs, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// US dollars.
    pub usd: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.usd == 0.0 { f.write_str("free") } else { write!(f, "${:.4}", self.usd) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{compute::Capabilities, plan::PlanRequest};

    fn plan(calls: u64, worker_processes: usize, chunksize: Option<usize>) -> Plan {
        let capabilities = Capabilities::local(4);
        PlanRequest {
            calls,
            worker_processes: Some(worker_processes),
            chunksize,
            max_workers: None,
            capabilities: &capabilities,
        }
        .plan()
        .expect("a plan")
    }

    #[test]
    fn the_numbers_of_the_seed() {
        let seed = plan(200, 4, Some(8));
        assert_eq!((seed.workers(), seed.worker_processes(), seed.chunksize()), (25, 4, 8));
        assert_eq!(plan(200, 4, None).workers(), 50);
        assert_eq!(plan(100, 4, None).workers(), 25);
        assert_eq!(plan(100, 1, None).workers(), 100);
    }

    #[test]
    fn zero_is_refused_and_the_message_says_what_to_write() {
        let capabilities = Capabilities::local(4);
        let request = PlanRequest {
            calls: 1,
            worker_processes: Some(0),
            chunksize: None,
            max_workers: None,
            capabilities: &capabilities,
        };
        let error = request.plan().expect_err("refused").to_string();
        assert!(error.contains("`worker_processes` is 0") && error.contains("from 1 to"), "{error}");
        let error = PlanRequest { worker_processes: None, chunksize: Some(0), ..request }
            .plan()
            .expect_err("refused");
        assert!(error.to_string().contains("`chunksize` is 0"), "{error}");
    }

    proptest! {
        #[test]
        fn every_call_is_in_exactly_one_chunk(calls in 0u64..5000, processes in 1usize..70, size in 1usize..300) {
            let plan = plan(calls, processes, Some(size));
            prop_assert_eq!(plan.chunks().sum::<u64>(), calls);
            prop_assert_eq!(plan.chunks().len() as u64, calls.div_ceil(size as u64));
            prop_assert_eq!(plan.chunks().len() as u64, plan.workers());
            prop_assert!(plan.chunks().all(|chunk| chunk >= 1 && chunk <= size as u64));
            let full = plan.chunks().filter(|chunk| *chunk == size as u64).count() as u64;
            prop_assert!(plan.workers() - full <= 1, "only the last chunk may be shorter");
        }
    }
}
