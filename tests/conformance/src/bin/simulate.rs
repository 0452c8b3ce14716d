//! `simulate`: plays seeds, and prints the first that breaks a promise together with the command that plays it again.

use std::process::ExitCode;

use lithops_conformance::simulator::{Scenario, run};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut first, mut seeds) = (0, 500);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (argument.as_str(), value) {
            ("--seeds", Some(value)) => seeds = value,
            ("--seed", Some(value)) => (first, seeds) = (value, 1),
            _ => {
                eprintln!("usage: simulate [--seeds N] [--seed S]");
                return ExitCode::from(2);
            }
        }
    }
    let (mut calls, mut executions) = (0, 0);
    for seed in first..first + seeds {
        let scenario = Scenario::of(seed);
        let verdict = run(&scenario, None);
        if let Some((violation, how)) = verdict.violation {
            eprintln!(
                "seed {seed}: {violation:?}: {how}\n{scenario:#?}\nagain: cargo xtask simulate --seed {seed}"
            );
            return ExitCode::FAILURE;
        }
        calls += scenario.calls;
        executions += verdict.executions;
    }
    println!("{seeds} seeds, {calls} calls, run {executions} times: every promise was kept");
    ExitCode::SUCCESS
}
