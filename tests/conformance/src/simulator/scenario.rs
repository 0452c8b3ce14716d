//! [`Scenario`]: what a seed decides before the run.

use std::time::Duration;

use lithops_core::{
    compute::{CancelLevel, Capabilities, Liveness, Reports},
    plan::{Count, Plan, PlanRequest},
    tracker::Policy,
};

use super::random::Random;

/// How a backend hands out calls and reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Live workers are given further chunks, and stream their reports; the platform tells of their ends.
    Fed,
    /// One chunk per worker, and reports as they come.
    Streamed,
    /// One chunk per worker, and one reply with everything.
    Buffered,
}

/// What becomes of the client of a durable job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It sees the job through.
    Lives,
    /// It is killed, and another attaches, so long after the start each.
    Killed(Duration, Duration),
    /// It lives, and another attaches as well, so long after the start.
    Watched(Duration),
}

/// What a seed decides: the job, the backend, the odds of every fault. Odds are per thousand.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How the backend works.
    pub shape: Shape,
    /// How many calls.
    pub calls: u64,
    /// Calls at once in a worker.
    pub worker_processes: usize,
    /// Calls given to a worker at a time.
    pub chunksize: usize,
    /// Workers at once.
    pub max_workers: usize,
    /// How often calls may be tried.
    pub policy: Policy,
    /// Whether the job is cancelled on its way.
    pub cancelled_after: Option<Duration>,
    /// An invoke is refused for now.
    pub throttled: u64,
    /// A worker never starts.
    pub never_starts: u64,
    /// A worker dies before it reports what it has done.
    pub dies_before_report: u64,
    /// A worker dies after a report.
    pub dies_after_report: u64,
    /// A report comes twice.
    pub repeated: u64,
    /// A report comes late, perhaps after the lease.
    pub delayed: u64,
    /// A report comes after the one that was sent after it.
    pub reordered: u64,
    /// A report never comes, where a worker's end is told of all the same.
    pub lost: u64,
    /// A storage operation fails, before or after it has had its effect.
    pub storage_errors: u64,
    /// Whether the storage is broken: it replaces outcomes that are stored already. The simulator must notice.
    pub overwrites: bool,
    /// How far the clocks of workers and storage are from the client's, in seconds.
    pub skew: i64,
    /// Whether the slowest calls are tried by a second worker.
    pub speculate: bool,
    /// What becomes of its client, when the job is durable.
    pub durable: Option<Fate>,
    /// A worker is fifty times slower than the others.
    pub slow: u64,
    /// A call fails, unless it has been tried often enough.
    pub failing: u64,
    /// A call kills each worker it runs in; per ten thousand.
    pub poisonous: u64,
    /// Whether its granularity is tuned while it runs.
    pub auto: bool,
}

impl Scenario {
    /// What a seed decides.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shapes = [Shape::Fed, Shape::Streamed, Shape::Buffered];
        let shape = shapes[usize::try_from(seed % 3).unwrap_or(0)];
        // Every fourth run has no faults at all, and must be perfect.
        let faulty = !random.happens(250);
        let mut odds = |most: u64| if faulty && random.happens(600) { random.below(most) } else { 0 };
        let (throttled, never_starts, dies_before_report) = (odds(400), odds(150), odds(120));
        let (dies_after_report, repeated, delayed) = (odds(120), odds(300), odds(150));
        let (slow, failing, poisonous) = (odds(200), odds(200), odds(60));
        let (reordered, lost, storage_errors) = (odds(150), odds(60), odds(150));
        let skew = i64::try_from(odds(200_000)).unwrap_or(0) - 100_000;
        let moment = |random: &mut Random| Duration::from_millis(random.below(20_000));
        let fate = match random.below(10) {
            0..=4 => Fate::Lives,
            5..=7 if faulty => {
                let killed = moment(&mut random);
                Fate::Killed(killed, killed + moment(&mut random))
            }
            5..=7 => Fate::Lives,
            _ => Fate::Watched(moment(&mut random)),
        };
        let durable = random.happens(450).then_some(fate);
        let speculate = faulty && random.happens(200);
        let retries = u32::try_from(random.below(4)).unwrap_or(0);
        let cancelled = random.happens(100);
        let many = if random.happens(200) { 2000 } else { 200 };
        Self {
            seed,
            shape,
            calls: 1 + random.below(many),
            worker_processes: 1 + random.below(8) as usize,
            chunksize: 1 + random.below(24) as usize,
            max_workers: 1 + random.below(12) as usize,
            policy: Policy { retries, losses: 8, ..Policy::default() },
            cancelled_after: cancelled.then(|| Duration::from_millis(random.below(3000))),
            throttled,
            never_starts,
            dies_before_report,
            dies_after_report,
            repeated,
            delayed,
            reordered,
            lost,
            storage_errors,
            overwrites: false,
            skew,
            speculate,
            durable,
            slow,
            failing,
            poisonous,
            // Chunks of a durable job stay as they are.
            auto: durable.is_none() && random.happens(300),
        }
    }

    /// The backend's capabilities.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::local(4);
        capabilities.max_workers = 1 << 20;
        match self.shape {
            Shape::Fed => {}
            Shape::Streamed => {
                capabilities.feed = false;
                capabilities.liveness = Liveness::ResponseOnly;
                capabilities.timeout_limit = Some(Duration::from_secs(60));
            }
            Shape::Buffered => {
                capabilities.feed = false;
                capabilities.reports = Reports::Buffered;
                capabilities.liveness = Liveness::ResponseOnly;
                capabilities.timeout_limit = Some(Duration::from_secs(60));
                capabilities.cancel = CancelLevel::Activation;
            }
        }
        capabilities
    }

    /// The plan of its job.
    ///
    /// # Errors
    /// When a number is over its limit.
    pub fn plan(&self, capabilities: &Capabilities) -> lithops_core::error::Result<Plan> {
        let count = |count| Some(if self.auto { Count::Auto } else { Count::Exactly(count) });
        PlanRequest {
            worker_processes: count(self.worker_processes),
            chunksize: count(self.chunksize),
            max_workers: Some(self.max_workers),
            ..PlanRequest::new(self.calls, capabilities)
        }
        .plan()
    }

    /// Whether calls may be tried more than once.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        let deaths = self.never_starts + self.dies_before_report + self.dies_after_report + self.lost;
        let late = self.delayed + self.storage_errors;
        deaths + late + self.failing + self.poisonous > 0 || self.speculate || self.durable.is_some()
    }

    /// Takes all faults away.
    pub fn spare(&mut self) {
        (self.throttled, self.never_starts, self.dies_before_report) = (0, 0, 0);
        (self.dies_after_report, self.repeated, self.delayed) = (0, 0, 0);
        (self.reordered, self.lost, self.storage_errors) = (0, 0, 0);
        (self.slow, self.failing, self.poisonous) = (0, 0, 0);
        (self.cancelled_after, self.speculate) = (None, false);
        if let Some(Fate::Killed(..)) = self.durable {
            self.durable = Some(Fate::Lives);
        }
    }

    /// How often a call fails before it returns, however often it is tried.
    #[must_use]
    pub fn failures_of(&self, call: u64) -> u32 {
        let mut random = Random::new(self.seed ^ call.wrapping_mul(0x5851_f42d_4c95_7f2d));
        if random.happens(self.failing) { 1 + u32::try_from(random.below(5)).unwrap_or(0) } else { 0 }
    }

    /// Whether a call kills its workers.
    #[must_use]
    pub fn is_poisonous(&self, call: u64) -> bool {
        let mut random = Random::new(!self.seed ^ call.wrapping_mul(0x2545_f491_4f6c_dd1d));
        random.below(10_000) < self.poisonous
    }
}
