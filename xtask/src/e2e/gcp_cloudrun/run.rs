//! Builds the programs, starts the service, and puts the backend to programs and to the conformance suite.

use std::process::Command;

use super::{programs, two_clouds};
use crate::{
    e2e::{
        leftovers::Leftovers,
        peers::{Server, google_run_python},
        program::Programs,
    },
    steps,
    workspace::{built, cargo, root},
};

/// The programs and the servers: together, so that each dependency is built once.
const BUILD: &[&str] = &[
    "build",
    "--quiet",
    "--package=lithops",
    "--package=lithops-worker",
    "--package=lithops-fake-cloudrun",
    "--package=lithops-gcs-front",
    "--features=lithops/gcp_cloudrun,lithops/aws_lambda,lithops/cli,lithops-worker/lambda",
    "--bins",
    "--example=granularity",
    "--example=failures",
    "--example=words",
    "--example=two_clouds",
];

/// The programs, Google's own client, and the suite.
pub(in crate::e2e) fn run(_full: bool) -> Result<(), String> {
    steps::run(cargo().args(BUILD))?;
    let folder = built("peers")?.join(format!("run-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    let programs = Programs::new(built("debug")?)?;
    let server = Server::cloud_run(&folder)?;
    for (name, trial) in programs::TRIALS {
        let left = Leftovers::of(&programs);
        trial(&programs, &server)
            .and_then(|()| left.none())
            .map_err(|problem| format!("e2e gcp_cloudrun: {name}: {problem}{}", server.last_lines()))?;
        eprintln!("   fake_cloudrun: {name}: passed");
    }
    let left = Leftovers::of(&programs);
    two_clouds::together(&programs, &server, &folder)
        .and_then(|()| left.none())
        .map_err(|problem| format!("e2e gcp_cloudrun: two clouds: {problem}{}", server.last_lines()))?;
    eprintln!("   one program maps on Lambda and reduces on Cloud Run by its configuration: passed");
    steps::run(
        Command::new(google_run_python()?)
            .arg(root().join("tests/fake_cloudrun/check.py"))
            .arg(format!("http://127.0.0.1:{}", server.port)),
    )?;
    eprintln!("   fake_cloudrun: Google's own client creates, changes and deletes services: passed");
    drop(server);
    steps::run(cargo().args([
        "test",
        "--quiet",
        "-p",
        "lithops-conformance",
        "--features",
        "long",
        "--test",
        "gcp_cloudrun",
    ]))?;
    // After a failure the files stay: they explain it.
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}
