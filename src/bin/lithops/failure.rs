//! How a failure is told: one line on stderr, and an exit code that says what kind it is.

use std::{error::Error as _, io, process::ExitCode};

use crate::print;

/// Tells the error and gives the exit code for its kind.
pub(crate) fn report(error: &lithops::Error, verbose: bool) -> ExitCode {
    // The reader has seen enough, as in `lithops backends | head -1`.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    print::remark(&if verbose { format!("error: {error:?}") } else { format!("error: {error}") });
    ExitCode::from(error.kind().exit_code())
}

/// Tells what went wrong with some of many things, while the rest went well.
pub(crate) fn report_all(errors: &[lithops::Error], verbose: bool) -> ExitCode {
    // The first decides what the exit code says.
    let codes: Vec<_> = errors.iter().map(|error| report(error, verbose)).collect();
    codes.first().copied().unwrap_or(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &lithops::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}
