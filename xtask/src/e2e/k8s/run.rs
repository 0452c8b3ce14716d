//! Starts the cluster, and runs every trial on it.

use std::time::Instant;

use super::{bars, churn, disks, faults, feeding, jobs, memory, refusals, thousand, watches};
use crate::{
    cluster::{Cluster, Options},
    e2e::place::{Kind, Place},
    steps,
    workspace::{built, cargo},
};

/// A trial: its error says what was wrong.
pub(super) type Trial = fn(&Place<'_>) -> Result<(), String>;
/// Trials with their names.
type Trials = &'static [(&'static str, Trial)];

const FEATURES: &str = "cli,k8s,minio";
pub(super) const K8S: Kind = Kind {
    scheme: "k8s",
    role: "lithops",
    label: "lithops/fleet",
    makes: "jobs",
    ends_slowly: false,
    keys: &[("runtime_memory", "256"), ("ephemeral_storage", "256")],
};

/// The nodes that only seem to run pods, for a thousand of them.
const FAKE_NODES: u16 = 5;
/// How workers get their calls, in the runs of the conformance suite: with `--full` in each of these ways.
const DISPATCH: &[&str] = &["pull", "fed"];
/// The variable with parts of the names of the only trials that are run, with `;` between them.
const ONLY: &str = "LITHOPS_E2E_ONLY";

/// The trials of each run.
const SHORT: &[Trials] = &[jobs::TRIALS, feeding::TRIALS, bars::TRIALS, refusals::TRIALS, faults::TRIALS];
/// Those that are run with `--full` alone.
const LONG: &[Trials] = &[
    jobs::LONG,
    feeding::LONG,
    refusals::LONG,
    faults::LONG,
    memory::TRIALS,
    memory::LONG,
    watches::TRIALS,
    watches::LONG,
    disks::LONG,
    churn::LONG,
    thousand::LONG,
];

/// Runs the trials on a cluster, which is ended afterwards; with `full` those that take minutes, too.
pub(in crate::e2e) fn run(full: bool) -> Result<(), String> {
    let build = ["build", "--quiet", "-p", "lithops", "--bins", "--examples", "--features", FEATURES];
    steps::run(cargo().args(build))?;
    // For an image that has no functions of its own.
    steps::run(cargo().args(["build", "--quiet", "-p", "lithops-worker", "--features", "programs,aws_s3"]))?;
    let suite = ["test", "--quiet", "-p", "lithops-conformance", "--features", "cluster", "--test", "k8s"];
    if DISPATCH.iter().any(|dispatch| is_chosen(&conformance(dispatch))) {
        steps::run(cargo().args(suite).arg("--no-run"))?;
    }
    // It is not the one that `cargo xtask cluster up` starts, and begins anew where a run was killed.
    let many = thousand::LONG.iter().any(|(name, _)| full && is_chosen(name));
    let (folder, fake_nodes) = (Some(built("cluster-e2e")?), if many { FAKE_NODES } else { 0 });
    let cluster =
        Cluster::up(&Options { install: true, folder, anew: true, fake_nodes, ..Options::default() })?;
    let tried = on(&cluster, &suite, full);
    let ended = cluster.down();
    tried.and(ended)
}

/// Whether a trial is to be run.
fn is_chosen(name: &str) -> bool {
    std::env::var(ONLY).is_ok_and(|only| only.split(';').any(|part| name.contains(part)))
        || std::env::var_os(ONLY).is_none()
}

fn conformance(dispatch: &str) -> String {
    format!("conformance, {dispatch}")
}

fn on(cluster: &Cluster, suite: &[&str], full: bool) -> Result<(), String> {
    let place = Place::new(&K8S, cluster, built("debug")?)?;
    let trials = SHORT.iter().chain(if full { LONG } else { &[] }).flat_map(|trials| *trials);
    let mut failed = Vec::new();
    for (name, trial) in trials.filter(|(name, _)| is_chosen(name)) {
        let begun = Instant::now();
        let tried = place.clear().and_then(|()| trial(&place));
        match tried.map_err(|problem| format!("e2e k8s: {name}: {problem}")) {
            Ok(()) => eprintln!("   {name}: passed in {:.1} s", begun.elapsed().as_secs_f64()),
            // With chosen trials, the others run on after a failure.
            Err(problem) if std::env::var_os(ONLY).is_some() => {
                eprintln!("{problem}");
                failed.push(*name);
            }
            Err(problem) => return Err(problem),
        }
    }
    if !failed.is_empty() {
        return Err(format!("{} trials failed: {}", failed.len(), failed.join(", ")));
    }
    let dispatch = if full { DISPATCH } else { &DISPATCH[..1] };
    for dispatch in dispatch.iter().filter(|dispatch| is_chosen(&conformance(dispatch))) {
        place.clear()?;
        let config = place.config("conformance", &format!("lease: 6s, orphan: 60s, dispatch: {dispatch}"))?;
        let begun = Instant::now();
        let mut trials = cluster.command("cargo");
        trials.current_dir(crate::workspace::root()).args(suite).args(["--", "--test-threads=2"]);
        steps::run(trials.env("LITHOPS_TEST_K8S", config).env("CARGO_NET_OFFLINE", "true"))?;
        eprintln!("   {}: passed in {:.1} s", conformance(dispatch), begun.elapsed().as_secs_f64());
    }
    Ok(())
}
