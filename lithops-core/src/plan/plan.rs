//! [`Plan`]: what a job will start.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Chosen, Prediction, Workload,
    auto::Choice,
    cost::Cost,
    explain::{Warning, advice},
    granularity::Numbers,
    model::{self, Shape},
};
use crate::compute::Granularity;

/// What a job will start: workers, chunks, sub-workers, waves; and the predicted time and price.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    numbers: Numbers,
    warnings: Vec<Warning>,
    prediction: Option<Prediction>,
}

impl Plan {
    pub(super) fn new(numbers: Numbers) -> Self {
        let shape = numbers.shape();
        let prediction =
            numbers.workload.as_deref().map(|workload| shape.predict(&numbers.capabilities, workload));
        let warnings = advice::on(&numbers, prediction.as_ref());
        Self { numbers, warnings, prediction }
    }

    /// The same plan for another number of calls, as more of a lazy input becomes known.
    #[must_use]
    pub fn for_calls(&self, calls: u64) -> Self {
        if calls == self.numbers.calls {
            return self.clone();
        }
        Self::new(Numbers { calls, ..self.numbers.clone() })
    }

    /// The same plan with another workload: its prediction changes, its numbers do not.
    #[must_use]
    pub fn with_workload(&self, workload: Workload) -> Self {
        Self::new(Numbers { workload: Some(Arc::new(workload)), ..self.numbers.clone() })
    }

    /// A new plan for the `left` calls, with what the job has measured. Only numbers that are left to the
    /// planner change.
    #[must_use]
    pub fn replanned(&self, workload: Workload, payload: Option<u64>, left: u64) -> Self {
        let numbers = &self.numbers;
        let auto = (numbers.chosen.0 == Chosen::Auto, numbers.chosen.1 == Chosen::Auto);
        let choice = Choice {
            calls: left,
            worker_processes: Some(numbers.worker_processes),
            // Without a given chunksize, it follows `worker_processes`.
            chunksize: (numbers.chosen.1 == Chosen::Given).then_some(numbers.chunksize),
            auto,
            max_workers: numbers.max_workers,
            objective: numbers.objective,
            payload,
        };
        let Shape { worker_processes, chunksize, .. } = choice.made(&numbers.capabilities, Some(&workload));
        let workload = Some(Arc::new(workload));
        Self::new(Numbers { worker_processes, chunksize, workload, payload, ..numbers.clone() })
    }

    /// How many calls the job has.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.numbers.calls
    }

    /// How many times a chunk is handed over to a worker: ceil(calls / chunksize).
    #[must_use]
    pub fn workers(&self) -> u64 {
        self.numbers.shape().workers()
    }

    /// How many calls each hand-over has, in order: all have `chunksize`, except perhaps the last.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = u64> + use<> {
        let (calls, chunksize) = (self.numbers.calls, self.numbers.chunksize as u64);
        let count = usize::try_from(self.workers()).unwrap_or(usize::MAX);
        (0..count).map(move |index| chunksize.min(calls - index as u64 * chunksize))
    }

    /// How many calls the last chunk has.
    #[must_use]
    pub fn last_chunk(&self) -> u64 {
        self.numbers.calls - self.workers().saturating_sub(1) * self.numbers.chunksize as u64
    }

    /// How many calls one worker is given at a time.
    #[must_use]
    pub fn chunksize(&self) -> usize {
        self.numbers.chunksize
    }

    /// How many calls may run at once in one worker.
    #[must_use]
    pub fn worker_processes(&self) -> usize {
        self.numbers.worker_processes
    }

    /// How many sub-workers one worker starts: no more than it has calls for.
    #[must_use]
    pub fn sub_workers(&self) -> usize {
        let calls = usize::try_from(self.numbers.calls).unwrap_or(usize::MAX);
        // A worker that is fed gets further chunks while it lives, so that its sub-workers are not bounded by
        // one chunk.
        let at_once = if self.is_fed() { calls } else { self.numbers.chunksize.min(calls) };
        self.numbers.worker_processes.min(at_once)
    }

    /// The most workers that live at once, given the number of calls.
    #[must_use]
    pub fn live_workers(&self) -> u64 {
        self.numbers.shape().live()
    }

    /// The most workers that may live at once, for any number of calls.
    #[must_use]
    pub fn max_workers(&self) -> usize {
        self.numbers.max_workers
    }

    /// How many rounds of workers start one after another; at most 1 where live workers are given further
    /// chunks.
    #[must_use]
    pub fn waves(&self) -> u64 {
        if self.is_fed() {
            self.workers().min(1)
        } else {
            self.workers().div_ceil(self.numbers.max_workers as u64)
        }
    }

    /// Advice on the plan; empty when there is none.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The price: known where nothing costs anything, or where a workload is known.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let free = self.numbers.capabilities.price.is_free().then_some(0.0);
        Cost { usd: free.or_else(|| self.prediction.map(|prediction| prediction.usd)) }
    }

    /// Whether the platform charges nothing.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.numbers.capabilities.price.is_free()
    }

    /// The billed time of a worker that was busy for `seconds`, and its price in US dollars without requests.
    #[must_use]
    pub fn bill(&self, seconds: f64) -> (Duration, f64) {
        let capabilities = &self.numbers.capabilities;
        let billed = capabilities.price.billed_seconds(seconds);
        let usd = billed * capabilities.second_usd();
        (Duration::try_from_secs_f64(billed).unwrap_or(Duration::MAX), usd)
    }

    /// What a worker costs in an hour, in US dollars, without requests.
    #[must_use]
    pub fn worker_hour_usd(&self) -> f64 {
        self.numbers.capabilities.second_usd() * 3600.0
    }

    /// The price in US dollars of this many hand-overs, without the time of workers.
    #[must_use]
    pub fn requests_usd(&self, hand_overs: u64) -> f64 {
        hand_overs as f64 * self.numbers.capabilities.price.hand_over_usd()
    }

    /// The predicted time of the job; `None` without a workload.
    #[must_use]
    pub fn makespan(&self) -> Option<Duration> {
        self.prediction.map(|prediction| prediction.makespan)
    }

    /// The predicted time and price; `None` without a workload.
    #[must_use]
    pub fn prediction(&self) -> Option<&Prediction> {
        self.prediction.as_ref()
    }

    /// The workload that the plan was made with; `None` when nothing is known of the calls.
    #[must_use]
    pub fn workload(&self) -> Option<&Workload> {
        self.numbers.workload.as_deref()
    }

    /// The kind of worker that the plan is for.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.numbers.capabilities.granularity
    }

    /// The memory of a worker, in MiB, where the platform sells it; 0 elsewhere.
    #[must_use]
    pub fn worker_memory(&self) -> u64 {
        self.numbers.capabilities.worker_memory
    }

    /// Whether the planner may change the plan while the job runs.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.numbers.chosen.0 == Chosen::Auto || self.numbers.chosen.1 == Chosen::Auto
    }

    /// Whether calls of a worker are known to wait for its vCPUs.
    pub(crate) fn is_crowded(&self) -> bool {
        self.workload().is_some_and(|workload| {
            let (_, crowd) = model::calls_of(&self.numbers.capabilities, workload);
            self.sub_workers() as f64 * crowd > 1.2
        })
    }

    pub(super) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Whether live workers are given chunk after chunk, so that there are fewer workers than chunks.
    #[must_use]
    pub fn is_fed(&self) -> bool {
        self.numbers.capabilities.feed
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, workers, live) = (self.calls(), self.workers(), self.live_workers());
        let (worker_processes, chunksize) = (self.worker_processes(), self.chunksize());
        let many = |count: u64| if count == 1 { "" } else { "s" };
        if self.is_fed() {
            // Few workers live, and each is given many chunks: these are no workers.
            write!(
                f,
                "{calls} calls: {workers} chunk{} of {chunksize}, fed to {live} worker{} x {worker_processes} sub-workers",
                many(workers),
                many(live)
            )?;
        } else {
            let waves = self.waves();
            write!(
                f,
                "{calls} calls: {workers} workers x {worker_processes} sub-workers, chunks of {chunksize}, {live} at once \
                 in {waves} wave{}",
                many(waves)
            )?;
        }
        if let Some(makespan) = self.makespan() {
            write!(f, ", about {}", super::explain::seconds(makespan.as_secs_f64()))?;
        }
        write!(f, ", {}", self.cost())
    }
}
