//! Starts the cluster with Knative, and runs every trial on it.

use std::{sync::mpsc, thread, time::Instant};

use super::{faults, jobs};
use crate::{
    cluster::{ACTIVATOR, Cluster, Options},
    e2e::place::{Kind, Place},
    steps,
    workspace::{built, cargo},
};

/// A trial: its error says what was wrong.
pub(super) type Trial = fn(&Place<'_>) -> Result<(), String>;
/// Trials with their names.
pub(super) type Trials = &'static [(&'static str, Trial)];

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
    let of = |trials: &[Trials]| -> Vec<(&str, Trial)> {
        trials.concat().into_iter().filter(|(name, _)| name.contains(&only)).collect()
    };
    place.clear()?;
    together(&place, &of(&[faults::TOGETHER, jobs::TOGETHER]))?;
    for trial in of(&[faults::ALONE, jobs::ALONE]) {
        place.clear()?;
        run_one(&place, trial)?;
    }
    place.clear()?;
    if !only.is_empty() {
        return Ok(());
    }
    // The suite makes executors with few workers, which share the Services.
    let config = place.config("conformance", "runtime_timeout: 60, runtime_memory: 512")?;
    let mut trials = cluster.command("cargo");
    trials.current_dir(crate::workspace::root()).args(suite).args(["--", "--test-threads=3"]);
    steps::run(trials.env("LITHOPS_TEST_KNATIVE", config).env("CARGO_NET_OFFLINE", "true"))
}

/// Runs trials that do not look at what others do, all at once: they wait most of the time.
fn together(place: &Place<'_>, trials: &[(&str, Trial)]) -> Result<(), String> {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for (number, trial) in trials.iter().copied().enumerate() {
            let tell = tell.clone();
            scope.spawn(move || {
                let tried = place.beside(&number.to_string()).and_then(|place| run_one(&place, trial));
                // Another one may have failed: then this is not waited for.
                let _ = tell.send(tried);
            });
        }
        drop(tell);
        told.into_iter().collect()
    })
}

fn run_one(place: &Place<'_>, (name, trial): (&str, Trial)) -> Result<(), String> {
    let begun = Instant::now();
    trial(place).map_err(|problem| format!("e2e knative: {name}: {problem}"))?;
    eprintln!("   {name}: passed in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
