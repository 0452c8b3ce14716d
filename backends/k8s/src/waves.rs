//! How a wave of workers is created.

use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use lithops_core::error::{Error, ErrorKind, Result};
use serde_json::json;

use crate::{
    client::Cluster,
    failure,
    manifest::{FLEET, Wave, label},
};

/// How creating a wave has ended.
#[derive(Debug)]
pub(crate) enum Created {
    /// It is there, or was there before.
    There,
    /// The cluster has no room for it now; why, in its words.
    Waits(String, Option<std::time::Duration>),
}

/// Creates a wave's Job, and its Secret before any pod starts. A wave that is there already is not changed.
///
/// # Errors
/// When the cluster refuses for good.
pub(crate) async fn create(cluster: &Cluster, wave: &Wave<'_>) -> Result<Created> {
    let name = wave.name();
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let what = format!("create the Job `{name}` in the namespace `{}`", cluster.namespace);
    let job: Job = typed(wave.job()?)?;
    let job = match jobs.create(&PostParams::default(), &job).await {
        Ok(job) => job,
        // A request whose answer was lost was made again.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            jobs.get(&name).await.map_err(|error| failure::of(&error, &what))?
        }
        Err(kube::Error::Api(status)) if status.code == 403 && failure::is_quota(&status.message) => {
            return Ok(Created::Waits(status.message.clone(), None));
        }
        Err(kube::Error::Api(status)) if status.code == 429 => {
            let error = kube::Error::Api(status);
            return Ok(Created::Waits(
                failure::of(&error, &what).message().to_owned(),
                failure::retry_after(&error),
            ));
        }
        Err(error) => return Err(failure::of(&error, &what)),
    };
    let Some(secrets) = wave.secrets.filter(|_| wave.waits_for_secret()) else { return Ok(Created::There) };
    let secret: Secret = typed(wave.secret(secrets, &job.uid().unwrap_or_default())?)?;
    let namespaced: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    match namespaced.create(&PostParams::default(), &secret).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => {
            // A Job that can never begin is not left behind.
            let _ = jobs.delete(&name, &DeleteParams::background()).await;
            let what = format!("create the Secret `{name}` in the namespace `{}`", cluster.namespace);
            return Err(failure::of(&error, &what));
        }
    }
    if wave.config.queue.is_none() {
        let begin = Patch::Merge(json!({"spec": {"suspend": false}}));
        let patched = jobs.patch(&name, &PatchParams::default(), &begin).await;
        patched.map_err(|error| failure::of(&error, &format!("let the Job `{name}` begin")))?;
    }
    Ok(Created::There)
}

/// Deletes all waves of a fleet, with their pods.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub(crate) async fn delete_all(cluster: &Cluster, fleet: &str) -> Result<()> {
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let of_fleet = ListParams::default().labels(&format!("{FLEET}={}", label(fleet)));
    let background =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    let deleted = jobs.delete_collection(&background, &of_fleet).await;
    deleted.map(drop).map_err(|error| failure::of(&error, "delete the Jobs of the fleet"))
}

fn typed<T: serde::de::DeserializeOwned>(manifest: serde_json::Value) -> Result<T> {
    serde_json::from_value(manifest).map_err(|error| {
        Error::new(
            ErrorKind::ConfigInvalid,
            format!("`pod_template` does not fit into the specification of a pod: {error}"),
        )
        .with_hint("compare it with `kubectl explain job.spec.template.spec`")
        .with_context("key", "k8s.pod_template")
    })
}
