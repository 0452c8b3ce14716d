//! What a cluster does to workers: nothing is lost, and each end is told for what it is.

use super::{
    run::Trial,
    workers::{FED, PULL, all_right, four, working},
};
use crate::e2e::place::{Place, Running};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("an_evicted_worker_hands_back, and does not count as done", evicted),
    ("a node that is drained loses nothing", drained),
    ("a node that falls silent loses nothing, and is named", |place| {
        silent(place, PULL, "the node `node2` says nothing")
    }),
    ("a containerd that is restarted loses nothing", containerd),
    ("a_killed_client_leaves_nothing", |place| {
        killed_client(place, "lease: 2s, orphan: 4s, patience: 10s, ttl: 1s")
    }),
    ("fed: a_killed_client_leaves_nothing", |place| {
        killed_client(place, "orphan: 4s, ttl: 1s, dispatch: fed")
    }),
];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] = &[
    ("workers that are preempted lose nothing, and are waited for", preempted),
    ("fed: an_evicted_worker_hands_back", fed_evicted),
    ("fed: a node that falls silent loses nothing", |place| silent(place, FED, " was lost: ")),
];

/// What a client says of a worker that the platform has ended.
const TAKEN: &str = "the platform has taken its machine away";

fn evicted(place: &Place<'_>) -> Result<(), String> {
    let mut running = four(place, PULL)?;
    let pods = place.running()?;
    let uid = pods[0]["metadata"]["uid"].clone();
    place.evict(pods[0]["metadata"]["name"].as_str().unwrap_or_default())?;
    place.until("the worker has left, and another runs for its index", || {
        let pods = place.running()?;
        Ok(pods.len() == 4 && pods.iter().all(|pod| pod["metadata"]["uid"] != uid))
    })?;
    place.until_of(&mut running, "the client says so", |running| {
        Ok(running.stderr().contains(&format!("{}: {TAKEN}", uid.as_str().unwrap_or_default())))
    })?;
    // The Job counts an index as done when it has an end that was no failure.
    let jobs = place.objects("jobs")?;
    let done =
        jobs.iter().any(|job| !job["status"]["completedIndexes"].as_str().unwrap_or_default().is_empty());
    if done || jobs.len() != 1 {
        return Err(format!("a worker that was told to leave counts as done: {jobs:?}"));
    }
    // What had not begun was handed back, and what ran has ended.
    let ran = running.end()?;
    ran.says("all 160 results are right")?.says(" 0 calls were tried again").map(drop)
}

fn fed_evicted(place: &Place<'_>) -> Result<(), String> {
    let running = four(place, FED)?;
    let name = place.running()?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    place.evict(&name)?;
    let ran = running.end()?;
    ran.says("all 160 results are right")?;
    ran.says("0 workers were lost, 0 calls were tried again").map(drop)
}

/// A job of 4 workers, at least one of them on this node.
fn job_on(place: &Place<'_>, node: &str, dispatch: &str) -> Result<Running, String> {
    let running = four(place, dispatch)?;
    let pods = place.running()?;
    if !pods.iter().any(|pod| pod["spec"]["nodeName"] == node) {
        return Err(format!("no worker is on `{node}`"));
    }
    Ok(running)
}

fn drained(place: &Place<'_>) -> Result<(), String> {
    let running = job_on(place, "node1", PULL)?;
    let drained = place.drain("node1");
    place.cluster.kubectl(["uncordon", "node1"])?;
    drained?;
    all_right(running)
}

fn silent(place: &Place<'_>, dispatch: &str, words: &str) -> Result<(), String> {
    let mut running = job_on(place, "node2", dispatch)?;
    place.cluster.stop_kubelet(2)?;
    let status = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    let is = |wanted: &str| Ok(place.cluster.kubectl(["get", "node", "node2", "-o", status])? == wanted);
    let ran = place
        .until("the node is known to be silent", || Ok(is("Unknown")? || is("False")?))
        .and_then(|()| {
            place.until_of(&mut running, "the client says so", |running| Ok(running.stderr().contains(words)))
        })
        .and_then(|()| all_right(running));
    place.cluster.continue_kubelet(2)?;
    place.until("the node is back", || is("True"))?;
    ran
}

/// A pod that matters more takes the place of the workers on a node, while none is left for them.
fn preempted(place: &Place<'_>) -> Result<(), String> {
    let class = ["create", "priorityclass", "unimportant", "--value=-10"];
    place.cluster.kubectl(class)?;
    let tried = preempted_by(place);
    place.cluster.kubectl(["-n", "default", "delete", "pod", "important", "--ignore-not-found", "--now"])?;
    place.cluster.kubectl(["delete", "priorityclass", "unimportant"])?;
    tried
}

fn preempted_by(place: &Place<'_>) -> Result<(), String> {
    // Two of them fill a node.
    let more =
        format!("max_workers: 4, runtime_cpu: 30, worker_processes: 1, priority_class: unimportant, {PULL}");
    let mut running = working(place, &["map", "160", "500"], 4, &more)?;
    let pod = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "important"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "node1"},
            "containers": [{
                "name": "important",
                "image": place.cluster.idle_image(),
                "imagePullPolicy": "Never",
                "resources": {"requests": {"cpu": "50"}},
            }],
        },
    });
    let file = place.folder.join("important.json");
    std::fs::write(&file, pod.to_string()).map_err(|error| error.to_string())?;
    place.cluster.kubectl(["-n", "default", "create", "-f", &file.display().to_string()])?;
    place.until_of(
        &mut running,
        "the client says what has become of the workers, and what they wait for",
        |running| {
            let said = running.stderr();
            Ok(said.matches(TAKEN).count() == 2
                && said.contains("2 workers wait: ")
                && said.contains("Insufficient cpu"))
        },
    )?;
    let phase = ["-n", "default", "get", "pod", "important", "-o", "jsonpath={.status.phase}"];
    place.until("the pod that matters more runs", || Ok(place.cluster.kubectl(phase)? == "Running"))?;
    place.cluster.kubectl(["-n", "default", "delete", "pod", "important", "--now"])?;
    let ran = running.end()?;
    ran.says("all 160 results are right")?.says(" 0 calls were tried again").map(drop)
}

fn containerd(place: &Place<'_>) -> Result<(), String> {
    let running = four(place, PULL)?;
    place.cluster.restart_containerd(1)?;
    place.cluster.restart_containerd(2)?;
    let ran = running.end()?;
    // Its containers go on: no worker is missed.
    ran.says("all 160 results are right")?.says("0 workers were lost").map(drop)
}

fn killed_client(place: &Place<'_>, more: &str) -> Result<(), String> {
    let mut running = working(place, &["map", "4000", "100"], 1, &format!("max_workers: 4, {more}"))?;
    running.kill()?;
    place.until("no pod runs", || Ok(place.running()?.is_empty()))?;
    place.until("no Job and no Secret is left", || {
        Ok(place.objects("jobs")?.is_empty() && place.objects("secrets")?.is_empty())
    })
}
