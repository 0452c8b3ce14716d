//! The warnings of a plan: what would be better, and when to say so.

use std::time::Duration;

use super::Warning;
use crate::{
    compute::Granularity,
    plan::{
        Chosen, Prediction,
        granularity::Numbers,
        model::{self, Shape},
    },
};

/// The warnings of a plan, the most serious first.
pub(in crate::plan) fn on(numbers: &Numbers, prediction: Option<&Prediction>) -> Vec<Warning> {
    let shape = numbers.shape();
    let mut warnings: Vec<_> = [
        over_timeout(numbers, prediction),
        over_payload(numbers),
        one_worker(numbers, shape),
        processes(numbers),
        beyond_calls(numbers),
    ]
    .into_iter()
    .flatten()
    .collect();
    let capabilities = &numbers.capabilities;
    if !capabilities.feed {
        let wave = last_wave(numbers, shape);
        let board = board(numbers, shape, prediction);
        warnings.extend([chunk(numbers), startup(numbers, prediction), board, wave].into_iter().flatten());
    }
    warnings
}

fn over_timeout(numbers: &Numbers, prediction: Option<&Prediction>) -> Option<Warning> {
    let (limit, workload) = (numbers.capabilities.timeout_limit?, numbers.workload.as_deref()?);
    let chunk = prediction?.activation;
    if numbers.capabilities.feed || chunk <= limit {
        return None;
    }
    let fitting = model::fitting(limit, &numbers.capabilities, workload, numbers.shape().at_once(false));
    Some(Warning::ChunkOverTimeout { chunk, limit, fitting })
}

fn over_payload(numbers: &Numbers) -> Option<Warning> {
    let (limit, payload) = (numbers.capabilities.payload_limit?, numbers.payload?);
    let bytes = payload.saturating_mul(numbers.calls.min(numbers.chunksize as u64));
    let fitting = Some(limit / payload.max(1)).filter(|calls| *calls > 0);
    (bytes > limit).then_some(Warning::PayloadOverLimit { bytes, limit, fitting })
}

fn one_worker(numbers: &Numbers, shape: Shape) -> Option<Warning> {
    let Numbers { calls, chunksize, max_workers, .. } = *numbers;
    let lonely = !numbers.capabilities.feed
        && shape.workers() == 1
        && max_workers > 1
        && calls > numbers.worker_processes as u64
        // `Auto` has compared this with other granularities.
        && numbers.chosen.1 != Chosen::Auto;
    lonely.then_some(Warning::OneWorker { calls, chunksize, max_workers })
}

fn beyond_calls(numbers: &Numbers) -> Option<Warning> {
    let Numbers { calls, chunksize, .. } = *numbers;
    let is_beyond = calls > 0 && chunksize as u64 > calls && numbers.chosen.1 == Chosen::Given;
    is_beyond.then_some(Warning::ChunkBeyondCalls { calls, chunksize })
}

fn processes(numbers: &Numbers) -> Option<Warning> {
    let (worker_processes, cpus) = (numbers.worker_processes, numbers.capabilities.worker_cpus);
    if numbers.chosen.0 == Chosen::Auto {
        return None;
    }
    // Where calls are known to wait, more sub-workers are right; without knowledge, half the time on a CPU is
    // assumed.
    let share = numbers.workload.as_ref().map_or(0.5, |workload| workload.cpu_share.max(0.001));
    if worker_processes > 1 && worker_processes as f64 * share > cpus.ceil() {
        let enough = (cpus / share.max(0.5)).ceil().max(1.0) as usize;
        let enough = if numbers.workload.is_some() { enough } else { cpus.ceil().max(1.0) as usize };
        return Some(Warning::MoreProcessesThanCpus { worker_processes, cpus, enough });
    }
    let bought = numbers.capabilities.granularity != Granularity::Local;
    let idle = bought && cpus >= 1.5 && (worker_processes as f64) < cpus.floor();
    idle.then_some(Warning::FewerProcessesThanCpus { worker_processes, cpus })
}

fn chunk(numbers: &Numbers) -> Option<Warning> {
    let (chunksize, worker_processes) = (numbers.chunksize, numbers.worker_processes);
    if chunksize < worker_processes {
        return (numbers.calls > chunksize as u64)
            .then_some(Warning::ChunkBelowProcesses { chunksize, worker_processes });
    }
    let rounds = chunksize.div_ceil(worker_processes);
    let lost = (rounds * worker_processes) as f64 / chunksize as f64 - 1.0;
    let uneven = numbers.calls > chunksize as u64 && lost > 0.2;
    uneven.then_some(Warning::UnevenChunk { chunksize, worker_processes })
}

/// Where chunks are so short that the storage cannot take the writes of all workers.
fn board(numbers: &Numbers, shape: Shape, prediction: Option<&Prediction>) -> Option<Warning> {
    let (workers, chunk) = (shape.live(), prediction?.activation);
    let least = model::least_on_board(workers);
    // `Auto` has counted the writes.
    let is_asked = numbers.capabilities.pull.is_some() && numbers.chosen.1 != Chosen::Auto;
    if !is_asked || chunk >= least || chunk.is_zero() {
        return None;
    }
    let better = (numbers.chunksize as f64 * least.as_secs_f64() / chunk.as_secs_f64()).ceil() as u64;
    let better = better.next_multiple_of(numbers.worker_processes as u64).min(numbers.calls);
    Some(Warning::ChunkBelowBoard { workers, chunk, least, better })
}

fn startup(numbers: &Numbers, prediction: Option<&Prediction>) -> Option<Warning> {
    let (startup, chunk) = (numbers.capabilities.startup.cold, prediction?.activation);
    let calls = numbers.calls.min(numbers.chunksize as u64).max(1) as f64;
    let each = chunk.as_secs_f64() / calls;
    let better = (startup.as_secs_f64() / each.max(1e-9)).ceil() as u64;
    let better = better.next_multiple_of(numbers.worker_processes as u64).min(numbers.calls);
    let dominates = chunk < startup
        && chunk > Duration::ZERO
        && numbers.chosen.1 != Chosen::Auto
        && better > numbers.chunksize as u64;
    dominates.then_some(Warning::StartupDominates { startup, chunk, better })
}

fn last_wave(numbers: &Numbers, shape: Shape) -> Option<Warning> {
    let (workers, max_workers) = (shape.workers(), numbers.max_workers as u64);
    let waves = workers.div_ceil(max_workers);
    let last = workers % max_workers;
    if waves < 2 || last == 0 || last * 4 > max_workers {
        return None;
    }
    // The other waves take over the calls of the last one, unless that makes them much longer.
    let better = numbers.calls.div_ceil(max_workers * (waves - 1));
    let little = better * 2 <= numbers.chunksize as u64 * 3;
    little.then_some(Warning::LastWaveNearlyEmpty { waves, last, max_workers: numbers.max_workers, better })
}
