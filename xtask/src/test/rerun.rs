//! Which of the failed tests pass when they are run again, each alone in its process.

use super::report::{FailedTest, counts};

/// How often a failed test is run again. A test that needs more has a defect that is worth an error.
const TRIES: usize = 2;
/// More failed tests than this have a cause in common; running them again would only take time.
const MOST: usize = 10;

/// What became of the failed tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rerun {
    /// They passed alone, at this try.
    pub(super) flaky: Vec<(FailedTest, usize)>,
    /// They failed again, or were not run again.
    pub(super) failed: Vec<FailedTest>,
}

/// What a run of one test came to: whether cargo was content, and its output.
pub(super) struct Ran {
    pub(super) was_success: bool,
    pub(super) output: String,
}

/// Runs each failed test again until it passes, as often as a test may be tried.
///
/// # Errors
/// A run that cannot be started, or that hangs.
pub(super) fn again(
    failed: Vec<FailedTest>,
    mut run: impl FnMut(&[String]) -> Result<Ran, String>,
) -> Result<Rerun, String> {
    let mut rerun = Rerun::default();
    if failed.len() > MOST {
        return Ok(Rerun { failed, ..rerun });
    }
    for test in failed {
        let mut passed_at = None;
        for attempt in 1..=TRIES {
            if has_passed(&run(&arguments(&test))?) {
                passed_at = Some(attempt);
                break;
            }
        }
        match passed_at {
            Some(attempt) => rerun.flaky.push((test, attempt)),
            None => rerun.failed.push(test),
        }
    }
    Ok(rerun)
}

/// A name that selects no test makes cargo content too: a test must have run.
fn has_passed(ran: &Ran) -> bool {
    let (passed, failed) = counts(&ran.output);
    ran.was_success && passed > 0 && failed == 0
}

/// What selects the test, after what selects packages and features. The package is left out: with another selection of
/// packages cargo would choose other features, build anew, and run another program than the one that failed.
fn arguments(test: &FailedTest) -> Vec<String> {
    let mut words = test.target.split_whitespace().map(str::to_owned);
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-p" | "--package" => drop(words.next()),
            _ => arguments.push(word),
        }
    }
    let is_doc = arguments.iter().any(|word| word == "--doc");
    arguments.push("--".to_owned());
    if is_doc {
        // rustdoc splits what it hands on at spaces, and names of doc tests have some: their file selects them.
        arguments.push(test.name.split(' ').next().unwrap_or_default().to_owned());
    } else {
        arguments.extend(["--exact".to_owned(), test.name.clone()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out\n";
    const NONE: &str = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 10 filtered out\n";

    fn test(name: &str) -> FailedTest {
        FailedTest { name: name.to_owned(), target: "-p lithops --test cli".to_owned() }
    }

    fn played(failed: &[&str], outputs: &[(&str, bool)]) -> (Result<Rerun, String>, usize) {
        let mut outputs = outputs.iter();
        let mut runs = 0;
        let rerun = again(failed.iter().map(|name| test(name)).collect(), |_| {
            runs += 1;
            let (output, was_success) = *outputs.next().ok_or("it hangs")?;
            Ok(Ran { was_success, output: output.to_owned() })
        });
        (rerun, runs)
    }

    #[test]
    fn a_test_that_passes_alone_is_flaky_and_one_that_does_not_has_failed() {
        let failing = ("test result: FAILED. 0 passed; 1 failed;\n", false);
        let (rerun, runs) = played(&["a", "b"], &[failing, (OK, true), failing, failing]);
        let rerun = rerun.unwrap();
        assert_eq!((rerun.flaky, rerun.failed, runs), (vec![(test("a"), 2)], vec![test("b")], 4));
    }

    #[test]
    fn a_run_that_ran_no_test_or_that_cargo_ended_is_no_pass() {
        for output in [(NONE, true), ("", true), (OK, false), ("error: could not compile `x`\n", false)] {
            let (rerun, _) = played(&["a"], &[output; TRIES]);
            assert_eq!(rerun.unwrap().failed, [test("a")], "{output:?}");
        }
        let both = format!("{NONE}{OK}{NONE}");
        assert_eq!(played(&["a"], &[(&both, true)]).0.unwrap().flaky, [(test("a"), 1)]);
        assert!(played(&["a"], &[]).0.is_err(), "a run that hangs is an error");
    }

    #[test]
    fn when_nearly_all_fails_nothing_is_run_again() {
        let names = ["a"; MOST + 1];
        let (rerun, runs) = played(&names, &[]);
        assert_eq!((rerun.unwrap().failed.len(), runs), (MOST + 1, 0));
    }

    #[test]
    fn a_test_is_selected_by_its_whole_name() {
        assert_eq!(arguments(&test("a promise")), ["--test", "cli", "--", "--exact", "a promise"]);
        let doc =
            FailedTest { name: "src/lib.rs - f (line 3)".into(), target: "-p lithops-core --doc".into() };
        assert_eq!(arguments(&doc), ["--doc", "--", "src/lib.rs"]);
    }
}
