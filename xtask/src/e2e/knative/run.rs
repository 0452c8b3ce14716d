//! Starts the cluster with Knative, and runs every trial on it.

use std::time::Instant;

use super::{faults, jobs};
use crate::{
    cluster::{ACTIVATOR, Cluster, Options},
    e2e::place::{Kind, Place},
    steps,
    workspace::{built, cargo},
};

/// A trial: its error says what was wrong.
pub(super) type Trial = fn(&Place<'_>) -> Result<(), String>;

/// The program `lithops-worker` is what the image of `runtime` holds.
const FEATURES: &str = "lithops/cli,lithops/knative,lithops/minio,lithops-worker/http,lithops-worker/aws_s3";
pub(super) const KNATIVE: Kind = Kind {
    scheme: "knative",
    role: "lithops-knative",
    label: "lithops/runtime",
    makes: "ksvc",
    ends_slowly: true,
    keys: &[
        ("activator_endpoint", ACTIVATOR),
        ("runtime_memory", "128"),
        // Without a pod before the first request, and without one soon after the last.
        ("annotations", "{autoscaling.knative.dev/initial-scale: '0', autoscaling.knative.dev/window: 6s}"),
    ],
};

/// Runs the trials on a cluster, which is ended afterwards.
pub(in crate::e2e) fn run(_full: bool) -> Result<(), String> {
    let build =
        ["build", "--quiet", "-p", "lithops", "-p", "lithops-worker", "--bins", "--features", FEATURES];
    let examples = ["granularity", "fleet", "words", "failures"].map(|name| format!("--example={name}"));
    // Once for all: each selection of features is compiled by itself.
    steps::run(cargo().args(build).args(examples))?;
    let suite =
        ["test", "--quiet", "-p", "lithops-conformance", "--features", "cluster", "--test", "knative"];
    steps::run(cargo().args(suite).arg("--no-run"))?;
    // It is not the one that `cargo xtask cluster up` starts, and begins anew where a run was killed.
    let folder = Some(built("cluster-e2e")?);
    let options = Options { knative: true, install: true, folder, anew: true, ..Options::default() };
    let cluster = Cluster::up(&options)?;
    let tried = on(&cluster, &suite);
    let ended = cluster.down();
    tried.and(ended)
}

fn on(cluster: &Cluster, suite: &[&str]) -> Result<(), String> {
    let place = Place::new(&KNATIVE, cluster, built("debug")?)?;
    // One trial is looked at with a part of its name in this variable.
    let only = std::env::var("LITHOPS_E2E_ONLY").unwrap_or_default();
    let trials = faults::TRIALS.iter().chain(jobs::TRIALS).filter(|(name, _)| name.contains(&only));
    for (name, trial) in trials {
        let begun = Instant::now();
        place
            .clear()
            .and_then(|()| trial(&place))
            .map_err(|problem| format!("e2e knative: {name}: {problem}"))?;
        eprintln!("   {name}: passed in {:.1} s", begun.elapsed().as_secs_f64());
    }
    place.clear()?;
    if !only.is_empty() {
        return Ok(());
    }
    // The suite makes executors with few workers, which share the Services.
    let config = place.config("conformance", "runtime_timeout: 60, runtime_memory: 512")?;
    let mut trials = cluster.command("cargo");
    trials.current_dir(crate::workspace::root()).args(suite).args(["--", "--test-threads=2"]);
    steps::run(trials.env("LITHOPS_TEST_KNATIVE", config).env("CARGO_NET_OFFLINE", "true"))
}
