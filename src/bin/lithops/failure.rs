//! Error reports: one line on stderr, and an exit code by the kind of the error.

use std::{io, process::ExitCode};

use crate::print;

/// Prints an error to stderr, and returns the exit code for its kind.
pub(crate) fn report(error: &lithops::Error, verbose: bool) -> ExitCode {
    // The reader of stdout has closed it, as in `lithops backends | head -1`: that is no failure.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    print::remark(&if verbose { format!("error: {error:?}") } else { format!("error: {error}") });
    ExitCode::from(error.kind().exit_code())
}

/// Prints the errors of an operation that has succeeded in part.
pub(crate) fn report_all(errors: &[lithops::Error], verbose: bool) -> ExitCode {
    // The first error determines the exit code.
    let codes: Vec<_> = errors.iter().map(|error| report(error, verbose)).collect();
    codes.first().copied().unwrap_or(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &lithops::Error) -> bool {
    error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}
