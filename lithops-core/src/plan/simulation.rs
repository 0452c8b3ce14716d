//! [`simulate`]: plays a plan event by event, with durations drawn from their distribution.
//!
//! Unlike the cost model, the simulation takes no averages: every call gets a duration, waits and computes,
//! and shares the vCPUs of its worker with the other calls that compute at that moment.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use super::{Plan, Workload, model};
use crate::{
    compute::Capabilities,
    error::{Error, ErrorKind, Result},
};

/// The most calls that are played, all runs together: more would take too long.
const MOST_CALLS: u64 = 50_000_000;

/// The results of playing a plan several times.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Simulation {
    /// How long each run took, the shortest first.
    pub makespans: Vec<Duration>,
    /// The part of the sub-workers' time in which they ran calls, on the average.
    pub utilisation: f64,
    /// The time of all workers that was billed, on the average.
    pub billed: Duration,
    /// The price in US dollars, on the average.
    pub usd: f64,
}

impl Simulation {
    /// The median of the makespans.
    #[must_use]
    pub fn makespan(&self) -> Duration {
        self.makespans.get(self.makespans.len() / 2).copied().unwrap_or_default()
    }
}

/// Plays a plan `runs` times; the same seed gives the same runs.
///
/// # Errors
/// `InvalidInput` when there are no runs, or more calls than can be played.
pub fn simulate(
    plan: &Plan,
    capabilities: &Capabilities,
    workload: &Workload,
    runs: u32,
    seed: u64,
) -> Result<Simulation> {
    if runs == 0 || plan.calls().saturating_mul(u64::from(runs)) > MOST_CALLS {
        let problem = format!("{runs} runs of {} calls cannot be simulated", plan.calls());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint(format!("from 1 to {MOST_CALLS} calls can be, all runs together: simulate fewer")));
    }
    let mut random = Random(seed | 1);
    let mut played: Vec<_> = (0..runs).map(|_| play(plan, capabilities, workload, &mut random)).collect();
    played.sort_by(|one, other| one.makespan.total_cmp(&other.makespan));
    let average = |of: fn(&Played) -> f64| played.iter().map(of).sum::<f64>() / f64::from(runs);
    let span = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let requests = plan.workers() as f64 * capabilities.price.hand_over_usd();
    Ok(Simulation {
        makespans: played.iter().map(|run| span(run.makespan)).collect(),
        utilisation: average(|run| run.utilisation),
        billed: span(average(|run| run.billed)),
        usd: requests + average(|run| run.billed) * capabilities.second_usd(),
    })
}

struct Played {
    makespan: f64,
    billed: f64,
    utilisation: f64,
}

fn play(plan: &Plan, capabilities: &Capabilities, workload: &Workload, random: &mut Random) -> Played {
    let durations = &workload.durations;
    // A drawn call has a duration, and a place within it where it computes. Durations are spread as evenly as
    // the number of calls allows: if one call in 200 is long, exactly one of 200 calls is.
    let mut shares = Shares::of(plan.calls(), random);
    let mut draw = || {
        let share = shares.next(random);
        (durations.quantile(share), random.next())
    };
    let (startup, price) = (&capabilities.startup, &capabilities.price);
    let live = plan.live_workers();
    let started =
        |index: u64| startup.cold.as_secs_f64() + startup.per_second.map_or(0.0, |rate| index as f64 / rate);
    let machine = Machine {
        cpus: capabilities.worker_cpus,
        places: plan.sub_workers(),
        cpu_share: workload.cpu_share,
        overhead: model::overhead(capabilities, workload),
        start: startup.sub_worker.as_secs_f64(),
    };
    let (mut busy, mut billed, mut makespan) = (0.0, 0.0, 0.0f64);
    if capabilities.feed {
        let mut left = plan.calls();
        let mut workers: Vec<_> = (0..live).map(|index| Worker::new(machine, started(index))).collect();
        // The worker that has a free place first takes the next call.
        let mut next: BinaryHeap<_> =
            (0..workers.len()).map(|index| Reverse((Time(workers[index].now), index))).collect();
        while let Some(Reverse((_, index))) = next.pop() {
            let worker = &mut workers[index];
            let mut take = || {
                (left > 0).then(|| {
                    left -= 1;
                    draw()
                })
            };
            if worker.advance(&mut take) {
                next.push(Reverse((Time(worker.next()), index)));
            }
        }
        for worker in &workers {
            makespan = makespan.max(worker.ended);
            busy += worker.busy;
        }
        billed = live as f64 * price.billed_seconds(makespan);
    } else {
        let mut free: BinaryHeap<_> = (0..live).map(|index| Reverse((Time(started(index)), true))).collect();
        let mut worked = 0.0;
        for calls in plan.chunks() {
            let Some(Reverse((Time(at), cold))) = free.pop() else { break };
            let at = if cold { at } else { at + startup.warm.as_secs_f64() };
            let mut left = calls;
            let mut worker = Worker::new(machine, 0.0);
            let mut take = || {
                (left > 0).then(|| {
                    left -= 1;
                    draw()
                })
            };
            while worker.advance(&mut take) {}
            busy += worker.busy;
            worked += worker.ended;
            let start = if cold && price.bills_startup { startup.cold.as_secs_f64() } else { 0.0 };
            billed += price.billed_seconds(worker.ended + start);
            makespan = makespan.max(at + worker.ended);
            free.push(Reverse((Time(at + worker.ended), false)));
        }
        let (cold, chunks) = (startup.cold.as_secs_f64(), plan.workers() as f64);
        let running = (makespan - cold).max(0.0);
        makespan = cold + model::on_platform(running, chunks, worked / chunks.max(1.0), capabilities);
        if capabilities.bills_lifetime() {
            billed = live as f64 * price.billed_seconds(makespan + model::tail(capabilities));
        }
    }
    let places = live as f64 * machine.places as f64 * makespan;
    Played { makespan, billed, utilisation: if places > 0.0 { busy / places } else { 0.0 } }
}

/// For each call, the share of calls that are shorter, in random order.
enum Shares {
    Even {
        left: Vec<u32>,
        of: f64,
    },
    /// Many calls are spread evenly enough without the list.
    Random,
}

impl Shares {
    fn of(calls: u64, random: &mut Random) -> Self {
        let Some(count) = u32::try_from(calls).ok().filter(|count| *count <= 1 << 20) else {
            return Self::Random;
        };
        let mut left: Vec<_> = (0..count).collect();
        for place in (1..left.len()).rev() {
            left.swap(place, (random.next() * (place + 1) as f64) as usize);
        }
        Self::Even { left, of: f64::from(count) }
    }

    fn next(&mut self, random: &mut Random) -> f64 {
        match self {
            Self::Even { left, of } => (f64::from(left.pop().unwrap_or(0)) + random.next()) / *of,
            Self::Random => random.next(),
        }
    }
}

/// The properties that all workers share.
#[derive(Clone, Copy)]
struct Machine {
    cpus: f64,
    places: usize,
    cpu_share: f64,
    overhead: f64,
    start: f64,
}

/// One worker: calls that compute share its vCPUs equally, each getting at most one; the other calls wait.
struct Worker {
    machine: Machine,
    now: f64,
    /// The CPU time that a call would have had if it had computed from the beginning.
    served: f64,
    /// Computing calls: the value of `served` at which each has computed enough, and how long it waits then.
    computing: BinaryHeap<Reverse<(Time, Time)>>,
    /// Waiting calls: when each is done, and how long it then computes and waits.
    waiting: BinaryHeap<Reverse<(Time, Time, Time)>>,
    /// Places without a call: whether the sub-worker of each must still be started.
    idle: VecDeque<bool>,
    running: usize,
    busy: f64,
    ended: f64,
}

impl Worker {
    fn new(machine: Machine, now: f64) -> Self {
        let idle = (0..machine.places).map(|_| true).collect();
        Self {
            machine,
            now,
            served: 0.0,
            computing: BinaryHeap::new(),
            waiting: BinaryHeap::new(),
            idle,
            running: 0,
            busy: 0.0,
            ended: now,
        }
    }

    /// How much CPU time a computing call gets per second.
    fn rate(&self) -> f64 {
        (self.machine.cpus / self.computing.len().max(1) as f64).min(1.0)
    }

    /// When the next call ends its computing or its waiting.
    fn next(&self) -> f64 {
        let computed =
            self.computing.peek().map(|Reverse((Time(at), _))| self.now + (at - self.served) / self.rate());
        let waited = self.waiting.peek().map(|Reverse((Time(at), ..))| *at);
        computed.unwrap_or(f64::INFINITY).min(waited.unwrap_or(f64::INFINITY))
    }

    /// Goes on to the next event, and gives each free place a call. Returns whether any call runs.
    fn advance(&mut self, take: &mut impl FnMut() -> Option<(f64, f64)>) -> bool {
        let next = self.next();
        if next.is_finite() {
            self.served += (next - self.now).max(0.0) * self.rate();
            self.busy += (next - self.now).max(0.0) * self.running as f64;
            self.now = self.now.max(next);
            while let Some(Reverse((Time(at), Time(compute), wait))) = self.waiting.peek().copied()
                && at <= self.now + 1e-12
            {
                self.waiting.pop();
                if compute > 0.0 {
                    self.computing.push(Reverse((Time(self.served + compute), wait)));
                } else {
                    self.end_call();
                }
            }
            while let Some(Reverse((Time(at), Time(wait)))) = self.computing.peek().copied()
                && at <= self.served + 1e-12
            {
                self.computing.pop();
                if wait > 0.0 {
                    self.waiting.push(Reverse((Time(self.now + wait), Time(0.0), Time(0.0))));
                } else {
                    self.end_call();
                }
            }
        }
        while let Some(new) = self.idle.front().copied() {
            let Some((duration, place)) = take() else { break };
            self.idle.pop_front();
            let start = if new { self.machine.start } else { 0.0 };
            let computes = duration * self.machine.cpu_share + self.machine.overhead + start;
            let waits = duration * (1.0 - self.machine.cpu_share.min(1.0));
            let first = Time(self.now + waits * place);
            self.waiting.push(Reverse((first, Time(computes), Time(waits * (1.0 - place)))));
            self.running += 1;
        }
        self.running > 0
    }

    fn end_call(&mut self) {
        self.running -= 1;
        self.ended = self.now;
        // Places whose sub-worker runs already are used first.
        self.idle.push_front(false);
    }
}

/// A finite moment or span, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Time(f64);

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A generator of numbers between 0 and 1: xorshift, so that a seed gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
