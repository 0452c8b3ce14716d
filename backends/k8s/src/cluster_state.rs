//! [`ClusterState`]: what the cluster has said of a fleet's Jobs and pods, by one watch of each kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::AbortHandle};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
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

use lithops_kubernetes::{Cluster, failure};

use crate::{
    manifest::{FLEET, label},
    pod_state::PodState,
};

/// The label of a pod with the name of its Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// How long a watch may fail until what it has said before is worth nothing.
const STALE: Duration = Duration::from_secs(30);
/// How long a watch that has worked may be refused. Credentials that are renewed are refused for a moment.
const REFUSED: Duration = Duration::from_secs(60);
/// The status of a watch whose version is too old. It begins anew.
const GONE: u16 = 410;

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
    /// Workers that have ended, whose end was not told yet.
    pub(crate) ended: Vec<Ended>,
    /// Whether a worker of the fleet has ever run.
    pub(crate) has_run: bool,
    /// The pods, and the Jobs, that a list that has begun has named so far.
    listed: (BTreeSet<String>, BTreeSet<String>),
    /// Watches that fail, by what they watch.
    failures: BTreeMap<&'static str, Failure>,
    /// What was listed once.
    known: BTreeSet<&'static str>,
}

/// The end of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The uid of its pod.
    pub(crate) worker: String,
    pub(crate) end: WorkerEnd,
    /// Whether it was seen to run.
    pub(crate) has_run: bool,
}

/// A pod, as far as it matters here.
#[derive(Debug, Clone)]
pub(crate) struct SeenPod {
    pub(crate) name: String,
    /// The name of its Job.
    pub(crate) job: String,
    /// When it was made, in seconds since 1970, by the cluster's clock.
    pub(crate) made: i64,
    /// The node that was found for it.
    pub(crate) node: Option<String>,
    pub(crate) state: PodState,
    has_run: bool,
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

/// A watch that fails.
#[derive(Debug)]
struct Failure {
    since: Instant,
    /// The last error; `None` once it was told.
    error: Option<Error>,
}

impl ClusterState {
    /// Begins to watch. Must be called inside a Tokio runtime.
    pub(crate) fn watch(cluster: &Cluster, fleet: &str) -> Self {
        let said = Arc::new(Mutex::new(Said::default()));
        let of_fleet = watcher::Config::default().labels(&format!("{FLEET}={}", label(fleet)));
        let (client, namespace) = (&cluster.client, &cluster.namespace);
        let watches = vec![
            follow::<Pod>(
                "pods",
                Api::namespaced(client.clone(), namespace),
                of_fleet.clone(),
                &said,
                Said::pod,
            ),
            follow::<Job>("Jobs", Api::namespaced(client.clone(), namespace), of_fleet, &said, Said::job),
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

/// Applies each event of a watch. The watch begins anew when it ends, is cut, or its version is too old.
fn follow<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    said: &Arc<Mutex<Said>>,
    apply: fn(&mut Said, Event<K>),
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
                    // That a list is begun anew is no answer yet.
                    if !matches!(event, Event::Init) {
                        said.failures.remove(kind);
                    }
                    if matches!(event, Event::InitDone) {
                        said.known.insert(kind);
                    }
                    apply(&mut said, event);
                }
                Err(error) => said.fails(kind, &error),
            }
        }
    });
    drop(tokio::spawn(watch));
    handle
}

impl Said {
    fn fails(&mut self, kind: &'static str, error: &watcher::Error) {
        let what = format!("watch the {kind} of the fleet");
        let error = match error {
            watcher::Error::WatchError(status) if status.code == GONE => return,
            watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == GONE => return,
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => failure::of(error, &what),
            watcher::Error::WatchError(status) => failure::of(&kube::Error::Api(status.clone()), &what),
            watcher::Error::NoResourceVersion => return,
        };
        tracing::debug!(%error, "a watch failed");
        let failure =
            self.failures.entry(kind).or_insert_with(|| Failure { since: Instant::now(), error: None });
        failure.error = Some(error);
    }

    /// The error of a watch that has failed for so long that what was said before is worth nothing. It is told once.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        let known = &self.known;
        self.failures.iter_mut().find_map(|(kind, failure)| {
            let age = failure.since.elapsed();
            failure.error.take_if(|error| match error.retry() {
                Retry::Later => age > STALE,
                _ => !known.contains(kind) || age > REFUSED,
            })
        })
    }

    fn pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.0.clear(),
            Event::Apply(pod) => self.see(&pod),
            Event::InitApply(pod) => {
                self.listed.0.extend(pod.uid());
                self.see(&pod);
            }
            Event::Delete(pod) => {
                self.see(&pod);
                self.gone(pod.uid().as_deref().unwrap_or_default());
            }
            Event::InitDone => {
                // What was deleted while the watch was cut is not listed any more.
                let listed = std::mem::take(&mut self.listed.0);
                let gone: Vec<_> = self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
            }
        }
    }

    fn see(&mut self, pod: &Pod) {
        let Some(uid) = pod.uid() else { return };
        let state = PodState::of(pod);
        let before = self.pods.get(&uid);
        let had_ended = before.is_some_and(|before| matches!(before.state, PodState::Ended(_)));
        let has_run = state == PodState::Live || before.is_some_and(|before| before.has_run);
        self.has_run |=
            matches!(state, PodState::Live | PodState::Ended(WorkerEnd::Finished | WorkerEnd::OutOfMemory));
        if let PodState::Ended(end) = &state
            && !had_ended
        {
            self.ended.push(Ended { worker: uid.clone(), end: end.clone(), has_run });
        }
        let job = pod.labels().get(JOB_NAME).cloned().unwrap_or_default();
        let made = pod.creation_timestamp().map_or(0, |time| time.0.as_second());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        self.pods.insert(uid, SeenPod { name: pod.name_any(), job, made, node, state, has_run });
    }

    /// A pod was deleted. One that had not ended was taken away by the platform.
    fn gone(&mut self, uid: &str) {
        if let Some(SeenPod { state, has_run, .. }) = self.pods.remove(uid)
            && !matches!(state, PodState::Ended(_))
        {
            self.ended.push(Ended { worker: uid.to_owned(), end: WorkerEnd::Evicted, has_run });
        }
    }

    fn job(&mut self, event: Event<Job>) {
        match event {
            Event::Init => self.listed.1.clear(),
            Event::Apply(job) => self.note(&job),
            Event::InitApply(job) => {
                self.listed.1.insert(job.name_any());
                self.note(&job);
            }
            Event::Delete(job) => {
                self.jobs.insert(job.name_any(), SeenJob::default());
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed.1);
                let gone = self.jobs.iter_mut().filter(|(name, _)| !listed.contains(*name));
                gone.for_each(|(_, job)| *job = SeenJob::default());
            }
        }
    }

    /// Notes a Job that was created just now, which a list that has begun before does not name.
    pub(crate) fn note_created(&mut self, job: &Job) {
        self.listed.1.insert(job.name_any());
        self.note(job);
    }

    /// Notes a Job as the cluster has it now.
    fn note(&mut self, job: &Job) {
        self.jobs.insert(job.name_any(), SeenJob::of(job));
    }
}

impl SeenJob {
    fn of(job: &Job) -> Self {
        let total = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(0);
        let total = usize::try_from(total).unwrap_or(0);
        let is_suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false);
        let Some(status) = &job.status else {
            return Self { remaining: total, is_suspended, failed: None };
        };
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

    fn ended(worker: &str, end: WorkerEnd) -> Ended {
        Ended { worker: worker.to_owned(), end, has_run: true }
    }

    fn running() -> Value {
        let container = json!({"name": "lithops", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}});
        json!({"phase": "Running", "containerStatuses": [container]})
    }

    #[test]
    fn each_end_is_told_once_and_a_pod_that_is_taken_away_has_ended() {
        let mut said = Said::default();
        said.pod(Event::Apply(pod("a", running())));
        said.pod(Event::Apply(pod("b", running())));
        said.pod(Event::Apply(pod("a", json!({"phase": "Succeeded"}))));
        said.pod(Event::Apply(pod("a", json!({"phase": "Succeeded"}))));
        said.pod(Event::Delete(pod("a", json!({"phase": "Succeeded"}))));
        said.pod(Event::Delete(pod("b", running())));
        assert_eq!(said.ended, [ended("a", WorkerEnd::Finished), ended("b", WorkerEnd::Evicted)]);
        assert!(said.pods.is_empty());
    }

    #[test]
    fn a_list_that_is_made_anew_shows_what_is_gone() {
        let mut said = Said::default();
        said.pod(Event::Apply(pod("a", running())));
        said.pod(Event::Init);
        said.pod(Event::InitApply(pod("b", json!({"phase": "Pending"}))));
        assert!(said.pods.contains_key("a"));
        said.pod(Event::InitDone);
        assert_eq!(said.ended, [ended("a", WorkerEnd::Evicted)]);
        assert!(said.pods.contains_key("b"));
        let named = |name: &str| -> Job {
            let spec = json!({"completions": 3, "template": {"spec": {"containers": []}}});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a job")
        };
        said.note(&named("one"));
        said.job(Event::Init);
        said.job(Event::InitApply(named("two")));
        said.job(Event::InitDone);
        assert_eq!((said.jobs["one"].remaining, said.jobs["two"].remaining), (0, 3));
    }

    #[test]
    fn a_watch_that_is_too_old_is_no_failure_and_one_that_is_refused_at_first_is() {
        let status = |code: u16| {
            let message = "no".to_owned();
            watcher::Error::WatchError(Box::new(kube::core::Status {
                code,
                message,
                ..kube::core::Status::default()
            }))
        };
        let mut said = Said::default();
        said.fails("pods", &status(410));
        assert!(said.failure().is_none());
        // A server that is away for a moment is waited for.
        said.fails("pods", &status(503));
        assert!(said.failure().is_none());
        said.fails("pods", &status(403));
        assert!(said.failure().is_some());
        said.known.insert("pods");
        said.fails("pods", &status(403));
        assert!(said.failure().is_none(), "it has worked, and may work again");
    }
}
