//! [`Tests`]: a run of `cargo test` that goes on after a failure, and tries again what failed.

use std::time::Duration;

use super::{
    report::{FailedTest, Report},
    rerun::{self, Ran, Rerun},
    watched,
};
use crate::workspace::cargo;

/// The README's test command.
const COMMAND: &[&str] = &["test", "--workspace"];

/// Cargo and the tests say something more often than this: the longest silence is that of a large crate that is compiled
/// and linked. A run that says nothing for longer has a test that hangs.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Tests to run: `cargo test` with a selection of packages and features, and of their targets.
#[derive(Debug)]
pub(crate) struct Tests {
    selection: Vec<String>,
    targets: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Tests {
    /// The README's test command.
    pub(crate) fn of_the_readme() -> Self {
        Self::select(&COMMAND[1..])
    }

    /// All tests of these packages with these features, in the words of `cargo test`.
    pub(crate) fn select(selection: &[&str]) -> Self {
        let selection = selection.iter().map(|word| (*word).to_owned()).collect();
        Self { selection, targets: Vec::new(), environment: Vec::new() }
    }

    /// Only these targets, in the words of `cargo test`.
    pub(crate) fn targets(self, targets: &[&str]) -> Self {
        Self { targets: targets.iter().map(|word| (*word).to_owned()).collect(), ..self }
    }

    /// With a variable of the environment.
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Runs the tests. Those that fail are run again alone; `FLAKY name` is printed for each that passes then.
    ///
    /// # Errors
    /// A test that fails again, and every failure that is no list of failed tests: of a build, of a test binary that
    /// crashed, of a run that hangs.
    pub(crate) fn run(&self) -> Result<(), String> {
        let ran = self.cargo(&self.targets)?;
        let failed = match Report::read(&ran.output, ran.was_success) {
            Report::Passed => return Ok(()),
            Report::Broken(why) => return Err(why),
            Report::Failed(failed) => failed,
        };
        eprintln!("== {} tests failed; each is run again alone", failed.len());
        let rerun = rerun::again(failed, |target| self.cargo(target))?;
        for line in verdicts(&rerun) {
            println!("{line}");
        }
        match rerun.failed.len() {
            0 => Ok(()),
            1 => Err("1 test failed, see above".to_owned()),
            many => Err(format!("{many} tests failed, see above")),
        }
    }

    fn cargo(&self, arguments: &[String]) -> Result<Ran, String> {
        let mut command = cargo();
        command.args([COMMAND[0], "--no-fail-fast"]).args(&self.selection).args(arguments);
        // Colours would stand between the words that are looked for.
        command.envs(self.environment.iter().copied()).env("CARGO_TERM_COLOR", "never");
        watched::run(&mut command, SILENCE)
    }
}

/// A line for each test that failed at first.
fn verdicts(rerun: &Rerun) -> Vec<String> {
    let place = |test: &FailedTest| format!("{} (`{}`)", test.name, test.target);
    let flaky = rerun.flaky.iter().map(|(test, attempt)| {
        let again = if *attempt == 1 { "when run again" } else { "when run again twice" };
        format!("FLAKY {}: passed {again} alone", place(test))
    });
    let failed = rerun.failed.iter().map(|test| format!("FAILED {}", place(test)));
    flaky.chain(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_command_of_the_readme() {
        let command = format!("cargo {}", COMMAND.join(" "));
        let readme = include_str!("../../../README.md");
        assert!(readme.lines().any(|line| line == command), "the README has another test command");
    }

    #[test]
    fn each_test_that_failed_at_first_has_a_line() {
        let test = |name: &str| FailedTest { name: name.into(), target: "-p lithops --test cli".into() };
        let rerun = Rerun { flaky: vec![(test("a"), 1), (test("b"), 2)], failed: vec![test("c")] };
        assert_eq!(
            verdicts(&rerun),
            [
                "FLAKY a (`-p lithops --test cli`): passed when run again alone",
                "FLAKY b (`-p lithops --test cli`): passed when run again twice alone",
                "FAILED c (`-p lithops --test cli`)",
            ]
        );
    }
}
