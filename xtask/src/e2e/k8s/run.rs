//! Starts the cluster, and runs every trial on it.

use std::time::Instant;

use super::{faults, jobs, refusals};
use crate::{
    cluster::{Cluster, Options},
    e2e::place::{Kind, Place},
    steps,
    workspace::{built, cargo},
};

/// A trial: its error says what was wrong.
pub(super) type Trial = fn(&Place<'_>) -> Result<(), String>;

const FEATURES: &str = "cli,k8s,minio";
const K8S: Kind = Kind {
    scheme: "k8s",
    role: "lithops",
    label: "lithops/fleet",
    makes: "jobs",
    keys: &[("runtime_memory", "256"), ("ephemeral_storage", "256")],
};

/// Runs the trials on a cluster, which is ended afterwards.
pub(in crate::e2e) fn run(_full: bool) -> Result<(), String> {
    let build = ["build", "--quiet", "-p", "lithops", "--bins", "--examples", "--features", FEATURES];
    steps::run(cargo().args(build))?;
    let suite = ["test", "--quiet", "-p", "lithops-conformance", "--features", "cluster", "--test", "k8s"];
    steps::run(cargo().args(suite).arg("--no-run"))?;
    // It is not the one that `cargo xtask cluster up` starts, and begins anew where a run was killed.
    let folder = Some(built("cluster-e2e")?);
    let cluster = Cluster::up(&Options { install: true, folder, anew: true, ..Options::default() })?;
    let tried = on(&cluster, &suite);
    let ended = cluster.down();
    tried.and(ended)
}

fn on(cluster: &Cluster, suite: &[&str]) -> Result<(), String> {
    let place = Place::new(&K8S, cluster, built("debug")?)?;
    for (name, trial) in jobs::TRIALS.iter().chain(refusals::TRIALS).chain(faults::TRIALS) {
        let begun = Instant::now();
        place
            .clear()
            .and_then(|()| trial(&place))
            .map_err(|problem| format!("e2e k8s: {name}: {problem}"))?;
        eprintln!("   {name}: passed in {:.1} s", begun.elapsed().as_secs_f64());
    }
    place.clear()?;
    let config = place.config("conformance", "lease: 6s, orphan: 60s")?;
    let mut trials = cluster.command("cargo");
    trials.current_dir(crate::workspace::root()).args(suite).args(["--", "--test-threads=2"]);
    steps::run(trials.env("LITHOPS_TEST_K8S", config).env("CARGO_NET_OFFLINE", "true"))
}
