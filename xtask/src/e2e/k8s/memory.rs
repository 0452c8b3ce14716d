//! Memory: what a call takes too much of is told for what it is, be it the worker that ends it or the kernel.

use super::run::Trial;
use crate::e2e::place::Place;

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("a call that takes too much memory fails alone", greedy_call),
    ("a worker that the kernel kills for its memory is told so, and its call runs again", |place| {
        killed_worker(place, "lease: 6s")
    }),
];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] = &[
    ("fed: a worker that the kernel kills for its memory is told so, and its call runs again", |place| {
        killed_worker(place, "dispatch: fed")
    }),
    ("workers that have too little memory to start are an error", too_small),
];

/// The worker ends the call before the kernel ends the worker.
fn greedy_call(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/fleet", &["hoard", "8", "1000"], "max_workers: 1, runtime_cpu: 2")?;
    ran.says("OutOfMemory: ")?.says("all others are right; 0 workers were lost").map(drop)
}

/// The folder of the worker is memory, which is no sub-worker's: the kernel ends the worker, and with it the container.
fn killed_worker(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    let more = format!(
        "max_workers: 1, pod_template: {{volumes: [{{name: tmp, emptyDir: {{medium: Memory}}}}]}}, {dispatch}"
    );
    let mut running = place.start("examples/fleet", &["fill", "400"], &more)?;
    let mut killed = None;
    let reason = |pod: &serde_json::Value| {
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"].as_str().map(str::to_owned)
    };
    place.until_of(&mut running, "a pod has ended", |_| {
        killed = killed.take().or(place.objects("pods")?.iter().find_map(reason));
        Ok(killed.is_some())
    })?;
    if killed.as_deref() != Some("OOMKilled") {
        return Err(format!("the worker has ended otherwise: {killed:?}"));
    }
    place.until_of(&mut running, "the client says so", |running| {
        Ok(running.stderr().contains("took more memory than"))
    })?;
    running.end()?.says("the disk was filled once, and then not").map(drop)
}

/// The kernel ends the program before it can say a word.
fn too_small(place: &Place<'_>) -> Result<(), String> {
    let resources = "{requests: {memory: 6Mi}, limits: {memory: 6Mi}}";
    let more =
        format!("max_workers: 6, pod_template: {{containers: [{{name: lithops, resources: {resources}}}]}}");
    let mut running = place.start("examples/fleet", &["map", "6", "0"], &more)?;
    let words = "workers in a row ended before they ran";
    place.until_of(&mut running, &format!("`{words}` is said"), |running| {
        Ok(running.stderr().contains(words))
    })?;
    let ran = running.end()?;
    ran.refuses(words)?;
    eprintln!("   it says: {}", ran.stderr.lines().last().unwrap_or_default());
    Ok(())
}
