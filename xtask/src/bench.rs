//! `cargo xtask bench`: measurements of this machine, as JSON lines.

mod lambda;

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{
    e2e::library,
    steps,
    workspace::{built, cargo, root},
};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The seed's program as a whole process, beside Python's multiprocessing.
    Seed,
    /// A million calls that do nothing, in one map.
    Noop,
    /// One call after another on a warm worker.
    Latency,
    /// Bare pipes over two hops: what `noop` and `latency` could be at best.
    Echo,
    /// From the SIGKILL of a worker to its call running in the next one.
    Kill,
    /// Ten workloads over a grid of granularities, beside auto and prediction; takes some minutes.
    Granularity,
    /// A call on a backend that is loaded at run time, beside one that is built in.
    Plugin,
    /// The backend `aws_lambda`: thousands of invocations at once, a warm call, a cold start.
    Lambda,
    /// All of these but `granularity`, `plugin` and `lambda`.
    All,
}

const RUNS: usize = 20;

/// The same work as the example `granularity`. Forked processes are what Python starts fastest.
const PYTHON: &str = r#"
import multiprocessing

def my_map_function(argument):
    id, x = argument
    print(f"I'm activation number {id}")
    return x + 7

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(4) as pool:
        print(pool.map(my_map_function, enumerate(range(200)), chunksize=8))
"#;

/// Builds the programs, then measures.
pub(crate) fn run(what: What) -> Result<(), String> {
    if what == What::Lambda {
        return lambda::run();
    }
    steps::run(cargo().args(["build", "--release", "--quiet", "-p", "lithops", "--examples"]))?;
    if matches!(what, What::Seed | What::All) {
        seed()?;
    }
    for (other, name) in
        [(What::Echo, "echo"), (What::Latency, "latency"), (What::Noop, "noop"), (What::Kill, "kill")]
    {
        if what == other || what == What::All {
            steps::run(Command::new(built("release")?.join("examples/bench")).arg(name))?;
        }
    }
    if what == What::Granularity {
        steps::run(&mut Command::new(built("release")?.join("examples/workloads")))?;
    }
    if what == What::Plugin {
        plugin()?;
    }
    Ok(())
}

/// Each is built in a workspace of its own, as strangers do.
fn plugin() -> Result<(), String> {
    let target = built("")?;
    for (name, more) in [("lithops-backend-launcher", &["--lib", "--features", "plugin"][..]), ("host", &[])]
    {
        let manifest = root().join("tests/fixtures").join(name).join("Cargo.toml");
        let mut build = cargo();
        build.args(["build", "--release", "--quiet", "--manifest-path"]).arg(manifest);
        steps::run(build.args(more).arg("--target-dir").arg(&target))?;
    }
    let library = library("release", "lithops-backend-launcher")?;
    steps::run(Command::new(built("release")?.join("host")).arg("cost").arg(library).arg("launcher"))
}

fn seed() -> Result<(), String> {
    let python = python();
    if python.is_none() {
        eprintln!("there is no `python3` to compare with: the figures stand alone");
    }
    let example = built("release")?.join("examples/granularity");
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does hits both.
    for _ in 0..RUNS {
        own.push(milliseconds(&mut Command::new(&example))?);
        if let Some(python) = &python {
            peer.push(milliseconds(Command::new(python).args(["-c", PYTHON]))?);
        }
    }
    let (own, peer) = (Summary::of(own), (!peer.is_empty()).then(|| Summary::of(peer)));
    let mut line = own.json("seed", "ms");
    line["python"] = peer.as_ref().map_or(Value::Null, |peer| peer.json("multiprocessing.Pool", "ms"));
    line["ratio"] = peer.map_or(Value::Null, |peer| json!(own.median / peer.median));
    println!("{line}");
    Ok(())
}

/// The interpreter itself: what is found on the path may be a script that looks for it.
fn python() -> Option<String> {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !path.trim().is_empty()).then(|| path.trim().to_owned())
}

/// How long a whole process takes, until everything it prints is read.
fn milliseconds(command: &mut Command) -> Result<f64, String> {
    let line = steps::line(command);
    let begun = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let printed = String::from_utf8_lossy(&output.stdout);
    let expected = format!("{:?}", (7..207).collect::<Vec<_>>());
    if output.status.success() && printed.trim_end().ends_with(&expected) {
        Ok(took)
    } else {
        Err(format!("`{line}` did not print 7..=206: {printed}"))
    }
}

/// What many runs come to.
struct Summary {
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Summary {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let runs = values.len();
        Self { median: values[runs / 2], min: values[0], max: values[runs - 1], runs }
    }

    fn json(&self, bench: &str, unit: &str) -> Value {
        let Self { median, min, max, runs } = self;
        json!({ "bench": bench, "unit": unit, "median": median, "min": min, "max": max, "runs": runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_median_and_extremes() {
        let summary = Summary::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((summary.median, summary.min, summary.max, summary.runs), (2.0, 1.0, 3.0, 3));
    }
}
