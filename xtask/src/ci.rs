//! `cargo xtask ci`: everything that must hold before a push, cheap things first.

use crate::{
    e2e,
    steps::{self, step},
    tidy,
    workspace::cargo,
};

/// Runs all steps, and stops at the first that fails.
pub(crate) fn run(with_tests: bool) -> Result<(), String> {
    step("format", || steps::run(cargo().args(["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    step("lints", || steps::run(cargo().args(clippy)))?;
    step("without features", || {
        steps::run(cargo().args(["check", "-p", "lithops", "--no-default-features"]))
    })?;
    if with_tests {
        step("tests", || steps::run(cargo().args(["test", "--workspace", "--all-features"])))?;
    } else {
        eprintln!("== tests: left out, the README's test command runs them; `--with-tests` runs them here");
    }
    step("tests of features", || {
        steps::run(cargo().args([
            "test",
            "-p",
            "lithops",
            "--features",
            "aws_lambda,http",
            "--test",
            "aws_lambda",
            "--test",
            "urls",
        ]))
    })?;
    let doc = ["doc", "--workspace", "--no-deps", "--all-features"];
    step("documentation", || steps::run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings")))?;
    step("e2e", || e2e::run(e2e::What::Localhost, false))?;
    step("e2e third-party", || e2e::run(e2e::What::ThirdParty, false))?;
    step("e2e plugins", || e2e::run(e2e::What::Plugins, false))?;
    step("e2e storage", || e2e::run(e2e::What::Storage, false))
}
