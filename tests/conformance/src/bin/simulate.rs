//! `simulate`: plays seeds, and prints the first that breaks a promise together with the command that plays it again.

use std::{fs, process::ExitCode, time::Duration};

use lithops_conformance::simulator::{
    BoardJob, PullScenario, Scenario, Seen, Verdict, board_cost, fleet, run, run_pull,
};

const USAGE: &str = "usage: simulate [--pull] [--seeds N] [--seed S] | --fleet | --board [WORKERS]";

/// What a large job may cost.
const CPU: Duration = Duration::from_secs(30);
const MEMORY_MB: u64 = 500;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut first, mut seeds, mut pull) = (0, 500, false);
    while let Some(argument) = arguments.next() {
        if argument == "--fleet" {
            return large_job();
        }
        if argument == "--board" {
            return board(arguments.next().and_then(|workers| workers.parse().ok()));
        }
        if argument == "--pull" {
            pull = true;
            continue;
        }
        let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (argument.as_str(), value) {
            ("--seeds", Some(value)) => seeds = value,
            ("--seed", Some(value)) => (first, seeds) = (value, 1),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let option = if pull { "--pull " } else { "" };
    let (mut calls, mut executions) = (0, 0);
    for seed in first..first + seeds {
        let (verdict, of, scenario) = play(seed, pull);
        if let Some((violation, how)) = verdict.violation {
            eprintln!(
                "seed {seed}: {violation:?}: {how}\n{scenario}\nagain: cargo xtask simulate {option}--seed {seed}"
            );
            return ExitCode::FAILURE;
        }
        calls += of;
        executions += verdict.executions;
    }
    let what = if pull { "of the board" } else { "of driver and tracker" };
    println!("{seeds} seeds {what}, {calls} calls, run {executions} times: every promise was kept");
    ExitCode::SUCCESS
}

/// How a seed went, how many calls it had, and what it decided.
fn play(seed: u64, pull: bool) -> (Verdict, u64, String) {
    if pull {
        let scenario = PullScenario::of(seed);
        return (run_pull(seed), scenario.calls, format!("{scenario:#?}"));
    }
    let scenario = Scenario::of(seed);
    (run(&scenario, None), scenario.calls, format!("{scenario:#?}"))
}

/// A million calls on ten thousand workers, through the real driver and tracker.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn large_job() -> ExitCode {
    let (calls, workers) = (1_000_000, 10_000);
    let seen = fleet(calls, workers);
    let (cpu, memory) = (cpu(), memory_mb());
    let Seen { done, failed, executions, most_live, virtual_time } = seen;
    println!(
        "{done} calls on {most_live} workers in {virtual_time:?} of virtual time: {cpu:?} of CPU, {memory} MB at most"
    );
    let right = (done, failed, executions, most_live) == (calls, 0, calls, workers);
    if !right || cpu > CPU || memory > MEMORY_MB {
        eprintln!("not as promised (each call once, {workers} workers, {CPU:?}, {MEMORY_MB} MB): {seen:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// How many requests a chunk may cost on a fleet of this many workers.
fn most_requests(workers: u64) -> f64 {
    if workers > 1000 { 5.0 } else { 3.3 }
}

/// The longest time until the client has seen a commit.
const SEEN: Duration = Duration::from_secs(2);

/// What the board costs: chunks of a hundred short calls, ten chunks and one chunk per worker.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn board(workers: Option<u64>) -> ExitCode {
    let mut is_right = true;
    for workers in workers.map_or(vec![1000, 10_000], |workers| vec![workers]) {
        for (chunks, promised) in [(10, true), (1, workers > 1000)] {
            let job = BoardJob {
                workers,
                calls: workers * chunks * 100,
                chunksize: 100,
                chunk_time: Duration::from_secs(1),
                request_time: Duration::from_millis(20),
            };
            let cost = board_cost(job);
            println!("{workers} workers, {} calls in chunks of 100, each of 1 s:\n{cost}", job.calls);
            if promised {
                is_right &= cost.per_chunk() <= most_requests(workers)
                    && cost.hearts_usd() <= cost.usd() / 10.0
                    && cost.latest <= SEEN;
            }
        }
    }
    if !is_right {
        eprintln!(
            "not as promised: at most 3.3 requests per chunk up to 1000 workers and 5 beyond, hearts below a \
                   tenth of the price, each commit seen within {SEEN:?}"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// The most memory this process has had.
fn memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kb.map_or(u64::MAX, |kb| kb / 1000)
}
