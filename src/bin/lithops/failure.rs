//! Error reports: one line on stderr, and an exit code by the kind of the error.

use std::{env, io, process::ExitCode};

use serde::Serialize;

use crate::print;

/// Prints the error of a command to stderr, and to stdout too where JSON was asked for. Returns the exit code for its
/// kind.
pub(crate) fn report(error: &lithops::Error, verbose: bool) -> ExitCode {
    print(error, verbose, true)
}

fn print(error: &lithops::Error, verbose: bool, is_whole: bool) -> ExitCode {
    // The reader of stdout has closed it, as in `lithops backends | head -1`: that is no failure.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    // Data was written before a failure in part, and is not to be followed by another document.
    if is_whole && wants_json() {
        // If stdout is broken too, the text on stderr says what happened.
        let _ = print::json(&Failure::of(error));
    }
    print::error(&if verbose { format!("{error:?}") } else { error.to_string() });
    ExitCode::from(error.kind().exit_code())
}

/// Prints the errors of an operation that has succeeded in part.
pub(crate) fn report_all(errors: &[lithops::Error], verbose: bool) -> ExitCode {
    // The first error determines the exit code.
    let codes: Vec<_> = errors.iter().map(|error| print(error, verbose, false)).collect();
    codes.first().copied().unwrap_or(ExitCode::SUCCESS)
}

/// An error in the JSON output.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    error: &'a str,
    kind: String,
    hint: Option<&'a str>,
    context: std::collections::BTreeMap<&'static str, &'a str>,
}

impl<'a> Failure<'a> {
    fn of(error: &'a lithops::Error) -> Self {
        let context = error.context().collect();
        Self { error: error.message(), kind: error.kind().to_string(), hint: error.hint(), context }
    }
}

/// Whether the command was asked for JSON, which it then gives on failure too.
fn wants_json() -> bool {
    env::args_os().any(|argument| argument == "--json")
}

fn is_broken_pipe(error: &lithops::Error) -> bool {
    error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}
