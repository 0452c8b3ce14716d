//! Puts a backend that is loaded as a plugin to the promises of every backend: `LITHOPS_TRY_BACKEND` names it, and
//! `LITHOPS_TRY_CONFIG` a configuration that names the plugin.

use std::process::ExitCode;

use lithops_conformance::compute::{enter, run};

fn main() -> ExitCode {
    enter();
    let (Ok(scheme), Ok(file)) = (std::env::var("LITHOPS_TRY_BACKEND"), std::env::var("LITHOPS_TRY_CONFIG"))
    else {
        return refuse("set LITHOPS_TRY_BACKEND to a backend and LITHOPS_TRY_CONFIG to a configuration file");
    };
    match std::fs::read_to_string(&file) {
        Ok(yaml) => run(scheme.leak(), &yaml),
        Err(error) => refuse(&format!("`{file}`: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "a program at a terminal")]
fn refuse(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}
