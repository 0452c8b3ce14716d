//! Starts each server, and puts the storage to the conformance suite and to programs.

use std::{path::PathBuf, process::Command};

use super::trials;
use crate::{
    e2e::{
        leftovers::Leftovers,
        peers::{BUCKET, Server, google_storage_python},
        program::Programs,
    },
    steps,
    workspace::{built, cargo, root},
};

/// Starts a server, whose files go into the folder.
type Start = fn(&std::path::Path) -> Result<Server, String>;

const FEATURES: &str = "aws_s3,ceph,cli,gcp_storage,minio,redis";

/// Trials that a server fails where the storage that it stands for does not: SeaweedFS turns backslashes in names into
/// slashes.
const DIFFERENCES: &[(&str, &str)] = &[("seaweedfs", "keys_with_backslashes_come_back_or_are_refused")];

/// All servers of a push; with `full` also those that are second opinions.
pub(in crate::e2e) fn run(full: bool) -> Result<(), String> {
    let build = ["build", "--quiet", "-p", "lithops", "--bins", "--examples", "--features", FEATURES];
    steps::run(cargo().args(build))?;
    steps::run(cargo().args(["build", "--quiet", "-p", "lithops-gcs-front", "--bins"]))?;
    let folder = built("peers")?.join(format!("run-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    let mut starts: Vec<Start> = vec![Server::seaweedfs, Server::redis, Server::gcs];
    if full {
        starts.push(Server::moto);
    }
    for start in starts {
        let server = start(&folder)?;
        against(&server, &folder)
            .map_err(|problem| format!("e2e storage: {}: {problem}{}", server.name, server.last_lines()))?;
    }
    // After a failure the files stay: they explain it.
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}

fn against(server: &Server, folder: &std::path::Path) -> Result<(), String> {
    let config: PathBuf = folder.join(format!("{}.yaml", server.name));
    std::fs::write(&config, server.yaml.replace("MORE", "")).map_err(|error| error.to_string())?;
    let mut suite = cargo();
    suite.args(["test", "--quiet", "-p", "lithops-conformance", "--test", "storages", "--"]);
    for (_, trial) in DIFFERENCES.iter().filter(|(name, _)| *name == server.name) {
        suite.args(["--skip", trial]);
    }
    steps::run(suite.env("LITHOPS_TEST_STORAGE", &config))?;
    if server.name == "gcs" {
        steps::run(
            Command::new(google_storage_python()?).arg(root().join("tests/gcs_front/check.py")).args([
                format!("http://127.0.0.1:{}", server.port),
                BUCKET.to_owned(),
                folder.join("gcs-key.json").display().to_string(),
                built("debug")?.join("lithops").display().to_string(),
                config.display().to_string(),
            ]),
        )?;
        eprintln!("   gcs: Google's own client writes what we read, and reads what we wrote: passed");
    }
    let programs = Programs::new(built("debug")?)?;
    for (name, trial) in trials::TRIALS {
        let left = Leftovers::of(&programs);
        trial(&programs, server)
            .and_then(|()| left.none())
            .map_err(|problem| format!("{name}: {problem}"))?;
        eprintln!("   {}: {name}: passed", server.name);
    }
    Ok(())
}
