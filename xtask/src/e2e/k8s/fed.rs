//! Workers that are fed: the client connects to each pod, and what the cluster does to pods and connections loses nothing.

use super::run::Trial;
use crate::e2e::place::{Place, Running};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("fed: a warm call takes a moment, and 10,000 calls little more", rate),
    ("fed: workers fetch the program, where their image is none", fetched),
    ("fed: a killed client leaves nothing", killed_client),
];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] = &[
    ("fed: the first example runs with another configuration, on 25 workers", first_example),
    ("fed: calls fail as on this machine", failures),
    ("fed: an evicted worker hands back", evicted),
    ("fed: a node that falls silent loses nothing", silent),
    ("fed: an API server that is restarted loses nothing", restarted),
    ("fed: a cluster without room is waited for, and said", no_room),
    ("fed: rights that are missing are an error", no_rights),
    ("auto: a durable job goes on in another program", durable),
];

fn first_example(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/granularity", &[], "runtime_cpu: 4, dispatch: fed")?;
    let results: Vec<i64> = (7..207).collect();
    ran.says(&format!("{results:?}"))?;
    // The program has ended its workers.
    place.until("no Job is left", || Ok(place.objects("jobs")?.is_empty()))
}

fn failures(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/failures", &[], "max_workers: 2, dispatch: fed")?;
    ran.says("return: return is fine\nerr: ")?;
    ran.says("print: print is fine\nit printed: a line of output\n")?;
    for way in ["panic: ", "exit: ", "abort: ", "kill: ", "hang: "] {
        ran.says(way)?;
    }
    Ok(())
}

fn rate(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/fleet", &["latency", "20"], "max_workers: 1, dispatch: fed")?;
    ran.says("warm: ")?;
    eprint!("{}", ran.stdout);
    let ran = place.run("examples/fleet", &["rate", "10000", "4"], "max_workers: 4, dispatch: fed")?;
    ran.says("10000 calls on 4 machines")?;
    eprint!("{}", ran.stdout);
    Ok(())
}

/// The image of a program is also one of a worker that fetches programs, if its program is `lithops-worker`.
fn fetched(place: &Place<'_>) -> Result<(), String> {
    let worker = place.built.join("lithops-worker").display().to_string();
    let deployed = place.run("lithops", &["runtime", "deploy", "worker", "--worker", &worker], "")?;
    deployed.says("lithops-runtime:")?;
    let image = deployed.stdout.split_whitespace().find(|word| word.contains("lithops-runtime:"));
    let image = image.ok_or("the image has no name")?.trim_matches(|end: char| !end.is_alphanumeric());
    let more = format!("max_workers: 2, dispatch: fed, runtime: '{image}'");
    place.run("examples/fleet", &["map", "20", "10"], &more)?.says("all 20 results are right").map(drop)
}

/// A job of 4 workers that takes 15 seconds; it runs when this returns.
fn long_job(place: &Place<'_>) -> Result<Running, String> {
    let mut running =
        place.start("examples/fleet", &["map", "120", "500"], "max_workers: 4, dispatch: fed")?;
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
    let name = place.running()?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    place.evict(&name)?;
    let ran = running.end()?;
    // What had not begun was handed back, and what ran has ended.
    ran.says("all 120 results are right")?;
    ran.says("0 workers were lost, 0 calls were tried again").map(drop)
}

fn silent(place: &Place<'_>) -> Result<(), String> {
    let running = long_job(place)?;
    if !place.running()?.iter().any(|pod| pod["spec"]["nodeName"] == "node2") {
        return Err("no worker is on `node2`".to_owned());
    }
    place.cluster.stop_kubelet(2)?;
    let ran = running.end();
    place.cluster.continue_kubelet(2)?;
    let status = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    place.until("the node is back", || {
        Ok(place.cluster.kubectl(["get", "node", "node2", "-o", status])? == "True")
    })?;
    ran?.says("all 120 results are right").map(drop)
}

fn restarted(place: &Place<'_>) -> Result<(), String> {
    let running = long_job(place)?;
    place.cluster.restart_api_server()?;
    running.end()?.says("all 120 results are right").map(drop)
}

fn no_room(place: &Place<'_>) -> Result<(), String> {
    super::refusals::waits(place, "runtime_cpu: 200, dispatch: fed", "Insufficient cpu")
}

fn no_rights(place: &Place<'_>) -> Result<(), String> {
    let rules = serde_json::json!([{"op": "remove", "path": "/rules/4"}]).to_string();
    place.kubectl(&["patch", "role", "lithops", "--type=json", &format!("-p={rules}")])?;
    let ran = place.run("examples/fleet", &["map", "2", "0"], "dispatch: fed");
    place.apply_role()?;
    ran?.refuses("pods/portforward")
}

fn killed_client(place: &Place<'_>) -> Result<(), String> {
    let more = "max_workers: 4, orphan: 4s, ttl: 1s, dispatch: fed";
    let mut running = place.start("examples/fleet", &["map", "4000", "100"], more)?;
    place.until("workers run", || {
        if running.has_ended()? {
            return Err(format!("the program ended: {}", running.stderr()));
        }
        Ok(!place.running()?.is_empty())
    })?;
    running.kill()?;
    place.until("no pod and no Job is left", || {
        Ok(place.running()?.is_empty() && place.objects("jobs")?.is_empty())
    })
}

fn durable(place: &Place<'_>) -> Result<(), String> {
    let more = "max_workers: 2, orphan: 60s, lease: 6s, dispatch: auto";
    let mut first = place.start("examples/fleet", &["start", "40", "500"], more)?;
    place.until("the job has an id, and workers", || {
        if first.has_ended()? {
            return Err(format!("the program ended: {}", first.stderr()));
        }
        Ok(first.stdout().lines().next().is_some() && !place.running()?.is_empty())
    })?;
    let job = first.stdout().lines().next().unwrap_or_default().to_owned();
    first.kill()?;
    place.run("examples/fleet", &["attach", &job, "40"], more)?.says("all 40 results are right").map(drop)
}
