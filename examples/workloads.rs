//! Measures ten workloads over a grid of granularities, beside `auto` and what the simulator predicts. Prints JSON
//! lines.
//!
//! Run it with `cargo xtask bench granularity`, or `cargo run --release --example workloads -- [NAME]...`.

#![expect(clippy::print_stdout, reason = "the measurements are what it is for")]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use lithops::{
    Count, Durations, Plan, PlanRequest, Registry, Workload, blocking::FunctionExecutor, config::Config,
    prelude::*, simulate,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// The grid.
const WORKER_PROCESSES: [usize; 6] = [1, 2, 4, 8, 32, 96];
const CHUNKSIZES: [usize; 3] = [1, 8, 64];
/// How often the best cell and auto are measured, in turns.
const ROUNDS: usize = 5;

fn main() -> lithops::Result<()> {
    lithops::init();
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    for shape in SHAPES {
        for busy in [true, false] {
            let name = format!("{}, {}", shape.name, if busy { "busy" } else { "sleeping" });
            if wanted.is_empty() || wanted.iter().any(|part| name.contains(part)) {
                measure(&name, &shape, busy)?;
            }
        }
    }
    Ok(())
}

/// Computes for this many microseconds of CPU time, however long that takes.
#[lithops::function]
fn computes(micros: u64) -> u64 {
    let wanted = Duration::from_micros(micros);
    let begun = cpu_time();
    let mut number = micros | 1;
    while cpu_time() - begun < wanted {
        for _ in 0..500 {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).rotate_left(7));
        }
    }
    number
}

#[lithops::function]
fn waits(micros: u64) -> u64 {
    thread::sleep(Duration::from_micros(micros));
    micros
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A workload: how many calls, and how many microseconds each takes. Of calls that wait there are four times as many,
/// because more of them run at once.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    calls: u64,
    micros: fn(u64) -> u64,
}

impl Shape {
    fn all(&self, busy: bool) -> impl Iterator<Item = u64> {
        let (times, micros, calls) = (if busy { 1 } else { 4 }, self.micros, self.calls);
        (0..calls * times).map(micros)
    }
}

const SHAPES: [Shape; 5] = [
    Shape { name: "1 ms uniform", calls: 1200, micros: |_| 1000 },
    Shape { name: "20 ms uniform", calls: 120, micros: |_| 20_000 },
    Shape {
        name: "exponential 20 ms",
        calls: 120,
        // The 120 quantiles, in an order that looks random and is the same each time.
        micros: |call| {
            let place = (call * 77 + 13) % 120;
            (-20_000.0 * (1.0 - (place as f64 + 0.5) / 120.0).ln()) as u64
        },
    },
    Shape {
        name: "bimodal 2/200 ms",
        calls: 120,
        micros: |call| if (call * 77 + 13) % 120 < 12 { 200_000 } else { 2000 },
    },
    Shape { name: "straggler", calls: 200, micros: |call| if call == 100 { 500_000 } else { 5000 } },
];

/// A way to run a workload.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Cell(usize, usize),
    /// Nothing is known beforehand.
    Auto,
}

fn measure(name: &str, shape: &Shape, busy: bool) -> lithops::Result<()> {
    let mut best: Option<(f64, usize, usize)> = None;
    for worker_processes in WORKER_PROCESSES {
        for chunksize in CHUNKSIZES {
            // These take long, and every chunksize is as far from the best.
            if !busy && worker_processes <= 2 && chunksize > 1 {
                continue;
            }
            let seconds = run(shape, busy, Way::Cell(worker_processes, chunksize))?.0;
            println!(
                "{}",
                json!({ "workload": name, "worker_processes": worker_processes, "chunksize": chunksize,
                        "seconds": round(seconds) })
            );
            if best.is_none_or(|(least, ..)| seconds < least) {
                best = Some((seconds, worker_processes, chunksize));
            }
        }
    }
    let Some((_, worker_processes, chunksize)) = best else { return Ok(()) };
    // One executor remembers: its first run is not counted.
    let folder = std::env::temp_dir().join(format!("lithops-workloads-{}", std::process::id()));
    let remembering = executor(Some(&folder))?;
    timed(&remembering, shape, busy, Way::Auto)?;
    settle(&remembering)?;
    let (mut cell, mut fresh, mut informed, mut predicted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut chosen, mut ended) = (0, 0);
    for _ in 0..ROUNDS {
        cell.push(run(shape, busy, Way::Cell(worker_processes, chunksize))?.0);
        let (seconds, plan, _) = run(shape, busy, Way::Auto)?;
        (ended, _) = (plan.worker_processes(), fresh.push(seconds));
        let (seconds, plan, expected) = timed(&remembering, shape, busy, Way::Auto)?;
        settle(&remembering)?;
        informed.push(seconds);
        predicted.extend(expected);
        chosen = plan.worker_processes();
    }
    std::fs::remove_dir_all(&folder)?;
    let (cell, fresh, informed) = (median(cell), median(fresh), median(informed));
    let simulated = simulated(shape, busy, worker_processes, chunksize)?;
    let predicted = if predicted.is_empty() { f64::NAN } else { median(predicted) };
    println!(
        "{}",
        json!({
            "workload": name,
            "best": { "worker_processes": worker_processes, "chunksize": chunksize, "seconds": round(cell) },
            "auto": { "seconds": round(fresh), "worker_processes": ended, "of_best": round(fresh / cell) },
            "auto_with_history": {
                "seconds": round(informed), "worker_processes": chosen, "of_best": round(informed / cell),
                "predicted": round(predicted), "off": round(predicted / informed - 1.0),
            },
            "simulated_best": { "seconds": round(simulated), "off": round(simulated / cell - 1.0) },
        })
    );
    Ok(())
}

fn run(shape: &Shape, busy: bool, way: Way) -> lithops::Result<(f64, Plan, Option<f64>)> {
    let fexec = executor(None)?;
    let timed = timed(&fexec, shape, busy, way);
    settle(&fexec)?;
    timed
}

/// Ends the workers, and waits until that is over: the next run is not to pay for it.
fn settle(fexec: &FunctionExecutor) -> lithops::Result<()> {
    fexec.close()?;
    thread::sleep(Duration::from_millis(150));
    Ok(())
}

/// An executor that remembers how long calls took, or not.
fn executor(history: Option<&Path>) -> lithops::Result<FunctionExecutor> {
    let yaml = match history {
        None => "lithops:\n  history: false\n".to_owned(),
        Some(folder) => format!("localhost:\n  storage_root: {}\n", folder.display()),
    };
    FunctionExecutor::builder().config_yaml(yaml).progress(false).build()
}

/// From the start of the map until all its values are there, workers being started on the way; and what was predicted.
fn timed(
    fexec: &FunctionExecutor,
    shape: &Shape,
    busy: bool,
    way: Way,
) -> lithops::Result<(f64, Plan, Option<f64>)> {
    let micros: Vec<u64> = shape.all(busy).collect();
    let calls = micros.len();
    let begun = Instant::now();
    let (processes, chunksize): (Count, Count) = match way {
        Way::Cell(processes, chunksize) => (processes.into(), chunksize.into()),
        Way::Auto => (Auto.into(), Auto.into()),
    };
    let futures = if busy {
        fexec.map(computes, micros).worker_processes(processes).chunksize(chunksize).run()?
    } else {
        fexec.map(waits, micros).worker_processes(processes).chunksize(chunksize).run()?
    };
    assert_eq!(futures.get_result()?.len(), calls);
    let seconds = begun.elapsed().as_secs_f64();
    let summary = futures.summary();
    Ok((seconds, futures.plan(), summary.predicted_makespan.map(|predicted| predicted.as_secs_f64())))
}

/// What the simulator says of the best cell, when it knows the durations.
fn simulated(shape: &Shape, busy: bool, worker_processes: usize, chunksize: usize) -> lithops::Result<f64> {
    let durations = Durations::weighted(shape.all(busy).map(|micros| (micros as f64 / 1e6, 1.0)))?;
    let workload = Workload::given(durations).with_cpu_share(if busy { 1.0 } else { 0.0 })?;
    let capabilities = Registry::builtin()?.find("localhost")?.capabilities(&Config::default())?;
    let request = PlanRequest {
        worker_processes: Some(worker_processes.into()),
        chunksize: Some(chunksize.into()),
        workload: Some(&workload),
        ..PlanRequest::new(shape.all(busy).count() as u64, &capabilities)
    };
    Ok(simulate(&request.plan()?, &capabilities, &workload, 51, 1)?.makespan().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
