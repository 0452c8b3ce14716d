//! Measures the backend `aws_lambda`; prints JSON lines. `cargo xtask bench lambda` builds and starts what it needs.
//!
//! - `answer [CERTIFICATE KEY]`: plays a service whose functions take a second and run nothing; says its address.
//! - `concurrent ADDRESS`: 5,000 invocations at once, against that.
//! - `trip ADDRESS WORKER`: one warm call after another, beside bare invocations of an empty function, which is this
//!   program too, on the same runtime as the worker.
//! - `start WORKER BARE`: from the start of a process to its first question for work.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

mod answer;
mod concurrent;
mod start;
mod trip;

use std::process::ExitCode;

use lithops_backend_aws_lambda as _;
use serde_json::{Value, json};

fn main() -> ExitCode {
    lithops_worker::enter();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads and an event queue");
    let done = match words[..] {
        ["answer"] => runtime.block_on(answer::answer(None)),
        ["answer", certificate, key] => runtime.block_on(answer::answer(Some((certificate, key)))),
        ["concurrent", address] => runtime.block_on(concurrent::concurrent(address)),
        ["trip", address, worker] => runtime.block_on(trip::trip(address, worker)),
        [] if trip::is_empty_function() => runtime.block_on(trip::empty_function()),
        ["start", worker, bare] => start::start(worker, bare),
        _ => Err("write `answer`, `concurrent`, `trip` or `start`".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// Prints a line of figures with their median.
fn print(bench: &str, unit: &str, mut values: Vec<f64>, more: &Value) {
    values.sort_by(f64::total_cmp);
    let (median, min, max) = (values[values.len() / 2], values[0], values[values.len() - 1]);
    let mut line =
        json!({"bench": bench, "unit": unit, "median": median, "min": min, "max": max, "runs": values.len()});
    for (name, value) in more.as_object().into_iter().flatten() {
        line[name] = value.clone();
    }
    println!("{line}");
}

/// The configuration of a service at an address, where calls find programs in a folder of this machine.
fn yaml(address: &str, folder: &std::path::Path, more: &str) -> String {
    format!(
        "lithops: {{backend: aws_lambda, history: false}}\n\
         aws: {{access_key_id: test, secret_access_key: test, region: us-east-1}}\n\
         aws_lambda: {{endpoint: '{address}', execution_role: 'arn:aws:iam::000000000000:role/lithops', \
         capabilities: {{storages: [localhost]}}{more}}}\n\
         localhost: {{storage_root: '{}'}}\n",
        folder.display()
    )
}
