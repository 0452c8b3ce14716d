//! Why nothing happens: each reason is told in the platform's words.

use super::run::Trial;
use crate::e2e::place::{NAMESPACE, Place};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("a cluster without room is waited for, and said", no_room),
    ("a quota is waited for, and said", quota),
    ("a Job whose pods may not be made is an error", forbidden),
    ("an image that no node may have is an error", wrong_image),
    ("an image that is not there is said", missing_image),
    ("a namespace that is not there is an error", no_namespace),
    ("rights that are missing are an error", no_rights),
];

/// Starts a job, waits until it says this, and interrupts it: nothing is left.
pub(super) fn waits(place: &Place<'_>, more: &str, words: &str) -> Result<(), String> {
    let mut running = place.start("examples/fleet", &["map", "2", "0"], more)?;
    place.until(&format!("`{words}` is said"), || {
        if running.has_ended()? {
            return Err(format!("the program ended: {}", running.stderr()));
        }
        Ok(running.stderr().contains(words))
    })?;
    let pid = running.pid().to_string();
    crate::steps::run(std::process::Command::new("kill").args(["-INT", &pid]))?;
    let ran = running.end()?;
    if ran.code != Some(130) {
        return Err(format!("the program ended with {:?}: {}", ran.code, ran.stderr));
    }
    place.until("its Job is gone", || Ok(place.objects("jobs")?.is_empty()))
}

fn no_room(place: &Place<'_>) -> Result<(), String> {
    waits(place, "runtime_cpu: 200", "Insufficient cpu")
}

fn quota(place: &Place<'_>) -> Result<(), String> {
    place.kubectl(&["create", "quota", "few", "--hard=pods=0"])?;
    let tried = waits(place, "", "exceeded quota: few");
    place.kubectl(&["delete", "quota", "few"])?;
    tried
}

fn forbidden(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/fleet", &["map", "2", "0"], "pod_template: {hostNetwork: true}")?;
    ran.refuses("violates PodSecurity")?;
    place.clear()?;
    // It may only be on its way.
    waits(place, "service_account: nobody", "serviceaccount \"nobody\" not found")
}

fn wrong_image(place: &Place<'_>) -> Result<(), String> {
    let never = "runtime: 'example.invalid/no/image:1', image_pull_policy: Never";
    place.run("examples/fleet", &["map", "2", "0"], never)?.refuses("ErrImageNeverPull")?;
    let name = "pod_template: {containers: [{name: lithops, image: 'Not An Image'}]}";
    place.run("examples/fleet", &["map", "2", "0"], name)?.refuses("InvalidImageName")
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
    let ran = place.run("examples/fleet", &["map", "2", "0"], "namespace: nowhere");
    place.cluster.kubectl(["delete", "clusterrolebinding", "everywhere"])?;
    ran?.refuses("namespaces \"nowhere\" not found")
}

fn no_rights(place: &Place<'_>) -> Result<(), String> {
    place.kubectl(&["delete", "rolebinding", "client"])?;
    let ran = place.run("examples/fleet", &["map", "2", "0"], "");
    let account = format!("--serviceaccount={NAMESPACE}:client");
    place.kubectl(&["create", "rolebinding", "client", "--role=lithops", &account])?;
    ran?.refuses("is forbidden")
}
