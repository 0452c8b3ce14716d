//! [`ClusterState`]: what the cluster has said of a fleet's Jobs and pods, by one watch of each kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, future::AbortHandle};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event as Message, Pod},
};
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use lithops_core::{
    compute::WorkerEnd,
    error::{Error, Retry},
};
use serde::de::DeserializeOwned;

use crate::{
    client::Cluster,
    failure,
    manifest::{FLEET, label, prefix},
    pod_state::PodState,
};

/// What the cluster has said of a fleet, kept up to date by watches until it is dropped.
#[derive(Debug)]
pub(crate) struct ClusterState {
    said: Arc<Mutex<Said>>,
    watches: Vec<AbortHandle>,
}

/// What the cluster has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The pods, by their uid.
    pub(crate) pods: BTreeMap<String, SeenPod>,
    /// The Jobs, by their name. A Job that was deleted stays, with nothing left to do.
    pub(crate) jobs: BTreeMap<String, SeenJob>,
    /// The last warning about each object, by its name.
    pub(crate) warnings: BTreeMap<String, String>,
    /// Workers that have ended, whose end was not told yet.
    pub(crate) ended: Vec<(String, WorkerEnd)>,
    /// Whether a pod of the fleet has ever run.
    pub(crate) has_run: bool,
    /// The pods that a list that has begun has named so far.
    listed: BTreeSet<String>,
    /// Whether the pods were listed once.
    pub(crate) is_known: bool,
    /// Why the cluster cannot be watched.
    pub(crate) failure: Option<Error>,
}

/// A pod, as far as it matters here.
#[derive(Debug, Clone)]
pub(crate) struct SeenPod {
    pub(crate) name: String,
    pub(crate) state: PodState,
}

/// A Job, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenJob {
    /// How many of its workers are yet to end.
    pub(crate) remaining: usize,
    /// Whether a queue has not let it begin yet.
    pub(crate) is_suspended: bool,
    /// Why it has failed as a whole.
    pub(crate) failed: Option<String>,
}

impl ClusterState {
    /// Begins to watch. Must be called inside a Tokio runtime.
    pub(crate) fn watch(cluster: &Cluster, fleet: &str) -> Self {
        let said = Arc::new(Mutex::new(Said::default()));
        let of_fleet = watcher::Config::default().labels(&format!("{FLEET}={}", label(fleet)));
        let warnings = watcher::Config::default().fields("type=Warning");
        let (client, namespace) = (&cluster.client, &cluster.namespace);
        let prefix = prefix(fleet);
        let watches = vec![
            follow::<Pod>(Api::namespaced(client.clone(), namespace), of_fleet.clone(), &said, Said::pod),
            follow::<Job>(Api::namespaced(client.clone(), namespace), of_fleet, &said, Said::job),
            follow::<Message>(
                Api::namespaced(client.clone(), namespace),
                warnings,
                &said,
                move |said, event| {
                    said.message(&prefix, event);
                },
            ),
        ];
        Self { said, watches }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Said> {
        lock(&self.said)
    }
}

impl Drop for ClusterState {
    fn drop(&mut self) {
        self.watches.iter().for_each(AbortHandle::abort);
    }
}

fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Applies each event of a watch. The watch begins anew when it ends, is cut, or its version is too old (410).
fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    said: &Arc<Mutex<Said>>,
    mut apply: impl FnMut(&mut Said, Event<K>) + Send + 'static,
) -> AbortHandle
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let said = Arc::clone(said);
    let (watch, handle) = futures_util::future::abortable(async move {
        let events = watcher(api, config).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let mut said = lock(&said);
            match event {
                Ok(event) => {
                    said.failure = None;
                    apply(&mut said, event);
                }
                Err(error) => said.fails(&error),
            }
        }
    });
    drop(tokio::spawn(watch));
    handle
}

impl Said {
    fn fails(&mut self, error: &watcher::Error) {
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => failure::of(error, "watch the workers"),
            watcher::Error::WatchError(status) => {
                failure::of(&kube::Error::Api(status.clone()), "watch the workers")
            }
            watcher::Error::NoResourceVersion => return,
        };
        // A version that is too old is only listed anew.
        tracing::debug!(%error, "a watch failed");
        let is_lasting = error.retry() != Retry::Later;
        if is_lasting || self.failure.is_none() {
            self.failure = Some(error);
        }
    }

    fn pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::Apply(pod) => self.see(&pod),
            Event::InitApply(pod) => {
                self.listed.extend(pod.uid());
                self.see(&pod);
            }
            Event::Delete(pod) => {
                self.see(&pod);
                self.gone(pod.uid().as_deref().unwrap_or_default());
            }
            Event::InitDone => {
                // What was deleted while the watch was cut is not listed any more.
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<_> = self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
                self.is_known = true;
            }
        }
    }

    fn see(&mut self, pod: &Pod) {
        let Some(uid) = pod.uid() else { return };
        let state = PodState::of(pod);
        let before = self.pods.insert(uid.clone(), SeenPod { name: pod.name_any(), state: state.clone() });
        self.has_run |= matches!(state, PodState::Live | PodState::Ended(_));
        if let PodState::Ended(end) = state
            && !matches!(before, Some(SeenPod { state: PodState::Ended(_), .. }))
        {
            self.ended.push((uid, end));
        }
    }

    /// A pod was deleted. One that had not ended was taken away by the platform.
    fn gone(&mut self, uid: &str) {
        if let Some(SeenPod { state, .. }) = self.pods.remove(uid)
            && !matches!(state, PodState::Ended(_))
        {
            self.ended.push((uid.to_owned(), WorkerEnd::Evicted));
        }
    }

    fn job(&mut self, event: Event<Job>) {
        match event {
            Event::Apply(job) | Event::InitApply(job) => {
                self.jobs.insert(job.name_any(), SeenJob::of(&job));
            }
            Event::Delete(job) => {
                self.jobs.insert(job.name_any(), SeenJob::default());
            }
            Event::Init | Event::InitDone => {}
        }
    }

    fn message(&mut self, prefix: &str, event: Event<Message>) {
        let (Event::Apply(message) | Event::InitApply(message)) = event else { return };
        let Some(name) = message.involved_object.name.filter(|name| name.starts_with(prefix)) else { return };
        let (reason, words) = (message.reason.unwrap_or_default(), message.message.unwrap_or_default());
        self.warnings.insert(name, format!("{reason}: {words}"));
    }
}

impl SeenJob {
    fn of(job: &Job) -> Self {
        let total = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(0);
        let total = usize::try_from(total).unwrap_or(0);
        let is_suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false);
        let Some(status) = &job.status else { return Self { remaining: total, is_suspended, failed: None } };
        let condition = |kind: &str| {
            let conditions = status.conditions.iter().flatten();
            conditions.into_iter().find(|condition| condition.type_ == kind && condition.status == "True")
        };
        // `FailureTarget` comes when a Job is failing, and its pods are being ended.
        let failed = condition("Failed").or_else(|| condition("FailureTarget")).map(|condition| {
            let message = condition.message.as_deref().unwrap_or("no message is given");
            format!("{}: {message}", condition.reason.as_deref().unwrap_or("Failed"))
        });
        let is_over =
            failed.is_some() || condition("Complete").is_some() || condition("SuccessCriteriaMet").is_some();
        let done = indexes(status.completed_indexes.as_deref()) + indexes(status.failed_indexes.as_deref());
        Self { remaining: if is_over { 0 } else { total.saturating_sub(done) }, is_suspended, failed }
    }
}

/// How many indexes a text such as `1,3-5,7` names.
fn indexes(text: Option<&str>) -> usize {
    let parts = text.unwrap_or_default().split(',').filter(|part| !part.is_empty());
    let mut seen = BTreeSet::new();
    for part in parts {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            seen.extend(first..=last);
        }
    }
    seen.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(status: Value) -> SeenJob {
        let job = json!({"metadata": {"name": "j"}, "spec": {"completions": 10, "template": {"spec": {"containers": []}}}, "status": status});
        SeenJob::of(&serde_json::from_value(job).expect("a job"))
    }

    #[test]
    fn a_job_says_how_many_of_its_workers_are_yet_to_end() {
        assert_eq!(job(json!({})).remaining, 10);
        assert_eq!(job(json!({"completedIndexes": "0,2-4", "failedIndexes": "9"})).remaining, 5);
        let over = job(json!({"conditions": [{"type": "Complete", "status": "True"}]}));
        assert_eq!((over.remaining, over.failed), (0, None));
        let failed = job(
            json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]}),
        );
        assert_eq!((failed.remaining, failed.failed.as_deref()), (0, Some("DeadlineExceeded: too long")));
    }

    fn pod(uid: &str, status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": uid, "uid": uid}, "status": status}))
            .expect("a pod")
    }

    #[test]
    fn each_end_is_told_once_and_a_pod_that_is_taken_away_has_ended() {
        let mut said = Said::default();
        said.pod(Event::Apply(pod("a", json!({"phase": "Pending"}))));
        said.pod(Event::Apply(pod("b", json!({"phase": "Running"}))));
        said.pod(Event::Apply(pod("a", json!({"phase": "Succeeded"}))));
        said.pod(Event::Apply(pod("a", json!({"phase": "Succeeded"}))));
        said.pod(Event::Delete(pod("a", json!({"phase": "Succeeded"}))));
        said.pod(Event::Delete(pod("b", json!({"phase": "Running"}))));
        assert_eq!(said.ended, [("a".to_owned(), WorkerEnd::Finished), ("b".to_owned(), WorkerEnd::Evicted)]);
        assert!(said.pods.is_empty());
    }

    #[test]
    fn a_list_that_is_made_anew_shows_what_is_gone() {
        let mut said = Said::default();
        said.pod(Event::Apply(pod("a", json!({"phase": "Running"}))));
        said.pod(Event::Init);
        said.pod(Event::InitApply(pod("b", json!({"phase": "Pending"}))));
        assert!(said.pods.contains_key("a") && !said.is_known);
        said.pod(Event::InitDone);
        assert_eq!(said.ended, [("a".to_owned(), WorkerEnd::Evicted)]);
        assert!(said.is_known && said.pods.contains_key("b"));
    }

    #[test]
    fn warnings_about_other_objects_are_none_of_ours() {
        let mut said = Said::default();
        let message = |name: &str| -> Message {
            serde_json::from_value(json!({"metadata": {}, "involvedObject": {"name": name}, "reason": "FailedCreate", "message": "no"})).expect("an event")
        };
        said.message("lithops-1-", Event::Apply(message("lithops-2-1")));
        said.message("lithops-1-", Event::Apply(message("lithops-1-1")));
        assert_eq!(
            said.warnings.into_iter().collect::<Vec<_>>(),
            [("lithops-1-1".to_owned(), "FailedCreate: no".to_owned())]
        );
    }
}
