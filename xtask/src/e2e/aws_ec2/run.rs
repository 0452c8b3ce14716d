//! Builds the programs, starts moto and the hands, and runs every trial.

use std::time::Instant;

use super::{faults, hands::Hands, jobs, market, place::Place};
use crate::{
    cluster::aws_programs,
    e2e::{
        peers::{Server, shellcheck},
        program::Programs,
    },
    steps,
    workspace::{built, cargo, root},
};

/// A trial: its error says what was wrong.
pub(super) type Trial = fn(&Place) -> Result<(), String>;

const BUILD: &[&str] = &[
    "build",
    "--quiet",
    "--package=lithops",
    "--package=lithops-ec2-hands",
    "--features=lithops/aws_ec2,lithops/cli",
    "--bins",
    "--examples",
];

/// Runs the trials, and then the conformance suite.
pub(in crate::e2e) fn run(_full: bool) -> Result<(), String> {
    let mut shellcheck = std::process::Command::new(shellcheck()?);
    let scripts = ["backends/aws_ec2/src/user_data.golden.sh", "tests/ec2_hands/shims/aws"];
    let shims =
        ["curl", "shutdown", "systemctl", "systemd-run"].map(|name| format!("tests/ec2_hands/shims/{name}"));
    steps::run(shellcheck.args(scripts).args(shims).current_dir(root()))?;
    let metadata = aws_programs()?.join("ec2-metadata-mock");
    steps::run(cargo().args(BUILD))?;
    let suite =
        ["test", "--quiet", "-p", "lithops-conformance", "--features", "instances", "--test", "aws_ec2"];
    steps::run(cargo().args(suite).arg("--no-run"))?;
    let folder = built("peers")?.join(format!("ec2-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    let programs = Programs::new(built("debug")?)?;
    let moto = Server::moto(&folder)?;
    let hands = Hands::start(&programs.built().join("ec2-hands"), moto.port, &folder, &metadata)?;
    let place = Place { programs, hands, moto, folder: folder.clone() };
    for (name, trial) in jobs::TRIALS.iter().chain(market::TRIALS).chain(faults::TRIALS) {
        let begun = Instant::now();
        let tried = trial(&place).and_then(|()| place.nothing_is_left());
        tried.map_err(|problem| format!("e2e aws_ec2: {name}: {problem}"))?;
        place.hands.faults(&serde_json::json!({}))?;
        eprintln!("   {name}: passed in {:.1} s", begun.elapsed().as_secs_f64());
    }
    jobs::requests_are_those_of_botocore(&place)?;
    let config = place.programs.write("conformance.yaml", place.yaml("lease: 4s, orphan: 60s").as_bytes())?;
    let mut trials = cargo();
    trials.args(suite).args(["--", "--test-threads=2"]).env("LITHOPS_TEST_EC2", config);
    steps::run(&mut trials)?;
    jobs::no_secret_was_told(&place)?;
    drop(place);
    // After a failure the files stay: they explain it.
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}
