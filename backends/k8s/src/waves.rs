//! How a wave of workers is created, and removed.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use lithops_core::error::{Error, ErrorKind, Result, Retry};
use serde_json::json;

use lithops_kubernetes::{Cluster, failure};

use crate::manifest::{Wave, prefix};

/// How long the cluster may take to answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
/// How the reasons of warnings begin that say what keeps a pod from starting. Others are only worth knowing.
const KEEPS: &[&str] = &["Failed", "NetworkNotReady"];
/// What the status of the pod says, and says no more once it has passed.
const IN_STATUS: &str = "FailedScheduling";
/// How many warnings are read at once.
const WARNINGS: u32 = 500;

/// How creating a wave has ended.
#[derive(Debug)]
pub(crate) enum Created {
    /// The Job is there, or was there before.
    There(Box<Job>),
    /// The cluster has no room for it now; why, in its words, and when it wants to be asked again.
    Waits(String, Option<Duration>),
}

/// Creates a wave's Job, and its Secret before any pod starts. A wave that is there already is not made again.
///
/// # Errors
/// When the cluster refuses, or does not answer.
pub(crate) async fn create(cluster: &Cluster, wave: &Wave<'_>) -> Result<Created> {
    tokio::time::timeout(ANSWER, create_slowly(cluster, wave)).await.unwrap_or_else(|_| {
        let problem = format!("the cluster at {} does not answer for {ANSWER:?}", cluster.address);
        Err(Error::new(ErrorKind::Timeout, problem).with_retry(Retry::Later))
    })
}

async fn create_slowly(cluster: &Cluster, wave: &Wave<'_>) -> Result<Created> {
    let name = wave.name();
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let what = format!("create the Job `{name}` in the namespace `{}`", cluster.namespace);
    let job: Job = serde_json::from_value(wave.job()?).map_err(|error| {
        let problem = format!("the specification of the workers' pods is none: {error}");
        Error::new(ErrorKind::ConfigInvalid, problem)
            .with_hint("compare `pod_template` with `kubectl explain job.spec.template.spec`")
            .with_context("key", "k8s.pod_template")
    })?;
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
            let words = failure::of(&error, &what).message().to_owned();
            return Ok(Created::Waits(words, failure::retry_after(&error)));
        }
        Err(error) => return Err(failure::of(&error, &what)),
    };
    if !wave.has_secrets() {
        return Ok(Created::There(Box::new(job)));
    }
    let namespaced: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    for secret in wave.secret_manifests(&job.uid().unwrap_or_default())? {
        let secret: Secret = serde_json::from_value(secret)
            .map_err(|_| Error::new(ErrorKind::Unexpected, "the Secret of a wave is none"))?;
        match namespaced.create(&PostParams::default(), &secret).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                let what = format!(
                    "create the Secret `{}` in the namespace `{}`",
                    secret.name_any(),
                    cluster.namespace
                );
                let error = failure::of(&error, &what);
                // What may succeed later is tried again with the Job that is there. One that can never begin is not left.
                if error.retry() != Retry::Later {
                    let _ = delete(cluster, &name).await;
                }
                return Err(error);
            }
        }
    }
    if wave.config.queue.is_some() {
        // The queue lets it begin.
        return Ok(Created::There(Box::new(job)));
    }
    let begin = Patch::Merge(json!({"spec": {"suspend": false}}));
    let begun = jobs.patch(&name, &PatchParams::default(), &begin).await;
    let begun = begun.map_err(|error| failure::of(&error, &format!("let the Job `{name}` begin")))?;
    Ok(Created::There(Box::new(begun)))
}

/// Deletes a wave, with its pods. One that is gone already is no error.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub(crate) async fn delete(cluster: &Cluster, name: &str) -> Result<()> {
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    match jobs.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failure::of(&error, &format!("delete the Job `{name}`"))),
    }
}

/// A warning about a Job or a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) words: String,
    /// When it was given last, in seconds since 1970, by the cluster's clock.
    pub(crate) at: i64,
}

/// The last warning about each Job and pod of a fleet, by name. The status of neither says why a Job makes no pods, or what
/// a container waits for. Events are listed and not watched: a namespace without any lets watches of them go stale.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub(crate) async fn warnings(cluster: &Cluster, fleet: &str) -> Result<BTreeMap<String, Warning>> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut all = Vec::new();
    // Those about pods are many: what is said of Jobs must not be lost behind them.
    for kind in ["Job", "Pod"] {
        let of =
            ListParams::default().fields(&format!("involvedObject.kind={kind},type=Warning")).limit(WARNINGS);
        let listed = tokio::time::timeout(ANSWER, events.list(&of)).await;
        let late = |_| Error::new(ErrorKind::Timeout, "the cluster lists no events").with_retry(Retry::Later);
        let listed = listed.map_err(late)?.map_err(|error| failure::of(&error, "list the events"))?;
        all.extend(listed.items);
    }
    Ok(latest(all, &prefix(fleet)))
}

fn latest(events: Vec<Event>, prefix: &str) -> BTreeMap<String, Warning> {
    let mut latest: BTreeMap<String, Warning> = BTreeMap::new();
    for event in events {
        let Some(name) = event.involved_object.name.filter(|name| name.starts_with(prefix)) else { continue };
        let time = event.last_timestamp.or(event.first_timestamp).map(|time| time.0.as_second());
        let time = time.or(event.event_time.map(|time| time.0.as_second())).unwrap_or(0);
        let (reason, words) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        if reason == IN_STATUS || !KEEPS.iter().any(|keeps| reason.starts_with(keeps)) {
            continue;
        }
        let warning = Warning { words: format!("{reason}: {words}"), at: time };
        match latest.get(&name) {
            Some(newer) if newer.at > time => {}
            _ => drop(latest.insert(name, warning)),
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_warning_of_each_object_of_the_fleet_counts() {
        let event = |name: &str, words: &str, at: &str| -> Event {
            let event = json!({"metadata": {}, "involvedObject": {"name": name}, "reason": "FailedCreate", "message": words, "lastTimestamp": at});
            serde_json::from_value(event).expect("an event")
        };
        let found = latest(
            vec![
                event("lithops-1-1", "new", "2026-11-29T00:00:02Z"),
                event("lithops-1-1", "old", "2026-11-29T00:00:01Z"),
                event("lithops-2-1", "of another fleet", "2026-11-29T00:00:03Z"),
            ],
            "lithops-1-",
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found["lithops-1-1"].words, "FailedCreate: new");
    }
}
