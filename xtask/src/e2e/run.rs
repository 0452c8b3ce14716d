//! Builds, then runs every trial.

use super::{
    cli, examples,
    leftovers::{self, Leftovers},
    program::Programs,
};
use crate::{
    steps,
    workspace::{built, cargo},
};

/// What a trial is: it drives programs and says what was wrong.
pub(super) type Trial = fn(&Programs) -> Result<(), String>;

/// Builds the programs and drives them; each trial leaves no process behind.
pub(crate) fn run() -> Result<(), String> {
    steps::run(cargo().args(["build", "--quiet", "--workspace", "--bins", "--examples"]))?;
    let programs = Programs::new(built("debug")?)?;
    let trials = cli::TRIALS.iter().chain(examples::TRIALS).chain(leftovers::TRIALS);
    let mut passed = 0;
    for (name, trial) in trials {
        let left = Leftovers::of(&programs);
        trial(&programs).and_then(|()| left.none()).map_err(|problem| format!("e2e: {name}: {problem}"))?;
        eprintln!("   {name}: passed");
        passed += 1;
    }
    eprintln!("   {passed} trials passed");
    Ok(())
}
