//! Why nothing happens: each reason is told in the platform's words.

use std::time::{Duration, Instant};

use super::{
    run::Trial,
    workers::{FED, PULL},
};
use crate::e2e::place::{NAMESPACE, Place};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("a cluster without room is waited for, and said", |place| no_room(place, PULL)),
    ("a quota is waited for, and said", quota),
    ("a Job whose pods may not be made is an error", forbidden),
    ("an image that no node may have is an error", wrong_image),
    ("an image that is not there is said", missing_image),
    ("a namespace that is not there is an error", no_namespace),
    ("rights that are missing are an error", no_rights),
];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] =
    &[("fed: a cluster without room is waited for, and said", |place| no_room(place, FED))];

/// A reason is to be said this soon after it was there. A machine that does other things meanwhile takes longer, and is not
/// what is tried here.
const SOON: Duration = Duration::from_secs(15);
const LATEST: Duration = Duration::from_secs(60);

/// Starts a job, waits until it says this, and interrupts it: nothing is left.
fn waits(place: &Place<'_>, more: &str, words: &str) -> Result<(), String> {
    let mut running = place.start("examples/fleet", &["map", "2", "0"], more)?;
    place.until_of(&mut running, "its Job is there", |running| {
        Ok(running.stderr().contains(words) || !place.objects("jobs")?.is_empty())
    })?;
    let made = Instant::now();
    place.until_of(&mut running, &format!("`{words}` is said"), |running| {
        Ok(running.stderr().contains(words))
    })?;
    in_time(words, made.elapsed())?;
    running.interrupt()?;
    let ran = running.end()?;
    if ran.code != Some(130) {
        return Err(format!("the program ended with {:?}: {}", ran.code, ran.stderr));
    }
    place.until("its Job is gone", || Ok(place.objects("jobs")?.is_empty()))
}

/// Runs a job that must end with an error in these words, and leave nothing.
fn refused(place: &Place<'_>, more: &str, words: &str) -> Result<(), String> {
    let begun = Instant::now();
    let ran = place.run("examples/fleet", &["map", "2", "0"], more)?;
    ran.refuses(words)?;
    in_time(words, begun.elapsed())?;
    place.until("its Job is gone", || Ok(place.objects("jobs")?.is_empty()))
}

fn in_time(words: &str, took: Duration) -> Result<(), String> {
    let late = if took > SOON { ": late" } else { "" };
    eprintln!("   `{words}` was said after {:.1} s{late}", took.as_secs_f64());
    if took > LATEST { Err(format!("`{words}` was said after {took:?}")) } else { Ok(()) }
}

fn no_room(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    waits(place, &format!("runtime_cpu: 200, {dispatch}"), "Insufficient cpu")
}

fn quota(place: &Place<'_>) -> Result<(), String> {
    place.kubectl(&["create", "quota", "few", "--hard=pods=0"])?;
    let tried = waits(place, "", "exceeded quota: few");
    place.kubectl(&["delete", "quota", "few"])?;
    tried
}

fn forbidden(place: &Place<'_>) -> Result<(), String> {
    refused(place, "pod_template: {hostNetwork: true}", "violates PodSecurity")?;
    // It may only be on its way.
    waits(place, "service_account: nobody", "serviceaccount \"nobody\" not found")
}

fn wrong_image(place: &Place<'_>) -> Result<(), String> {
    let never = "runtime: 'example.invalid/no/image:1', image_pull_policy: Never";
    refused(place, never, "ErrImageNeverPull")?;
    let name = "pod_template: {containers: [{name: lithops, image: 'Not An Image'}]}";
    refused(place, name, "InvalidImageName")
}

fn missing_image(place: &Place<'_>) -> Result<(), String> {
    let runtime = format!("runtime: '{}/no/such:1'", place.cluster.registry());
    waits(place, &runtime, "ErrImagePull")
}

fn no_namespace(place: &Place<'_>) -> Result<(), String> {
    place.cluster.kubectl([
        "create",
        "clusterrolebinding",
        "everywhere",
        "--clusterrole=admin",
        &format!("--serviceaccount={NAMESPACE}:client"),
    ])?;
    let tried = refused(place, "namespace: nowhere", "namespaces \"nowhere\" not found");
    place.cluster.kubectl(["delete", "clusterrolebinding", "everywhere"])?;
    tried
}

fn no_rights(place: &Place<'_>) -> Result<(), String> {
    place.kubectl(&["delete", "rolebinding", "client"])?;
    let tried = refused(place, "", "is forbidden");
    let account = format!("--serviceaccount={NAMESPACE}:client");
    place.kubectl(&["create", "rolebinding", "client", "--role=lithops", &account])?;
    tried
}
