//! `lithops-worker`: the worker as a program of its own, for when the user's program is not to play it.
//!
//! A backend starts it with a socket as standard input, or as `lithops-worker pull [--launch FILE]` with the launch
//! document of a fleet, in the file or in `LITHOPS_LAUNCH`. `lithops-worker check [--launch FILE]` tries the storage of
//! that document, and prints what there is as JSON, without serving. A platform for containers starts it as `lithops-worker http`,
//! or with `LITHOPS_TRANSPORT=http`, and it listens at `PORT` then. As `lithops-worker serve` it listens for the client of
//! a launch document, in its own machine only. `lithops-worker --version` prints its version.

use std::{path::PathBuf, process::ExitCode};

// Named here, because the linker leaves out a crate that nothing names.
#[cfg(feature = "aws_s3")]
use lithops_storage_aws_s3 as _;
#[cfg(feature = "gcp_storage")]
use lithops_storage_gcp_storage as _;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--version" | "-V") => {
            println!("lithops-worker {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(verb @ ("pull" | "check")) => {
            let rest: Vec<String> = std::env::args().skip(2).collect();
            let file = match rest.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                [] => None,
                ["--launch", file] => Some(PathBuf::from(file)),
                _ => {
                    eprintln!("usage: lithops-worker {verb} [--launch FILE]");
                    return ExitCode::from(2);
                }
            };
            if verb == "pull" {
                lithops_worker::serve_launched(file.as_deref(), false)
            }
            ExitCode::from(lithops_worker::transport::check(file.as_deref()) as u8)
        }
        Some("serve") => lithops_worker::serve_listening(false),
        #[cfg(feature = "http")]
        Some("http") => lithops_worker::serve_http(),
        #[cfg(feature = "http")]
        None if lithops_worker::transport::is_http() => lithops_worker::serve_http(),
        #[cfg(feature = "lambda")]
        _ if lithops_worker::transport::is_in_lambda() => lithops_worker::serve_lambda(),
        _ if lithops_core::process::assigned_role().is_some() => {
            lithops_worker::serve_stdio();
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "lithops-worker {}: runs the calls of lithops jobs. It is started by a backend, not by hand: name it \
                 in the configuration as `localhost: runtime: <path of this program>`, or deploy it with `lithops \
                 runtime deploy`.",
                env!("CARGO_PKG_VERSION")
            );
            ExitCode::from(2)
        }
    }
}
