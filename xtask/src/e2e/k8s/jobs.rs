//! Jobs that go well: programs of localhost with another configuration, and the granularity that was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::{
    run::Trial,
    workers::{FED, PULL},
};
use crate::e2e::place::{NAMESPACE, Place, Ran};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("the first example runs with another configuration, on 25 workers", first_example),
    ("100 calls one by one are 100 pods, and four at a time 25", one_by_one),
    ("an image that is there is not pushed again", pushed_once),
    ("words of text in S3 are counted", words),
    ("calls fail as on this machine", |place| failures(place, PULL)),
    ("the doctor finds nothing wrong", doctor),
    ("the doctor's pod tries the storage, and nothing of it is left", live_doctor),
    ("a durable job goes on in another program", |place| attached(place, "lease: 6s")),
    ("fed: workers fetch the program, where their image is none", fetched),
];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] = &[
    ("fed: the first example runs with another configuration", fed_first_example),
    ("fed: calls fail as on this machine", |place| failures(place, FED)),
    ("auto: a durable job goes on in another program", |place| attached(place, "lease: 6s, dispatch: auto")),
];

/// 200 calls at 4 and 8, as the document on granularity has them.
fn first_example(place: &Place<'_>) -> Result<(), String> {
    let (ran, pods) = counted(place, "examples/granularity", &[], "runtime_cpu: 4", 25)?;
    ran.says(&results_of_the_first_example())?;
    match pods.values().find(|pod| pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] != "4") {
        None => Ok(()),
        Some(pod) => Err(format!("a worker has other limits: {pod}")),
    }
}

fn fed_first_example(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/granularity", &[], &format!("runtime_cpu: 4, {FED}"))?;
    ran.says(&results_of_the_first_example())?;
    // The program has ended its workers.
    place.until("no Job is left", || Ok(place.objects("jobs")?.is_empty()))
}

fn results_of_the_first_example() -> String {
    format!("{:?}", (7..207).collect::<Vec<_>>())
}

fn one_by_one(place: &Place<'_>) -> Result<(), String> {
    let of = |cpus: &str, processes: u32| {
        format!(
            "runtime_cpu: {cpus}, worker_processes: {processes}, runtime_memory: 128, ephemeral_storage: 64"
        )
    };
    let (ran, _) = counted(place, "examples/fleet", &["map", "100", "2000"], &of("1", 1), 100)?;
    ran.says("all 100 results are right")?;
    place.clear()?;
    let (ran, _) = counted(place, "examples/fleet", &["map", "100", "100"], &of("4", 4), 25)?;
    ran.says("all 100 results are right").map(drop)
}

/// Runs a program; it has this many workers, as the API server counts the pods while it runs. They are of one Job.
fn counted(
    place: &Place<'_>,
    program: &str,
    arguments: &[&str],
    more: &str,
    wanted: usize,
) -> Result<(Ran, BTreeMap<String, Value>), String> {
    let mut running = place.start(program, arguments, more)?;
    let (mut pods, mut jobs) = (BTreeMap::new(), BTreeSet::new());
    place.until("the program ends", || {
        let has_ended = running.has_ended()?;
        for pod in place.objects("pods")? {
            jobs.insert(pod["metadata"]["labels"]["job-name"].to_string());
            pods.insert(pod["metadata"]["uid"].to_string(), pod);
        }
        Ok(has_ended)
    })?;
    let ran = running.end()?;
    if pods.len() != wanted || jobs.len() != 1 {
        return Err(format!("{} pods of {jobs:?}, and {wanted} of one are wanted: {ran:?}", pods.len()));
    }
    Ok((ran, pods))
}

fn pushed_once(place: &Place<'_>) -> Result<(), String> {
    let program = place.built.join("examples/fleet").display().to_string();
    let deploy = ["runtime", "deploy", "fleet", "--worker", &program];
    let first = place.run("lithops", &deploy, "")?;
    first.says("lithops-runtime:")?;
    let again = place.run("lithops", &deploy, "")?;
    again.says("lithops-runtime:")?;
    if first.stdout != again.stdout {
        return Err(format!("the same program has two images: {} {}", first.stdout, again.stdout));
    }
    place.run("lithops", &["runtime", "list"], "")?.says("lithops-runtime:").map(drop)
}

fn words(place: &Place<'_>) -> Result<(), String> {
    let text = "to be or not to be that is the question\n".repeat(2000);
    for number in 0..8 {
        let file = place.folder.join(format!("texts/{number}"));
        fs::create_dir_all(place.folder.join("texts"))
            .and_then(|()| fs::write(file, &text))
            .map_err(|error| error.to_string())?;
    }
    let ran = place.run("examples/words", &["texts"], "max_workers: 4")?;
    let lines = ["3 KiB", "50 KiB", "1 MiB"].map(|size| format!("160000 words in parts of {size}\n"));
    ran.says(&lines.concat()).map(drop)
}

fn failures(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    let ran = place.run("examples/failures", &[], &format!("max_workers: 2, {dispatch}"))?;
    ran.says("return: return is fine\nerr: ")?;
    ran.says("print: print is fine\nit printed: a line of output\n")?;
    for way in ["panic: ", "exit: ", "abort: ", "kill: ", "hang: "] {
        ran.says(way)?;
    }
    Ok(())
}

fn doctor(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("lithops", &["doctor"], "")?;
    ran.says("is Kubernetes v1.")?.says("all rights that are needed")?;
    ran.says(&format!("namespace is `{NAMESPACE}`"))?.says("resources: [jobs]").map(drop)
}

/// With the program as the image, and with the worker alone; then with a storage that no pod can reach.
fn live_doctor(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("lithops", &["doctor", "--live"], "")?;
    ran.says("has opened the bucket, and put, read, listed and deleted an object")?.says("256 MiB")?;
    eprint!(
        "{}",
        ran.stdout
            .lines()
            .filter(|line| line.contains("opened"))
            .map(|line| format!("   {line}\n"))
            .collect::<String>()
    );
    let runtime = worker_image(place)?;
    let more = format!("{FED}, runtime: '{runtime}'");
    place.run("lithops", &["doctor", "--live"], &more)?.says("has opened the bucket")?;
    let pods = place.objects("pods")?;
    let runs = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
    match (place.objects("jobs")?.len(), pods.iter().find(|pod| runs(pod))) {
        (0, None) => Ok(()),
        (jobs, pod) => Err(format!("{jobs} Jobs are left, and the pod {pod:?}")),
    }
}

fn attached(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    let more = format!("max_workers: 2, orphan: 60s, {dispatch}");
    let mut first = place.start("examples/fleet", &["start", "40", "500"], &more)?;
    place.until_of(&mut first, "the job has an id, and workers", |first| {
        Ok(first.stdout().lines().next().is_some() && !place.running()?.is_empty())
    })?;
    let job = first.stdout().lines().next().unwrap_or_default().to_owned();
    first.kill()?;
    place.run("examples/fleet", &["attach", &job, "40"], &more)?.says("all 40 results are right").map(drop)
}

/// The image of a program is also one of a worker that fetches programs, if its program is `lithops-worker`.
fn fetched(place: &Place<'_>) -> Result<(), String> {
    let more = format!("max_workers: 2, {FED}, runtime: '{}'", worker_image(place)?);
    place.run("examples/fleet", &["map", "20", "10"], &more)?.says("all 20 results are right").map(drop)
}

/// Pushes the image of `lithops-worker`; gives its name.
fn worker_image(place: &Place<'_>) -> Result<String, String> {
    let worker = place.built.join("lithops-worker").display().to_string();
    let deployed = place.run("lithops", &["runtime", "deploy", "worker", "--worker", &worker], "")?;
    deployed.says("lithops-runtime:")?;
    let image = deployed.stdout.split_whitespace().find(|word| word.contains("lithops-runtime:"));
    let image = image.ok_or("the image has no name")?;
    Ok(image.trim_matches(|end: char| !end.is_alphanumeric()).to_owned())
}
