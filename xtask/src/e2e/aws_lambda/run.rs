//! Builds the programs, starts the service, and puts the backend to the conformance suite and to programs.

use super::{emulator, permissions, programs};
use crate::{
    e2e::{leftovers::Leftovers, peers::Server, program::Programs},
    steps,
    workspace::{built, cargo},
};

/// The programs, and what they are deployed with: together, so that each dependency is built once.
const BUILD: &[&str] = &[
    "build",
    "--quiet",
    "--package=lithops",
    "--package=lithops-worker",
    "--features=lithops/aws_lambda,lithops/cli,lithops-worker/lambda",
    "--bins",
    "--examples",
];

/// The suite and the programs; with `full` also credentials and policies that are looked at, and moto's opinion.
pub(in crate::e2e) fn run(full: bool) -> Result<(), String> {
    steps::run(cargo().args(BUILD))?;
    let folder = built("peers")?.join(format!("run-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    let programs = Programs::new(built("debug")?)?;
    let server = Server::ministack(&folder, false)?;
    emulator::agrees(&programs, &server, &folder, full)?;
    eprintln!("   the runtime interface emulator of AWS: calls go well and fail as on ministack: passed");
    for (name, trial) in programs::TRIALS {
        let left = Leftovers::of(&programs);
        trial(&programs, &server)
            .and_then(|()| left.none())
            .map_err(|problem| format!("e2e: {name}: {problem}"))?;
        eprintln!("   ministack: {name}: passed");
    }
    let suite = ["test", "--quiet", "-p", "lithops-conformance", "--test", "aws_lambda"];
    steps::run(
        cargo()
            .args(suite)
            .env("LITHOPS_TEST_LAMBDA", format!("127.0.0.1:{}", server.port))
            .env("LITHOPS_TEST_WORKER", programs.built().join("lithops-worker")),
    )?;
    drop(server);
    if full {
        let strict = Server::ministack(&folder, true)?;
        permissions::are_enough(&programs, &strict)?;
        eprintln!(
            "   ministack: the printed policies are enough, and wrong credentials are said to be: passed"
        );
        drop(strict);
        let moto = Server::moto(&folder)?;
        permissions::as_root(&moto, "ready", "", "another-bucket")?;
        programs::runtimes(&programs, &moto)?;
        eprintln!("   moto: runtimes come and go: passed");
    }
    // After a failure the files stay: they explain it.
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}
