//! [`Report`]: what the output of `cargo test --no-fail-fast` says about the tests that failed.
//!
//! Only an output that accounts for every failure counts: each target that cargo lists as failed must have ended with
//! a list of failed tests. Everything else (a failed build, a binary that crashed or was killed) is [`Report::Broken`]
//! and is never run again, because nothing says which test would have to pass.

/// What one run of `cargo test` came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Cargo was content.
    Passed,
    /// These tests failed, and nothing else did.
    Failed(Vec<FailedTest>),
    /// The run failed in a way that is no list of failed tests: why.
    Broken(String),
}

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedTest {
    /// As the test binary lists it; the name of a doc test is a path, an item and a line.
    pub(super) name: String,
    /// What selects its target, as cargo says: `-p PACKAGE --test TARGET`.
    pub(super) target: String,
}

const TARGET_BEGINS: [&str; 2] = ["     Running ", "   Doc-tests "];
const TARGET_FAILED: [&str; 2] =
    ["error: test failed, to rerun pass `", "error: doctest failed, to rerun pass `"];
const RESULT: &str = "test result: ";

impl Report {
    /// Reads the output, standard output and error in the order in which they were written.
    pub(super) fn read(output: &str, was_success: bool) -> Self {
        if was_success {
            return Self::Passed;
        }
        let lines: Vec<_> = output.lines().collect();
        let mut failed = Vec::new();
        let mut targets = Vec::new();
        let mut begins = 0;
        for (index, line) in lines.iter().enumerate() {
            if TARGET_BEGINS.iter().any(|start| line.starts_with(start)) {
                begins = index;
            }
            let Some(rest) = TARGET_FAILED.iter().find_map(|start| line.strip_prefix(start)) else {
                continue;
            };
            let target = rest.trim_end_matches('`');
            if is_abnormal(&lines[index + 1..]) {
                return Self::Broken(format!("`{target}` ended without a result, as the output above says"));
            }
            let Some(tests) = failures(&lines[begins..index]) else {
                return Self::Broken(format!("`{target}` failed and lists no test that failed"));
            };
            failed.extend(
                tests.iter().map(|test| FailedTest { name: (*test).to_owned(), target: target.to_owned() }),
            );
            targets.push(target);
            begins = index;
        }
        // What a test printed may look like a line of cargo: cargo's own list at the end decides.
        match summary(&lines) {
            None => Self::Broken("cargo failed, and not because of a test".to_owned()),
            Some(listed) if listed != targets => Self::Broken(format!(
                "cargo lists {} targets that failed, and the output above shows {}",
                listed.len(),
                targets.len()
            )),
            Some(_) => Self::Failed(failed),
        }
    }
}

/// How many tests passed and failed, of all test binaries of a run together.
pub(super) fn counts(output: &str) -> (usize, usize) {
    let results = output.lines().filter_map(|line| line.strip_prefix(RESULT));
    results.map(counted).fold((0, 0), |(passed, failed), one| (passed + one.0, failed + one.1))
}

/// Whether cargo gives another cause than the exit code of a test binary with failed tests.
fn is_abnormal(after: &[&str]) -> bool {
    after.iter().find(|line| !line.trim().is_empty()).is_some_and(|line| *line == "Caused by:")
}

/// The names of the last list of failures of a target, if the list is as long as the result says.
fn failures<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let result = lines.iter().rposition(|line| line.starts_with(RESULT))?;
    let begins = lines[..result].iter().rposition(|line| *line == "failures:")?;
    let names = lines[begins + 1..result].iter().filter(|line| !line.is_empty());
    let names: Vec<_> = names.map(|line| line.strip_prefix("    ")).collect::<Option<_>>()?;
    let said = lines[result].strip_prefix(RESULT)?;
    let is_whole = said.starts_with("FAILED. ") && counted(said).1 == names.len() && !names.is_empty();
    is_whole.then_some(names)
}

/// `FAILED. 1 passed; 2 failed; 0 ignored; ..`
fn counted(result: &str) -> (usize, usize) {
    let number = |what: &str| -> usize {
        let before = result.split(what).next().unwrap_or_default();
        before.rsplit([' ', ';']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    (number(" passed;"), number(" failed;"))
}

/// The targets that cargo lists at its end.
fn summary<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let is_heading = |line: &str| {
        line.strip_prefix("error: ")
            .is_some_and(|rest| rest.ends_with(" targets failed:") || rest == "1 target failed:")
    };
    let begins = lines.iter().rposition(|line| is_heading(line))?;
    let targets = lines[begins + 1..].iter().filter(|line| !line.is_empty());
    targets.map(|line| line.strip_prefix("    `")?.strip_suffix('`')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBTEST: &str = include_str!("samples/libtest.txt");
    const MIMIC: &str = include_str!("samples/libtest_mimic.txt");
    const DOC: &str = include_str!("samples/doc.txt");
    const KILLED: &str = include_str!("samples/killed.txt");
    const CUSTOM: &str = include_str!("samples/custom.txt");
    const UNCOMPILED: &str = include_str!("samples/uncompiled.txt");
    const SAYS_THE_SAME: &str = include_str!("samples/says_the_same.txt");

    fn run(targets: &[&str], outputs: &[&str]) -> String {
        let targets: Vec<_> = targets.iter().map(|target| format!("    `{target}`\n")).collect();
        let heading = match targets.len() {
            1 => "error: 1 target failed:\n".to_owned(),
            many => format!("error: {many} targets failed:\n"),
        };
        outputs.concat() + &heading + &targets.concat()
    }

    fn failed(report: Report) -> Vec<String> {
        let Report::Failed(tests) = report else { panic!("{report:?}") };
        tests.iter().map(|test| format!("{} | {}", test.target, test.name)).collect()
    }

    #[test]
    fn failed_tests_are_read_with_their_targets() {
        let output = run(&["-p one --lib", "-p one --test mimic", "-p one --doc"], &[LIBTEST, MIMIC, DOC]);
        assert_eq!(
            failed(Report::read(&output, false)),
            [
                "-p one --lib | tests::panics_not",
                "-p one --lib | tests::wrong",
                "-p one --test mimic | a_lost_worker",
                "-p one --test mimic | with words",
                "-p one --doc | one/src/lib.rs - f (line 3)",
            ]
        );
        assert_eq!(Report::read(&output, true), Report::Passed, "cargo's exit code decides");
        assert_eq!(counts(&output), (3, 5));
    }

    #[test]
    fn what_a_test_prints_is_not_taken_for_a_list() {
        let output = run(&["-p two --test twice"], &[SAYS_THE_SAME]);
        assert_eq!(failed(Report::read(&output, false)), ["-p two --test twice | c"]);
        let printed = "error: test failed, to rerun pass `-p two --lib`\n";
        let spoofed = SAYS_THE_SAME.replace("test c ... FAILED", &format!("test c ... FAILED\n{printed}"));
        let report = Report::read(&run(&["-p two --test twice"], &[&spoofed]), false);
        assert!(matches!(report, Report::Broken(_)), "{report:?}");
    }

    #[test]
    fn what_is_no_list_of_failed_tests_is_broken() {
        for (targets, outputs, words) in [
            (&["-p two --test killed"][..], &[KILLED][..], "`-p two --test killed` ended without a result"),
            (&["-p one --lib", "-p two --test killed"], &[LIBTEST, KILLED], "ended without a result"),
            (&["-p one --test custom"], &[CUSTOM], "`-p one --test custom` ended without a result"),
            (&["-p one --lib", "-p one --doc"], &[LIBTEST], "cargo lists 2 targets"),
        ] {
            let report = Report::read(&run(targets, outputs), false);
            assert!(matches!(&report, Report::Broken(why) if why.contains(words)), "{targets:?}: {report:?}");
        }
        for output in [UNCOMPILED, "", LIBTEST] {
            let report = Report::read(output, false);
            let words = "cargo failed, and not because of a test";
            assert!(matches!(&report, Report::Broken(why) if why == words), "{report:?}");
        }
    }

    #[test]
    fn a_list_that_is_cut_short_is_broken() {
        for (from, to) in [
            ("    tests::panics_not\n", ""),
            ("test result: FAILED. 1 passed; 2 failed", "test result: ok. 1 passed; 2 failed"),
            ("failures:\n    tests::panics_not", "failures\n    tests::panics_not"),
            ("test result: FAILED", "test result FAILED"),
        ] {
            let cut = LIBTEST.replace(from, to);
            assert_ne!(cut, LIBTEST);
            let report = Report::read(&run(&["-p one --lib"], &[&cut]), false);
            assert!(
                matches!(&report, Report::Broken(why) if why.contains("lists no test that failed")),
                "{from}: {report:?}"
            );
        }
        let abnormal = LIBTEST.to_owned()
            + "\nCaused by:\n  process didn't exit successfully: `one` (signal: 9, SIGKILL: kill)\n";
        let report = Report::read(&run(&["-p one --lib"], &[&abnormal]), false);
        assert!(matches!(report, Report::Broken(_)), "a binary that is killed after its list: {report:?}");
    }
}
