//! The cost model: the time and the price of a granularity.
//!
//! | quantity | how it is computed |
//! |---|---|
//! | a call | its duration and the platform's overhead per call, which calls shorter than 20 us share |
//! | contention | `q` calls at once on `v` vCPUs, each on a CPU for the part `b` of its time, take `max(1, q b / v)` times as long |
//! | an activation | `chunksize` calls on `worker_processes` places, each taking the next call when it is free; the end of the last round comes from the distribution of durations |
//! | the job, workers not fed | activations on as many places as workers may live, the first of each after a cold start, the others after a warm one; workers start no faster than the platform starts them |
//! | the job, workers fed | all calls on the places of all live workers, after a cold start |
//! | a fleet | the same; its chunks are claimed and committed by two writes each, of which a storage takes some thousands in a second, and a worker ends one look after its job |
//! | workers that may be taken away | half a chunk is run again after the start of another worker, as often as that happens |
//! | starting sub-workers | the CPU time each takes, on the worker's vCPUs |
//! | money | requests, and the billed time of each activation (or of each worker's life, for virtual machines, fed workers and fleets) in the platform's steps |
//!
//! The model leaves out that inputs take time to travel, that machines differ, and that platforms have good
//! and bad hours. `lithops plan --simulate` plays the same job event by event, without the shortcuts.

use std::time::Duration;

use super::{Durations, Workload};
use crate::compute::Capabilities;

/// A granularity, with the number of calls and the limit on workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) calls: u64,
    pub(super) worker_processes: usize,
    pub(super) chunksize: usize,
    pub(super) max_workers: usize,
}

/// The predicted time and price of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// From the start of the job until its last call has ended.
    pub makespan: Duration,
    /// How long a worker works on one chunk.
    pub activation: Duration,
    /// The billed time of all workers together.
    pub billed: Duration,
    /// The part of the sub-workers' time in which they run calls, from 0 to 1.
    pub utilisation: f64,
    /// The price in US dollars.
    pub usd: f64,
}

impl Shape {
    pub(super) fn workers(&self) -> u64 {
        self.calls.div_ceil(self.chunksize as u64)
    }

    pub(super) fn live(&self) -> u64 {
        self.workers().min(self.max_workers as u64)
    }

    /// How many calls run at once in one worker.
    pub(super) fn at_once(&self, fed: bool) -> f64 {
        let live = self.live().max(1);
        let most = if fed { self.calls.div_ceil(live) } else { self.calls.min(self.chunksize as u64) };
        (self.worker_processes as f64).min(most as f64)
    }

    pub(super) fn predict(&self, capabilities: &Capabilities, workload: &Workload) -> Prediction {
        let (startup, price) = (&capabilities.startup, &capabilities.price);
        let (workers, live) = (self.workers() as f64, self.live() as f64);
        if self.calls == 0 {
            let none = Duration::ZERO;
            return Prediction { makespan: none, activation: none, billed: none, utilisation: 0.0, usd: 0.0 };
        }
        let at_once = self.at_once(capabilities.feed);
        let (durations, crowd) = calls_of(capabilities, workload);
        let cpus = capabilities.worker_cpus;
        let starting = startup.sub_worker.as_secs_f64() * (at_once / cpus).max(1.0 / cpus.min(1.0));
        let queueing = startup.per_second.map_or(0.0, |rate| live / rate);
        let cold = startup.cold.as_secs_f64();
        let first = cold + queueing;

        let (makespan, activation, billed);
        if capabilities.feed {
            // While later sub-workers start, earlier ones run calls already, unless there is only one round,
            // or the CPUs are the bottleneck.
            let rounds = self.calls as f64 / (live * at_once);
            let alone = if at_once * crowd >= 1.0 { 1.0 } else { (1.5 - rounds / 2.0).clamp(0.5, 1.0) };
            // Sub-workers that start one after another are out of step.
            let apart = if alone < 1.0 && rounds > 1.0 { starting.min(durations.mean()) / 2.0 } else { 0.0 };
            makespan = first
                + starting * alone
                + apart
                + durations.makespan(self.calls as f64, live * at_once, crowd / live);
            activation = durations.makespan((self.chunksize as f64).min(self.calls as f64), at_once, crowd);
            billed = live * price.billed_seconds(makespan);
        } else {
            let calls = self.chunksize as f64;
            let calls = calls.min(self.calls as f64);
            let each = durations.makespan(calls, at_once, crowd);
            let spread = Spread::of(&durations, calls, at_once, each);
            activation = each + starting;
            let waves = (workers / live).ceil();
            let running = (waves - 1.0) * startup.warm.as_secs_f64()
                + spread.makespan(workers, live)
                + waves * starting;
            makespan = first + on_platform(running, workers, activation, capabilities);
            let start = if price.bills_startup { (cold * live) / workers } else { 0.0 };
            // The last chunk may be shorter, and is billed by its own length.
            let whole = self.calls as f64 / calls;
            billed = if capabilities.bills_lifetime() {
                live * price.billed_seconds(makespan + tail(capabilities))
            } else {
                whole * (price.billed_seconds(activation) + start)
                    + (workers - whole) * price.minimum.as_secs_f64()
            };
        }
        let usd = workers * price.hand_over_usd() + billed * capabilities.second_usd();
        let (places, stretch) = (live * at_once, (at_once * crowd).max(1.0));
        Prediction {
            makespan: span(makespan),
            activation: span(activation),
            billed: span(billed),
            utilisation: (self.calls as f64 * durations.mean() * stretch / (places * makespan))
                .clamp(0.0, 1.0),
            usd,
        }
    }
}

/// How often a chunk of a fleet is written to the storage at least: a claim, and its commit.
const CHUNK_WRITES: f64 = 2.0;
/// How many writes in a second a storage takes below one prefix: S3 says 3,500, of which some are for heartbeats.
const BOARD_WRITES_PER_SECOND: f64 = 3000.0;

/// The time in which this many chunks are done, each in `activation` seconds, where they would take `running` seconds if
/// the storage took every write at once and no worker were taken away.
pub(super) fn on_platform(running: f64, chunks: f64, activation: f64, capabilities: &Capabilities) -> f64 {
    let on_board = capabilities.pull.map_or(0.0, |_| chunks * CHUNK_WRITES / BOARD_WRITES_PER_SECOND);
    let start = capabilities.startup.cold.as_secs_f64();
    running.max(on_board) * capabilities.spot.map_or(1.0, |spot| spot.stretch(activation, start))
}

/// How many seconds a worker lives on after the job of a program that ends with it: until it sees that the fleet is closed.
pub(super) fn tail(capabilities: &Capabilities) -> f64 {
    capabilities.pull.map_or(0.0, |pull| pull.look.as_secs_f64())
}

/// How long a chunk should take at least on a fleet of this many workers, so that the storage takes their writes.
pub(super) fn least_on_board(workers: u64) -> Duration {
    span(workers as f64 * CHUNK_WRITES / BOARD_WRITES_PER_SECOND)
}

/// The part of a worker's time limit that a chunk may be planned for: predictions are not exact.
const OF_TIMEOUT: f64 = 0.8;

/// The durations of calls with their overhead, and the part of a worker's vCPUs that each call needs.
pub(super) fn calls_of(capabilities: &Capabilities, workload: &Workload) -> (Durations, f64) {
    let overhead = overhead(capabilities, workload);
    let mean = workload.durations.mean() + overhead;
    let on_cpu = workload.durations.mean() * workload.cpu_share + overhead;
    (workload.durations.stretched(1.0, overhead), on_cpu / mean / capabilities.worker_cpus)
}

/// The overhead of a call, in seconds. Very short calls travel together, about a millisecond of them at a
/// time.
pub(super) fn overhead(capabilities: &Capabilities, workload: &Workload) -> f64 {
    // As the worker's pool makes batches: calls shorter than 20 us travel together, about 1 ms of them, and
    // each then costs 0.3 us.
    const SHORT: f64 = 20e-6;
    const BATCH: f64 = 1e-3;
    const EACH: f64 = 0.3e-6;
    let (overhead, mean) = (capabilities.call_overhead.as_secs_f64(), workload.durations.mean());
    if mean < SHORT { overhead * mean / BATCH + EACH } else { overhead }
}

/// How many calls fit into the time a worker may run, with a reserve; `None` where not even one call fits.
pub(super) fn fitting(
    limit: Duration,
    capabilities: &Capabilities,
    workload: &Workload,
    at_once: f64,
) -> Option<u64> {
    let (durations, crowd) = calls_of(capabilities, workload);
    let slowed = durations.stretched((at_once * crowd).max(1.0), 0.0);
    let room = limit.as_secs_f64() * OF_TIMEOUT - slowed.longest();
    (room > 0.0).then(|| ((room / slowed.mean() * at_once) as u64).max(1))
}

/// A normal distribution as a few points, finer towards the end: the share of smaller values, the distance
/// from the mean in deviations, and the weight of the point.
const SHARES: [(f64, f64, f64); 16] = [
    (0.01, -2.326, 0.02),
    (0.045, -1.695, 0.05),
    (0.12, -1.175, 0.1),
    (0.22, -0.772, 0.1),
    (0.32, -0.468, 0.1),
    (0.42, -0.202, 0.1),
    (0.52, 0.05, 0.1),
    (0.62, 0.305, 0.1),
    (0.72, 0.583, 0.1),
    (0.81, 0.878, 0.08),
    (0.88, 1.175, 0.06),
    (0.93, 1.476, 0.04),
    (0.965, 1.812, 0.03),
    (0.987, 2.226, 0.014),
    (0.9965, 2.697, 0.005),
    (0.9995, 3.291, 0.001),
];

/// How much the durations of activations differ.
enum Spread {
    /// The activations differ too little to matter; each takes this many seconds.
    Alike(f64),
    Different(Durations),
}

impl Spread {
    /// The spread of activations with `calls` calls on `places` places, which take `mean` seconds on the
    /// average.
    fn of(durations: &Durations, calls: f64, places: f64, mean: f64) -> Self {
        if durations.deviation() < durations.mean() * 1e-6 {
            return Self::Alike(mean);
        }
        // The last round varies as its longest call does. The rounds before it are a sum, whose deviation
        // grows with the square root of the rounds, and which is ever more like a normal distribution.
        let last = calls.min(places);
        let before = (calls - last) / places;
        let of_last = |share: f64| durations.quantile(share.powf(1.0 / last));
        let longest = durations.longest_of(last);
        let points = SHARES.map(|(share, normal, weight)| (of_last(share) - longest, normal, weight));
        let variance: f64 = points.iter().map(|(off, _, weight)| off * off * weight).sum();
        let deviation = (variance + before / places * durations.deviation().powi(2)).sqrt();
        let single = (variance.sqrt() / deviation).clamp(0.0, 1.0);
        let least = mean * 0.1;
        let points = points.map(|(off, normal, weight)| {
            let off = off / variance.sqrt().max(1e-12) * single + normal * (1.0 - single);
            ((mean + off * deviation).max(least), weight)
        });
        Durations::weighted(points).map_or(Self::Alike(mean), Self::Different)
    }

    fn makespan(&self, activations: f64, workers: f64) -> f64 {
        match self {
            Self::Alike(each) => (activations / workers).ceil() * each,
            Self::Different(durations) => durations.makespan(activations, workers, 0.0),
        }
    }
}

fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
