//! What a cluster does to workers: nothing is lost, and each end is told for what it is.

use super::run::Trial;
use crate::e2e::place::{Place, Running};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("an evicted worker hands back and does not count as done", evicted),
    ("a node that is drained loses nothing", drained),
    ("a node that falls silent loses nothing", silent),
    ("a containerd that is restarted loses nothing", containerd),
    ("a killed client leaves nothing", killed_client),
];

/// A job of 4 workers that takes 20 seconds; it runs when this returns.
fn long_job(place: &Place<'_>) -> Result<Running, String> {
    let mut running = place.start("examples/fleet", &["map", "160", "500"], "max_workers: 4, lease: 6s")?;
    place.until("four workers run", || {
        if running.has_ended()? {
            return Err(format!("the program ended: {}", running.stderr()));
        }
        Ok(place.running()?.len() == 4)
    })?;
    Ok(running)
}

fn evicted(place: &Place<'_>) -> Result<(), String> {
    let running = long_job(place)?;
    let pods = place.running()?;
    let uid = pods[0]["metadata"]["uid"].clone();
    place.evict(pods[0]["metadata"]["name"].as_str().unwrap_or_default())?;
    place.until("the worker has left, and another runs for its index", || {
        let pods = place.running()?;
        Ok(pods.len() == 4 && pods.iter().all(|pod| pod["metadata"]["uid"] != uid))
    })?;
    // The Job counts an index as done when it has an end that was no failure.
    let jobs = place.objects("jobs")?;
    let done =
        jobs.iter().any(|job| !job["status"]["completedIndexes"].as_str().unwrap_or_default().is_empty());
    if done || jobs.len() != 1 {
        return Err(format!("a worker that was told to leave counts as done: {jobs:?}"));
    }
    running.end()?.says("all 160 results are right").map(drop)
}

/// A job of 4 workers, at least one of them on this node.
fn job_on(place: &Place<'_>, node: &str) -> Result<Running, String> {
    let running = long_job(place)?;
    let pods = place.running()?;
    if !pods.iter().any(|pod| pod["spec"]["nodeName"] == node) {
        return Err(format!("no worker is on `{node}`"));
    }
    Ok(running)
}

fn drained(place: &Place<'_>) -> Result<(), String> {
    let running = job_on(place, "node1")?;
    let drained = place.cluster.kubectl([
        "drain",
        "node1",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=80s",
    ]);
    place.cluster.kubectl(["uncordon", "node1"])?;
    drained?;
    running.end()?.says("all 160 results are right").map(drop)
}

fn silent(place: &Place<'_>) -> Result<(), String> {
    let running = job_on(place, "node2")?;
    place.cluster.stop_kubelet(2)?;
    let status = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    let is = |wanted: &str| Ok(place.cluster.kubectl(["get", "node", "node2", "-o", status])? == wanted);
    let ran = place
        .until("the node is known to be silent", || Ok(is("Unknown")? || is("False")?))
        .and_then(|()| running.end());
    place.cluster.continue_kubelet(2)?;
    place.until("the node is back", || is("True"))?;
    ran?.says("all 160 results are right").map(drop)
}

fn containerd(place: &Place<'_>) -> Result<(), String> {
    let running = long_job(place)?;
    place.cluster.restart_containerd(1)?;
    place.cluster.restart_containerd(2)?;
    running.end()?.says("all 160 results are right").map(drop)
}

fn killed_client(place: &Place<'_>) -> Result<(), String> {
    let more = "max_workers: 4, lease: 2s, orphan: 4s, patience: 10s, ttl: 1s";
    let mut running = place.start("examples/fleet", &["map", "4000", "100"], more)?;
    place.until("workers run", || {
        if running.has_ended()? {
            return Err(format!("the program ended: {}", running.stderr()));
        }
        Ok(!place.running()?.is_empty())
    })?;
    running.kill()?;
    place.until("no pod runs", || Ok(place.running()?.is_empty()))?;
    place.until("no Job and no Secret is left", || {
        Ok(place.objects("jobs")?.is_empty() && place.objects("secrets")?.is_empty())
    })
}
