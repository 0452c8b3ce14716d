//! Steps that are run one after another, with headings, until one fails.

use std::{process::Command, time::Instant};

/// Runs a step with its heading on stderr, and says how long it took.
pub(crate) fn step(name: &str, run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    eprintln!("== {name}");
    let begun = Instant::now();
    run()?;
    eprintln!("== {name}: passed in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command to its end, with its output on the terminal. A failure names the whole command line.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    let status = command.status().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed with {status}")) }
}

/// The command as it would be typed.
pub(crate) fn line(command: &Command) -> String {
    let set = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={:?}", name.to_string_lossy(), value?)));
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    set.chain([program]).chain(arguments).collect::<Vec<_>>().join(" ")
}
