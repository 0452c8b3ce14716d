//! What a cluster does to workers: nothing is lost, and each end is told for what it is.

use super::{
    place::{Place, Running},
    run::Trial,
};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("an evicted worker hands back and does not count as done", evicted),
    ("a node that is drained, and one that falls silent, lose nothing", nodes),
    ("a killed client leaves nothing", killed_client),
];

/// A job of 4 workers that takes half a minute; it runs when this returns.
fn long_job(place: &Place<'_>) -> Result<Running, String> {
    let mut running =
        place.start("examples/fleet", &["map", "240", "500"], "max_workers: 4, lease: 6s, chunksize: 2")?;
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
    let name = pods[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let uid = pods[0]["metadata"]["uid"].clone();
    let eviction =
        serde_json::json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let file = place.folder.join("eviction.json");
    std::fs::write(&file, eviction.to_string()).map_err(|error| error.to_string())?;
    let path = format!("/api/v1/namespaces/{}/pods/{name}/eviction", super::place::NAMESPACE);
    place.kubectl(&["create", "--raw", &path, "-f", &file.display().to_string()])?;
    place.until("another worker runs in its place", || {
        let pods = place.running()?;
        Ok(pods.len() == 4 && pods.iter().all(|pod| pod["metadata"]["uid"] != uid))
    })?;
    let succeeded =
        place.objects("jobs")?.iter().filter_map(|job| job["status"]["succeeded"].as_u64()).sum::<u64>();
    if succeeded > 0 {
        return Err("a worker that was told to leave counts as done".to_owned());
    }
    running.end()?.says("all 240 results are right").map(drop)
}

fn nodes(place: &Place<'_>) -> Result<(), String> {
    let running = long_job(place)?;
    place.cluster.kubectl([
        "drain",
        "n1",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=80s",
    ])?;
    place.cluster.kubectl(["uncordon", "n1"])?;
    running.end()?.says("all 240 results are right")?;
    place.clear()?;
    let running = long_job(place)?;
    place.cluster.stop_kubelet(2)?;
    let ran = running.end();
    place.cluster.continue_kubelet(2)?;
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    place.until("the node is back", || {
        Ok(place.cluster.kubectl(["get", "node", "n2", "-o", ready])? == "True")
    })?;
    ran?.says("all 240 results are right").map(drop)
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
