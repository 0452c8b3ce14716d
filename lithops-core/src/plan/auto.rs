//! The choice of `Auto`: of some granularities, the one that the cost model says is best.

use super::{
    Objective, Workload,
    model::{Prediction, Shape, fitting},
};
use crate::compute::Capabilities;

/// The most sub-workers in one worker that `Auto` chooses, even if calls mostly wait: each is a process.
const MOST_PROCESSES: usize = 128;
/// Plans whose objectives differ by less than this factor count as equally good.
const CLOSE: f64 = 1.02;

/// A request for a granularity: which numbers are fixed, and which are to be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) calls: u64,
    pub(super) worker_processes: Option<usize>,
    pub(super) chunksize: Option<usize>,
    /// Whether `worker_processes` and `chunksize` are chosen by the cost model.
    pub(super) auto: (bool, bool),
    pub(super) max_workers: usize,
    pub(super) objective: Objective,
    pub(super) payload: Option<u64>,
}

impl Choice {
    /// The best granularity. Numbers that are not given follow the default rule, and so do all where the
    /// workload is unknown.
    pub(super) fn made(&self, capabilities: &Capabilities, workload: Option<&Workload>) -> Shape {
        let default = self.by_default(capabilities);
        match workload {
            Some(workload) if self.auto != (false, false) && self.calls > 0 => {
                let all = self.all(capabilities, workload);
                best(&all, self.objective).map_or(default, |(shape, _)| shape)
            }
            _ => default,
        }
    }

    fn by_default(&self, capabilities: &Capabilities) -> Shape {
        let worker_processes = self.worker_processes.unwrap_or(capabilities.default_worker_processes);
        let chunksize = self.chunksize.unwrap_or(worker_processes);
        self.shape(worker_processes, chunksize)
    }

    fn shape(&self, worker_processes: usize, chunksize: usize) -> Shape {
        Shape { calls: self.calls, worker_processes, chunksize, max_workers: self.max_workers }
    }

    /// Every granularity that is considered, with its prediction.
    pub(super) fn all(&self, capabilities: &Capabilities, workload: &Workload) -> Vec<(Shape, Prediction)> {
        let mut all = Vec::new();
        for worker_processes in self.processes(capabilities, workload) {
            for chunksize in self.chunksizes(worker_processes, capabilities, workload) {
                let shape = self.shape(worker_processes, chunksize);
                all.push((shape, shape.predict(capabilities, workload)));
            }
        }
        all
    }

    fn processes(&self, capabilities: &Capabilities, workload: &Workload) -> Vec<usize> {
        if !self.auto.0 {
            return vec![self.worker_processes.unwrap_or(capabilities.default_worker_processes)];
        }
        let calls = usize::try_from(self.calls).unwrap_or(usize::MAX);
        let most = MOST_PROCESSES.min(capabilities.max_worker_processes).min(calls);
        // As many sub-workers as keep the CPUs busy; more would only wait for a CPU.
        let enough = capabilities.worker_cpus / workload.cpu_share.max(0.001);
        let doubled = std::iter::successors(Some(1usize), |count| count.checked_mul(2));
        let mut all: Vec<_> =
            doubled.take_while(|count| *count < most && (*count as f64) < enough * 2.0).collect();
        let of = |count: f64| (count as usize).clamp(1, most);
        if capabilities.feed {
            // Counts for which all rounds are full, so that no call is left over for a last round.
            let live = self.max_workers as u64;
            let rounds = (1..=12u64).map(|rounds| of(self.calls.div_ceil(rounds * live) as f64));
            all.extend(rounds.filter(|count| (*count as f64) < enough * 2.0));
        }
        all.extend(
            [capabilities.worker_cpus.floor(), capabilities.worker_cpus.ceil(), enough.ceil()].map(of),
        );
        all.sort_unstable();
        all.dedup();
        all
    }

    fn chunksizes(&self, processes: usize, capabilities: &Capabilities, workload: &Workload) -> Vec<usize> {
        if !self.auto.1 {
            return vec![self.chunksize.unwrap_or(processes)];
        }
        if capabilities.feed {
            // A live worker is given chunk after chunk, so that the size of a chunk hardly matters.
            return vec![processes];
        }
        let calls = usize::try_from(self.calls).unwrap_or(usize::MAX).min(u32::MAX as usize);
        let most = self.most_in_a_chunk(processes, capabilities, workload).clamp(1, calls);
        let rounds = std::iter::successors(Some(processes), |size| size.checked_mul(2));
        let mut all: Vec<_> = rounds.take_while(|size| *size < most).collect();
        all.push(most);
        // Sizes for which the last wave of workers is full.
        for waves in [1, 2, 3, 4, 8] {
            let size = self.calls.div_ceil(self.max_workers as u64 * waves);
            all.push(usize::try_from(size).unwrap_or(most).clamp(processes.min(most), most));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How many calls fit into the time a worker may run, and into one message.
    fn most_in_a_chunk(&self, processes: usize, capabilities: &Capabilities, workload: &Workload) -> usize {
        let by_time = capabilities
            .timeout_limit
            .map(|limit| fitting(limit, capabilities, workload, processes as f64).unwrap_or(0) as usize);
        let by_bytes = capabilities
            .payload_limit
            .zip(self.payload)
            .map(|(limit, payload)| usize::try_from(limit / payload.max(1)).unwrap_or(usize::MAX));
        by_time.unwrap_or(usize::MAX).min(by_bytes.unwrap_or(usize::MAX)).max(1)
    }
}

/// The best granularity; of equally good ones, the one with the fewest sub-workers.
pub(super) fn best(all: &[(Shape, Prediction)], objective: Objective) -> Option<(Shape, Prediction)> {
    let time = |one: &(Shape, Prediction)| one.1.makespan.as_secs_f64();
    let usd = |one: &(Shape, Prediction)| one.1.usd;
    let free = all.iter().all(|one| usd(one) <= 0.0);
    let first = |one: &(Shape, Prediction)| match objective {
        _ if free => time(one),
        Objective::Time => time(one),
        Objective::Cost => usd(one),
        Objective::Balanced => time(one) * usd(one),
    };
    // Where nothing costs anything, all are equal by this number, and the fewest sub-workers decide.
    let second = |one: &(Shape, Prediction)| match objective {
        _ if free => usd(one),
        Objective::Time => usd(one),
        Objective::Cost | Objective::Balanced => time(one),
    };
    let least = all.iter().map(first).min_by(f64::total_cmp)?;
    all.iter()
        .filter(|one| first(one) <= least * CLOSE)
        .min_by(|one, other| {
            second(one).total_cmp(&second(other)).then_with(|| {
                let size = |(shape, _): &(Shape, Prediction)| (shape.worker_processes, shape.chunksize);
                size(one).cmp(&size(other))
            })
        })
        .copied()
}
