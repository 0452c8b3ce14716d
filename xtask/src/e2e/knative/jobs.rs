//! Jobs that go well: programs of localhost with another configuration, and the granularity that was asked for.

use std::fs;

use super::{
    pods::{counted, until_none},
    run::Trials,
};
use crate::e2e::place::{NAMESPACE, Place};

pub(super) const TOGETHER: Trials = &[
    ("the first example runs with another configuration", first_example),
    ("words of text in S3 are counted", words),
    ("calls fail as on this machine", failures),
    ("a worker in an image of its own fetches the program", fetched),
    ("the doctor finds nothing wrong", doctor),
];
pub(super) const ALONE: Trials = &[
    ("100 calls four at a time are 25 pods, and then none", four_at_a_time),
    ("calls one by one are as many pods", one_by_one),
    ("10,000 short calls on 10 pods", short_calls),
    ("a Service that is there is not created again", deployed_once),
    ("pods that are kept, and that no client uses, are found and removed", kept),
];

/// Calls one by one, each with a pod of its own: as many as two CPUs start and probe in time. With 100 the probes of those
/// that run time out while others start, and they are replaced again and again.
const ONE_BY_ONE: usize = 40;

/// 200 calls at 4 and 8, as the document on granularity has them.
fn first_example(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/granularity", &[], "runtime_cpu: 4")?;
    let results: Vec<i64> = (7..207).collect();
    ran.says(&format!("{results:?}")).map(drop)
}

fn four_at_a_time(place: &Place<'_>) -> Result<(), String> {
    // All calls run at once: less than 25 pods would not do, and more are not allowed.
    let running = place.start("examples/fleet", &["meet", "100"], "runtime_cpu: 4, max_workers: 25")?;
    let (ran, pods) = counted(place, running)?;
    ran.says("all 100 results are right, from 25 machines")?;
    if pods != 25 {
        return Err(format!("{pods} pods, and 25 are wanted: {ran:?}"));
    }
    until_none(place)
}

fn one_by_one(place: &Place<'_>) -> Result<(), String> {
    let calls = ONE_BY_ONE.to_string();
    let more = format!("runtime_cpu: 0.1, runtime_memory: 64, max_workers: {calls}");
    let running = place.start("examples/fleet", &["meet", &calls], &more)?;
    let (ran, pods) = counted(place, running)?;
    ran.says(&format!("all {calls} results are right, from {calls} machines"))?;
    if pods != ONE_BY_ONE {
        return Err(format!("{pods} pods, and {ONE_BY_ONE} are wanted: {ran:?}"));
    }
    Ok(())
}

fn short_calls(place: &Place<'_>) -> Result<(), String> {
    let more = "runtime_cpu: 1, max_workers: 10";
    let ran = place.run("examples/fleet", &["rate", "10000", "10"], more)?;
    ran.says("10000 calls on 10 machines")?;
    eprint!("{}", ran.stdout.lines().map(|line| format!("   {line}\n")).collect::<String>());
    Ok(())
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

fn fetched(place: &Place<'_>) -> Result<(), String> {
    let worker = place.built.join("lithops-worker").display().to_string();
    place.run("lithops", &["runtime", "build", "worker", "--worker", &worker], "")?.says("worker.tar")?;
    let archive = format!("oci-archive:{}", place.folder.join("worker.tar").display());
    let image = format!("{}/lithops-worker:1", place.cluster.registry());
    let mut skopeo = place.cluster.command("skopeo");
    skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", &archive]);
    crate::steps::run(skopeo.arg(format!("docker://{image}")))?;
    let more = format!("runtime: '{image}', max_workers: 2");
    place.run("examples/fleet", &["map", "20", "0"], &more)?.says("all 20 results are right").map(drop)
}

fn deployed_once(place: &Place<'_>) -> Result<(), String> {
    let program = place.built.join("examples/fleet").display().to_string();
    let deploy = ["runtime", "deploy", "fleet", "--worker", &program];
    let first = place.run("lithops", &deploy, "")?;
    let again = place.run("lithops", &deploy, "")?;
    again.says("lithops-")?;
    let services = place.objects("ksvc")?;
    if first.stdout != again.stdout || services.len() != 1 {
        return Err(format!("{} Services of one program: {first:?} {again:?}", services.len()));
    }
    if services[0]["metadata"]["generation"] != 1 {
        return Err(format!("the Service was changed: {}", services[0]));
    }
    let name = services[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    place.run("lithops", &["runtime", "list"], "")?.says(&name)?;
    place.run("lithops", &["runtime", "delete", &name], "")?.says("")?;
    place.until("it is gone", || Ok(place.objects("ksvc")?.is_empty()))?;
    let none = place.run("lithops", &["runtime", "delete", &name], "")?;
    none.refuses("there is no Service")
}

fn kept(place: &Place<'_>) -> Result<(), String> {
    let program = place.built.join("examples/fleet").display().to_string();
    let more = "min_workers: 1";
    place.run("lithops", &["runtime", "deploy", "fleet", "--worker", &program], more)?.says("lithops-")?;
    let services = place.objects("ksvc")?;
    let name = services[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let is_noted = services[0]["metadata"]["annotations"]["lithops/used"].is_string();
    if !is_noted || services[0]["metadata"]["generation"] != 1 {
        return Err(format!("that it is used is not noted, or changes it: {}", services[0]));
    }
    let none = place.run("lithops", &["clean", "--dry-run"], more)?;
    if none.says("")?.stdout.contains(&name) {
        return Err(format!("it was used just now: {none:?}"));
    }
    // As if the last client had gone long ago.
    place.kubectl(&["annotate", "--overwrite", "ksvc", &name, "lithops/used=1700000000"])?;
    place
        .run("lithops", &["clean"], more)?
        .says(&format!("removing {name}  a Service with `min_workers`: 1 pods"))?;
    place.until("it is gone", || Ok(place.objects("ksvc")?.is_empty()))
}

fn doctor(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("lithops", &["doctor"], "")?;
    ran.says("is Kubernetes v1.")?.says("all rights that are needed")?.says("has Knative Serving")?;
    ran.says(&format!("namespace is `{NAMESPACE}`"))?.says("resources: [services]").map(drop)
}
