//! Jobs that go well: programs of localhost with another configuration, and the granularity that was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::run::Trial;
use crate::e2e::place::{NAMESPACE, Place, Ran};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("the first example runs with another configuration, on 25 workers", first_example),
    ("100 calls one by one are 100 pods, and four at a time 25", one_by_one),
    ("an image that is there is not pushed again", pushed_once),
    ("words of text in S3 are counted", words),
    ("calls fail as on this machine", failures),
    ("the doctor finds nothing wrong", doctor),
    ("a durable job goes on in another program", attached),
];

/// 200 calls at 4 and 8, as the document on granularity has them.
fn first_example(place: &Place<'_>) -> Result<(), String> {
    let (ran, pods) = counted(place, "examples/granularity", &[], "runtime_cpu: 4", 25)?;
    let results: Vec<i64> = (7..207).collect();
    ran.says(&format!("{results:?}"))?;
    match pods.values().find(|pod| pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] != "4") {
        None => Ok(()),
        Some(pod) => Err(format!("a worker has other limits: {pod}")),
    }
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

fn failures(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/failures", &[], "max_workers: 2")?;
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

fn attached(place: &Place<'_>) -> Result<(), String> {
    let more = "max_workers: 2, orphan: 60s, lease: 6s";
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
