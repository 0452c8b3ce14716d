//! The chores of this workspace: `cargo xtask ci`, `test`, `tidy`, `e2e`, `new-backend`, `bench`, `chaos`,
//! `simulate`, `cluster`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people and scripts at a terminal"
)]

mod bench;
mod chaos;
mod ci;
mod cluster;
mod e2e;
mod new_backend;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must hold before a push: format, lints, builds, documentation, tidy, e2e.
    Ci {
        /// Runs the tests as well. They are left out otherwise because the README's test command runs them.
        #[arg(long)]
        with_tests: bool,
        /// Then what takes long, too: the end-to-end run of knative, a million values of each kind of type, 10,000 seeds of the
        /// simulator.
        #[arg(long)]
        full: bool,
    },
    /// The README's test command; a failed test is run again alone, and is printed as `FLAKY` where it passes then.
    Test,
    /// The rules of this workspace that no compiler knows.
    Tidy,
    /// Drives the built programs as a user would, on this machine.
    E2e {
        /// Against what.
        #[arg(value_enum, default_value = "localhost")]
        what: e2e::What,
        /// With further servers, as second opinions, and with trials that take minutes.
        #[arg(long, visible_alias = "long")]
        full: bool,
        /// Only the trials whose names have these words; of `aws_ec2` alone.
        #[arg(long)]
        only: Option<String>,
    },
    /// Writes a backend crate to begin with, as a member of this workspace; it compiles and keeps the promises.
    NewBackend {
        /// Its one word: small letters, digits and `_`.
        name: String,
        /// Where it is to be a crate of its own.
        #[arg(long)]
        to: Option<std::path::PathBuf>,
    },
    /// Measures this machine; prints JSON lines, and a table on stderr.
    Bench {
        /// What to measure.
        #[arg(value_enum, default_value = "all")]
        what: bench::What,
        /// By other systems too, which are installed below `target/`.
        #[arg(long)]
        peers: bool,
    },
    /// Runs 20,000 calls while their processes are killed at random, and again with a client that is killed half-way.
    Chaos,
    /// Plays seeds of the simulator; a seed that breaks a promise is printed with the command that plays it again.
    Simulate {
        /// How many seeds, from 0.
        #[arg(long, default_value_t = 500)]
        seeds: u64,
        /// This seed only.
        #[arg(long, conflicts_with = "seeds")]
        seed: Option<u64>,

        /// Of the board of pull dispatch alone; with `--seeds` both are played otherwise.
        #[arg(long)]
        pull: bool,
        /// Prints what the board costs on fleets of 1,000 and 10,000 workers, in the place of seeds.
        #[arg(long, conflicts_with_all = ["seeds", "seed", "pull"])]
        board: bool,
    },
    /// A real Kubernetes on this machine, for tests: its programs are built from source, and it needs root.
    Cluster {
        #[command(subcommand)]
        what: cluster::What,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Ci { with_tests, full } => {
            ci::run(with_tests).and_then(|()| if full { ci::long() } else { Ok(()) })
        }
        Command::Test => test::Tests::of_the_readme().run(),
        Command::Tidy => tidy::run(),
        Command::E2e { what: e2e::What::AwsEc2, only: Some(words), .. } => e2e::only_of_aws_ec2(&words),
        Command::E2e { only: Some(_), .. } => Err("`--only` is known to `aws_ec2` alone".to_owned()),
        Command::E2e { what, full, only: None } => e2e::run(what, full),
        Command::NewBackend { name, to } => new_backend::run(&name, to.as_deref()),
        Command::Bench { what, peers } => bench::run(what, peers),
        Command::Chaos => chaos::run(),
        Command::Simulate { board: true, .. } => steps::run(simulator().arg("--board")),
        Command::Simulate { seeds, seed, pull, .. } => simulate(seeds, seed, pull),
        Command::Cluster { what } => cluster::run(what),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Plays seeds, or one of them.
pub(crate) fn simulate(seeds: u64, seed: Option<u64>, pull: bool) -> Result<(), String> {
    let (option, number) = seed.map_or(("--seeds", seeds), |seed| ("--seed", seed));
    let play = |pull: &[&str]| steps::run(simulator().args(pull).args([option, &number.to_string()]));
    match (pull, seed) {
        (true, _) => play(&["--pull"]),
        (false, Some(_)) => play(&[]),
        (false, None) => {
            play(&[])?;
            play(&["--pull"])?;
            steps::run(simulator().arg("--fleet"))
        }
    }
}

/// The command that runs the simulator, without its arguments.
fn simulator() -> std::process::Command {
    let mut cargo = workspace::cargo();
    cargo.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "lithops-conformance",
        "--bin",
        "simulate",
        "--",
    ]);
    cargo
}
