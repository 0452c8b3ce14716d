//! `cargo xtask ci`: everything that must hold before a push, cheap things first.

use crate::{
    e2e, simulate,
    steps::{self, step},
    test::Tests,
    tidy,
    workspace::{self, cargo, root},
};

/// Runs all steps, and stops at the first that fails.
pub(crate) fn run(with_tests: bool) -> Result<(), String> {
    step("format", format)?;
    step("tidy", tidy::run)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    step("lints", || steps::run(cargo().args(clippy)))?;
    step("each feature alone, and none", each_feature)?;
    if with_tests {
        step("tests", || Tests::select(&["--workspace", "--all-features"]).run())?;
    } else {
        eprintln!("== tests: left out, the README's test command runs them; `--with-tests` runs them here");
    }
    step("tests of features", || {
        let selection = ["-p", "lithops", "--features", "full"];
        let tests = ["--test", "aws_lambda", "--test", "urls", "--test", "features"];
        Tests::select(&selection).targets(&tests).run()
    })?;
    // How they are found and encoded goes by addresses: the optimiser must leave that right.
    step("closures, optimised", || {
        Tests::select(&["--release", "-p", "lithops"]).targets(&["--test", "closures"]).run()
    })?;
    let doc = ["doc", "--workspace", "--no-deps", "--all-features"];
    step("documentation", || steps::run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings")))?;
    step("packages", packages)?;
    step("e2e", || e2e::run(e2e::What::Localhost, false))?;
    step("e2e third-party", || e2e::run(e2e::What::ThirdParty, false))?;
    step("e2e plugins", || e2e::run(e2e::What::Plugins, false))?;
    step("e2e storage", || e2e::run(e2e::What::Storage, false))?;
    step("e2e aws_lambda", || e2e::run(e2e::What::AwsLambda, false))?;
    eprintln!(
        "== e2e of aws_ec2, gcp_cloudrun, k8s and knative: left out, `cargo xtask ci --full` runs them"
    );
    Ok(())
}

/// The checks that take long.
pub(crate) fn long() -> Result<(), String> {
    step("e2e gcp_cloudrun", || e2e::run(e2e::What::GcpCloudRun, false))?;
    if rustix::process::geteuid().is_root() {
        step("e2e k8s", || e2e::run(e2e::What::K8s, false))?;
    } else {
        eprintln!("== e2e k8s: left out, a cluster needs namespaces and control groups: root runs it");
    }
    step("e2e aws_ec2", || e2e::run(e2e::What::AwsEc2, false))?;
    step("e2e knative", || e2e::run(e2e::What::Knative, false))?;
    step("a million values", || {
        let tests = Tests::select(&["-p", "lithops-core"]).targets(&["--test", "values"]);
        tests.env("LITHOPS_TEST_VALUES", "1000000").run()
    })?;
    step("10,000 seeds", || simulate(10_000, None, false))
}

/// Checks the format of all crates, also of those that are workspaces of their own.
fn format() -> Result<(), String> {
    steps::run(cargo().args(["fmt", "--all", "--check"]))?;
    let fixtures = root().join("tests/fixtures");
    let folders =
        std::fs::read_dir(&fixtures).map_err(|error| format!("`{}`: {error}", fixtures.display()))?;
    let manifests = folders.flatten().map(|folder| folder.path().join("Cargo.toml"));
    for manifest in manifests.filter(|manifest| manifest.is_file()).chain([root().join("fuzz/Cargo.toml")]) {
        steps::run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
    }
    Ok(())
}

/// Makes the packages of all crates that are published, and uploads nothing. What they are made of has been built by the
/// steps before, so it is not built again.
fn packages() -> Result<(), String> {
    let metadata = workspace::metadata()?;
    let mut package = cargo();
    package.args(["package", "--quiet", "--workspace", "--no-verify", "--allow-dirty", "--offline"]);
    for member in metadata["packages"].as_array().into_iter().flatten() {
        if let Some(name) = member["name"].as_str().filter(|_| !tidy::is_published(member)) {
            package.args(["--exclude", name]);
        }
    }
    steps::run(&mut package)
}

/// Checks the facade with each feature alone. That a feature adds its backend or storage and nothing else is tested with
/// the default ones and with all.
fn each_feature() -> Result<(), String> {
    let features = tidy::features(&workspace::package("lithops")?);
    for feature in std::iter::once("").chain(features.iter().map(String::as_str)) {
        let selection = ["check", "--quiet", "-p", "lithops", "--no-default-features", "--features", feature];
        steps::run(cargo().args(selection).args(["--bins", "--test", "features"]))?;
    }
    Ok(())
}
