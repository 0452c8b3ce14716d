//! What Knative and its nodes do to workers: nothing is lost, and what cannot work is told in the platform's words.

use super::{
    pods::{running, until_none, worker},
    run::Trials,
};
use crate::e2e::place::{NAMESPACE, Place, Running};

pub(super) const ALONE: Trials = &[
    ("200 calls from zero, while pods, containers and the activator go", all_at_once),
    ("calls of a killed client are stopped, and then no pod is left", killed_client),
    ("rights that are missing are an error", no_rights),
];
pub(super) const TOGETHER: Trials = &[
    ("an image that is not there ends the job in the platform's words", missing_image),
    ("a program that is no worker ends the job in the platform's words", no_worker),
];

/// A job that runs when this returns: this many pods do.
fn job(place: &Place<'_>, arguments: &[&str], more: &str, pods: usize) -> Result<Running, String> {
    let mut job = place.start("examples/fleet", arguments, more)?;
    place.until(&format!("{pods} workers run"), || {
        if job.has_ended()? {
            return Err(format!("the program ended: {} {}", job.stdout(), job.stderr()));
        }
        Ok(running(place)?.len() >= pods)
    })?;
    Ok(job)
}

fn all_at_once(place: &Place<'_>) -> Result<(), String> {
    until_none(place)?;
    let running_job = job(place, &["noted", "200", "500"], "max_workers: 8, runtime_timeout: 60", 4)?;
    let pods = running(place)?;
    // One may finish what it has, and the other may not.
    place.kubectl(&["delete", "pod", &pods[0], "--wait=false"])?;
    place.kubectl(&["delete", "pod", &pods[1], "--grace-period=0", "--force"])?;
    let pid = worker().ok_or("no process of a worker is found")?;
    crate::steps::run(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]))?;
    place.cluster.restart_activator()?;
    let pods = running(place)?;
    if let Some(pod) = pods.last() {
        place.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"])?;
    }
    let ran = running_job.end()?;
    ran.says("all 200 results are right")?;
    ran.says("calls began")?;
    eprint!("{}", ran.stdout.lines().map(|line| format!("   {line}\n")).collect::<String>());
    until_none(place)
}

fn killed_client(place: &Place<'_>) -> Result<(), String> {
    let mut running_job = job(place, &["map", "4", "600000"], "max_workers: 4", 4)?;
    running_job.kill()?;
    // The calls would take ten minutes: that their pods go says that they were stopped.
    until_none(place)
}

fn missing_image(place: &Place<'_>) -> Result<(), String> {
    let runtime = format!("runtime: '{}/no/such:1'", place.cluster.registry());
    place.run("examples/fleet", &["map", "2", "0"], &runtime)?.refuses("no/such:1")
}

fn no_worker(place: &Place<'_>) -> Result<(), String> {
    // The programs in the containers of Knative itself are no workers.
    let runtime = format!("runtime: '{}/knative/queue:1'", place.cluster.registry());
    place
        .run("examples/fleet", &["map", "2", "0"], &runtime)?
        .refuses("CrashLoopBackOff: it ended with the exit code 1")
}

fn no_rights(place: &Place<'_>) -> Result<(), String> {
    place.kubectl(&["delete", "rolebinding", "client"])?;
    let ran = place.run("examples/fleet", &["map", "2", "0"], "");
    let account = format!("--serviceaccount={NAMESPACE}:client");
    place.kubectl(&["create", "rolebinding", "client", "--role=lithops-knative", &account])?;
    ran?.refuses("is forbidden")
}
